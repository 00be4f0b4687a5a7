"""The stages by which a class body becomes a state: collect, extend, transform, verify. It knows no resource."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import attrs

from resourcekit.dsl.body import Body
from resourcekit.dsl.entity import Entity, Word
from resourcekit.dsl.extension import Extension
from resourcekit.dsl.ordering import in_order
from resourcekit.dsl.origin import Origin
from resourcekit.dsl.scope import Scope, annotations_of
from resourcekit.dsl.state import State
from resourcekit.dsl.transformer import Transformer
from resourcekit.errors import DeclarationError, DeclarationErrors, did_you_mean

__all__ = ["collect", "expand", "gathering", "raise_all", "repetitions", "transform", "unknown_option", "verify"]


@contextmanager
def gathering(errors: list[DeclarationError], resource: str, origin: Origin, path: tuple[str, ...] = ()) -> Generator[None]:
    """Put what is raised inside into a list, with the place that only the caller knows."""
    try:
        yield
    except DeclarationError as error:
        errors.extend(_placed(each, resource, path, origin) for each in _each(error))


def _each(error: DeclarationError) -> Iterator[DeclarationError]:
    """Yield what a group holds, groups inside of it opened, too; a single error as it is."""
    if not isinstance(error, DeclarationErrors):
        yield error
        return
    for inner in error.exceptions:
        if isinstance(inner, DeclarationError):
            yield from _each(inner)


def raise_all(errors: Sequence[DeclarationError]) -> None:
    """Raise one error as itself, several as DeclarationErrors, and nothing where there is none."""
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise DeclarationErrors(errors)


def expand(named: Iterable[Extension]) -> tuple[Extension, ...]:
    """Return the extensions with all that they require, each requirement ahead of who asks for it.

    Raises DeclarationError RK004 for an extension named twice, RK005 for extensions that require each other.
    """
    chosen: dict[type[Extension], Extension] = {}
    for extension in named:
        if type(extension) in chosen:
            raise DeclarationError(
                "RK004",
                f"the extension {type(extension).__name__} is named twice",
                path=("extensions",),
                origin=extension.origin,
                hint="Name it once, with all its options.",
            )
        chosen[type(extension)] = extension
    ordered: dict[type[Extension], Extension] = {}

    def visit(kind: type[Extension], path: tuple[type[Extension], ...]) -> None:
        if kind in path:
            names = " requires ".join(step.__name__ for step in (*path[path.index(kind) :], kind))
            raise DeclarationError("RK005", names, path=("extensions",), hint="Take one of these requirements away.")
        for required in kind.requires:
            if required not in ordered:
                visit(required, (*path, kind))
        ordered.setdefault(kind, chosen[kind] if kind in chosen else kind())

    for kind in chosen:
        visit(kind, ())
    return tuple(ordered.values())


def collect(cls: type, state: State, scope: Scope, extensions: Sequence[Extension]) -> State:
    """Take the declared values out of a class body, in order, into the state.

    Raises all that is wrong together: RK006 for a word whose extension is not named, and what entities say themselves.
    """
    words = tuple(kind for extension in extensions for kind in extension.entities)
    annotations = annotations_of(cls)
    errors: list[DeclarationError] = []
    found: dict[str, Entity] = {}
    for name, value in _body_of(cls, annotations, scope):
        entity = value.entity if isinstance(value, Word) else value
        if not isinstance(entity, words):
            errors.append(_without_extension(state.name, name, entity))
            continue
        try:
            declared = entity.declared(name, annotations.get(name), scope)
        except DeclarationError as error:
            errors.append(_placed(error, state.name, (entity.section, name), entity.origin))
        else:
            found[declared.name] = declared
    raise_all(errors)
    kept = {name: entity for name, entity in state.entities.items() if name not in found and name not in state.reserved}
    return attrs.evolve(state, entities=kept).add(*found.values())


def _body_of(cls: type, annotations: Mapping[str, object], scope: Scope) -> Iterable[tuple[str, Entity | Word]]:
    """Yield what a body declares, in the order of writing."""
    namespace = vars(cls)
    waiting = list(annotations)
    for name, value in namespace.items():
        if isinstance(value, (Entity, Word)):
            if name in waiting:  # annotations without a value stand nowhere but among the others
                place = waiting.index(name)
                yield from _bare_ones(waiting[:place], annotations, scope, namespace)
                del waiting[: place + 1]
            yield name, value
    yield from _bare_ones(waiting, annotations, scope, namespace)


def _bare_ones(
    names: Iterable[str], annotations: Mapping[str, object], scope: Scope, namespace: Mapping[str, object]
) -> Iterable[tuple[str, Word]]:
    for name in names:
        if name not in namespace and (word := _bare(annotations[name], scope)) is not None:
            yield name, word


def _bare(annotation: object, scope: Scope) -> Word | None:
    try:
        resolved = scope.resolve(annotation)
    except Exception:  # a text that cannot be read: it is ours if it begins like one of ours, and then told as wrong
        origin = _head(annotation, scope)
    else:
        origin = getattr(resolved, "__origin__", None)
    return origin.bare() if isinstance(origin, type) and issubclass(origin, Word) else None


def _head(annotation: object, scope: Scope) -> object:
    """Return what the name before the bracket stands for; ``None`` where it stands for nothing."""
    try:
        return scope.resolve(str(annotation).partition("[")[0])
    except Exception:  # an annotation that means nothing here is not ours
        return None


def _without_extension(resource: str, name: str, entity: Entity) -> DeclarationError:
    kind = type(entity)
    return DeclarationError(
        "RK006",
        f"{kind.__name__} is a word of {kind.__module__}, and no extension of this resource brings it",
        resource=resource,
        path=(entity.section, name),
        origin=entity.origin,
        hint="Name the extension it belongs to in extensions=[...].",
    )


def repetitions(body: Body, cls: type, resource: str) -> list[DeclarationError]:
    """Return an error for each name that a class body declares and then uses again, and for words of plain bases."""
    errors: list[DeclarationError] = []
    for name, entity in body.repeated.items():
        hint = "Rename or remove one of the two."
        what = f"{name!r} is declared twice; the first one is here"
        path = (entity.section, name)
        errors.append(DeclarationError("RK010", what, resource=resource, path=path, origin=entity.origin, hint=hint))
    for base in cls.__mro__[1:]:
        if isinstance(base, type(cls)):
            continue
        for name, value in vars(base).items():
            if isinstance(value, (Word, Entity)):
                entity = value.entity if isinstance(value, Word) else value
                what = f"stands in {base.__name__}, which is no resource, and would be passed over"
                hint = f"Declare it so: class {base.__name__}(Resource, abstract=True)."
                path = (entity.section, name)
                errors.append(DeclarationError("RK036", what, resource=resource, path=path, origin=entity.origin, hint=hint))
    return errors


def _placed(error: DeclarationError, resource: str, path: tuple[str, ...], origin: Origin) -> DeclarationError:
    """Give an error the place that only the compiler knows."""
    if isinstance(error, DeclarationErrors):
        return error
    return DeclarationError(
        error.code,
        error.what,
        resource=error.resource or resource,
        path=error.path if error.path[:1] == path[:1] else (*path, *error.path),
        origin=error.origin or origin,
        hint=error.hint,
    )


def transform(state: State, extensions: Sequence[Extension]) -> State:
    """Let every extension add its template, then run all transformers in their order."""
    state = attrs.evolve(state, extensions={type(extension): extension for extension in extensions})
    for extension in extensions:
        if extension.template is not None:
            state = _add_template(attrs.evolve(state, by=type(extension).__name__), extension.template)
    for step, owner in _steps(tuple(type(extension) for extension in extensions)):
        result = step().transform(attrs.evolve(state, by=owner.__name__), state.extensions[owner])
        if not isinstance(result, State):
            msg = f"{step.__name__}.transform must return a State, not {type(result).__name__}"
            raise TypeError(msg)
        state = result
    return attrs.evolve(state, by="you")


@lru_cache(maxsize=512)
def _steps(kinds: tuple[type[Extension], ...]) -> tuple[tuple[type[Transformer], type[Extension]], ...]:
    owners = {step: kind for kind in kinds for step in kind.transformers}
    return tuple((step, owners[step]) for step in in_order([step for kind in kinds for step in kind.transformers]))


def _add_template(state: State, template: Any) -> State:
    """Add a template's declarations where the user has none of that name; those of two extensions may not meet."""
    new: list[Entity] = []
    for name, entity in template.__info__.all_of(Entity).items():
        there = state.entities.get(name)
        if there is None or there.origin.declared_by not in ("you", state.by):
            new.append(entity)
    return state.add(*new)


def verify(info: Any, *, across: bool) -> list[DeclarationError]:
    """Run the verifiers of all extensions and return what they found.

    across: those that look at other resources; else those that look at the resource itself.
    """
    errors: list[DeclarationError] = []
    for kind, options in info.extensions.items():
        for verifier in kind.verifiers:
            if verifier.across == across:
                errors.extend(
                    finding.as_error(info.name) for finding in verifier().verify(info, options) if finding.level == "error"
                )
    return errors


def unknown_option(resource: str, name: str, known: Iterable[str], origin: Origin) -> DeclarationError:
    """Return the error for a class option that nobody reads."""
    return DeclarationError(
        "RK001", f"unknown class option {name!r}", resource=resource, path=(name,), origin=origin, hint=did_you_mean(name, known)
    )
