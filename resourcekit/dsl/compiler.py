"""The compile stages from class body to state: collect, extend, transform, verify."""

from __future__ import annotations

import traceback
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import attrs

from resourcekit.dsl.diagnostics import Finding, Origin
from resourcekit.dsl.entity import Entity, Word
from resourcekit.dsl.extension import Extension
from resourcekit.dsl.extension_checks import wrong_class
from resourcekit.dsl.namespace import Body
from resourcekit.dsl.option import warn_of_entity
from resourcekit.dsl.passes import Transformer, Verifier, in_order
from resourcekit.dsl.scope import Scope, annotations_of
from resourcekit.dsl.state import State
from resourcekit.errors import DeclarationError, DeclarationErrors, did_you_mean

__all__ = [
    "collect",
    "domain_findings",
    "expand",
    "gathering",
    "raise_all",
    "repetitions",
    "transform",
    "unknown_option",
    "verify",
    "verify_domain",
]


@contextmanager
def gathering(errors: list[DeclarationError], resource: str, origin: Origin, path: tuple[str, ...] = ()) -> Generator[None]:
    """Append errors that are raised inside to a list, with the place that the caller passes."""
    try:
        yield
    except DeclarationError as error:
        errors.extend(_placed(each, resource, path, origin) for each in _each(error))


def _each(error: DeclarationError) -> Iterator[DeclarationError]:
    """Yield the errors of a group, nested groups flattened; a single error as it is."""
    if not isinstance(error, DeclarationErrors):
        yield error
        return
    for inner in error.exceptions:
        if isinstance(inner, DeclarationError):
            yield from _each(inner)


def raise_all(errors: Sequence[DeclarationError]) -> None:
    """Raise a single error as itself, several as DeclarationErrors; do nothing without errors."""
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise DeclarationErrors(errors)


def expand(named: Iterable[Extension]) -> tuple[Extension, ...]:
    """Return the extensions with all that they require. A required extension comes before the one that requires it.

    Raise DeclarationError RK004 for an extension named twice, RK005 for extensions that require each other.
    """
    chosen: dict[type[Extension], Extension] = {}
    for extension in named:
        _require_once(extension, chosen)
        chosen[type(extension)] = extension
    ordered: dict[type[Extension], Extension] = {}

    def visit(kind: type[Extension], path: tuple[type[Extension], ...]) -> None:
        if kind in path:
            names = " requires ".join(step.__name__ for step in (*path[path.index(kind) :], kind))
            raise DeclarationError("RK005", names, path=("extensions",), hint="Take one of these requirements away.")
        for required in kind.requires:
            given = next((one for one in chosen if issubclass(one, required)), required)  # a subclass meets the requirement
            if given not in ordered:
                visit(given, (*path, kind))
        ordered.setdefault(kind, chosen[kind] if kind in chosen else kind())

    for kind in chosen:
        visit(kind, ())
    return tuple(ordered.values())


def _require_once(extension: Extension, chosen: Mapping[type[Extension], Extension]) -> None:
    """Raise DeclarationError RK004 if an extension is among the chosen ones, or one that it is a kind of."""
    kind = type(extension)
    for other in chosen:
        if other is kind:
            what = f"the extension {kind.__name__} is named twice"
        elif issubclass(kind, other) or issubclass(other, kind):
            base, own = (other, kind) if issubclass(kind, other) else (kind, other)
            what = f"{own.__name__} is a subclass of {base.__name__}, and both are named"
        else:
            continue
        hint = "Name it once, with all its options."
        raise DeclarationError("RK004", what, path=("extensions",), origin=extension.origin, hint=hint)


def collect(cls: type, state: State, scope: Scope, extensions: Sequence[Extension]) -> State:
    """Add the entities of a class body to the state, in order.

    Raise all errors together: RK006 for an entity whose extension is not named, and the errors of the entities themselves.
    """
    words = tuple(kind for extension in extensions for kind in extension.entities)
    extras = tuple(kind for extension in extensions for kind in extension.entity_options)
    annotations = annotations_of(cls)
    errors: list[DeclarationError] = []
    found: dict[str, Entity] = {}
    for name, value in _body_of(cls, annotations, scope):
        entity = getattr(value, "entity", None) if isinstance(value, Word) else value
        if not isinstance(entity, Entity):
            errors.append(_without_entity(state, name, value))
            continue
        strange = [kind for kind in entity.extras if not issubclass(kind, extras)]
        if not isinstance(entity, words) or strange:
            errors.append(_without_extension(state.name, name, entity, strange[0] if strange else type(entity)))
            continue
        try:
            declared = _declared(entity, name, annotations.get(name), scope)
        except DeclarationError as error:
            errors.append(_placed(error, state.name, (entity.section, name), entity.origin))
        else:
            found[declared.name] = declared
            warn_of_entity(declared)
    raise_all(errors)
    own = tuple(kind for entity in found.values() if (kind := entity.singleton_kind()) is not None)
    kept = {
        name: entity
        for name, entity in state.entities.items()
        if name not in found and name not in state.reserved and not isinstance(entity, own)
    }
    return attrs.evolve(state, entities=kept).add(*found.values())


def _without_entity(state: State, name: str, value: object) -> DeclarationError:
    kind = type(value)
    what = f"the {kind.__name__} {name!r} holds no entity"
    hint = f"Let {kind.__qualname__}.__init__ call super().__init__(entity)."
    return DeclarationError("RK015", what, resource=state.name, path=(kind.__name__, name), origin=state.origin, hint=hint)


def _declared(entity: Entity, name: str, annotation: object, scope: Scope) -> Entity:
    """Return an entity with its name. Raise DeclarationError RK015 if the ``declared`` of an author's class fails."""
    kind = type(entity)
    try:
        declared: object = entity.declared(name, annotation, scope)
    except (DeclarationError, DeclarationErrors, Warning):
        raise
    except Exception as error:
        what = f"{kind.__name__}.declared raised {type(error).__name__}: {error}"
        raise wrong_class(kind, "declared", what, f"Correct {kind.__name__}.declared.") from error
    if isinstance(declared, Entity):
        return declared
    what = f"{kind.__name__}.declared must return the entity, not {type(declared).__name__}"
    raise wrong_class(kind, "declared", what, f"Correct {kind.__name__}.declared.")


def _body_of(cls: type, annotations: Mapping[str, object], scope: Scope) -> Iterable[tuple[str, Entity | Word]]:
    """Yield the declarations of a body, in the order in which they are written."""
    namespace = vars(cls)
    waiting = list(annotations)
    for name, value in namespace.items():
        if isinstance(value, (Entity, Word)):
            if name in waiting:  # annotations without a value appear only among the annotations
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
    except Exception:  # an annotation that cannot be evaluated: if it begins with an entity builder, it is reported later
        origin = _head(annotation, scope)
    else:
        origin = getattr(resolved, "__origin__", None)
    return origin.bare() if isinstance(origin, type) and issubclass(origin, Word) else None


def _head(annotation: object, scope: Scope) -> object:
    """Return the object that the name before the bracket refers to; ``None`` if there is none."""
    try:
        return scope.resolve(str(annotation).partition("[")[0])
    except Exception:  # an annotation that cannot be evaluated is not an entity
        return None


def _without_extension(resource: str, name: str, entity: Entity, kind: type) -> DeclarationError:
    return DeclarationError(
        "RK006",
        f"{kind.__name__} is a word of {kind.__module__}, and no extension of this resource brings it",
        resource=resource,
        path=(entity.section, name),
        origin=entity.origin,
        hint="Name the extension it belongs to in extensions=[...].",
    )


def repetitions(body: Body, cls: type, resource: str) -> list[DeclarationError]:
    """Return an error for each name that a class body declares twice, and for entities of plain base classes."""
    errors: list[DeclarationError] = []
    for name, entity in body.repeated.items():
        hint = "Rename or remove one of the two."
        what = f"{name!r} is declared twice; one of the two is here"
        path = (entity.section, name)
        errors.append(DeclarationError("RK010", what, resource=resource, path=path, origin=entity.origin, hint=hint))
    for base in cls.__mro__[1:]:
        if isinstance(base, type(cls)):
            continue
        for name, value in vars(base).items():
            if isinstance(value, (Word, Entity)):
                entity = value.entity if isinstance(value, Word) else value
                what = f"is declared in {base.__name__}, which is no resource, and would be passed over"
                hint = f"Declare it so: class {base.__name__}(Resource, abstract=True)."
                path = (entity.section, name)
                errors.append(DeclarationError("RK036", what, resource=resource, path=path, origin=entity.origin, hint=hint))
    return errors


def _placed(error: DeclarationError, resource: str, path: tuple[str, ...], origin: Origin) -> DeclarationError:
    """Add the place, which only the compiler has, to an error."""
    if isinstance(error, DeclarationErrors):
        return error
    placed = DeclarationError(
        error.code,
        error.what,
        resource=error.resource or resource,
        path=error.path if error.path[:1] == path[:1] else (*path, *error.path),
        origin=error.origin or origin,
        hint=error.hint,
    )
    placed.__cause__ = error.__cause__
    return placed


def transform(state: State, extensions: Sequence[Extension]) -> State:
    """Add the templates of all extensions, then run all transformers in their order."""
    state = attrs.evolve(state, extensions={type(extension): extension for extension in extensions})
    for extension in extensions:
        if extension.template is not None:
            state = _add_template(attrs.evolve(state, by=type(extension).__name__), extension.template)
    for step, owner in _steps(tuple(type(extension) for extension in extensions)):
        with _blaming(f"{step.__name__}.transform", owner):
            result = step().transform(attrs.evolve(state, by=owner.__name__), state.extensions[owner])
        if not isinstance(result, State):
            raise _misstep(f"{step.__name__}.transform", owner, f"must return a State, not {type(result).__name__}")
        _require_unhidden(state, result, owner)
        state = result
    return attrs.evolve(state, by="you")


@lru_cache(maxsize=512)
def _steps(kinds: tuple[type[Extension], ...]) -> tuple[tuple[type[Transformer], type[Extension]], ...]:
    owners = {step: kind for kind in kinds for step in kind.transformers}
    return tuple((step, owners[step]) for step in in_order([step for kind in kinds for step in kind.transformers]))


def _add_template(state: State, template: Any) -> State:
    """Add a template's declarations, unless the user has declared the name. Two extensions cannot add the same name."""
    new: list[Entity] = []
    for name, entity in template.__info__.all_of(Entity).items():
        kind = entity.singleton_kind()
        there = state.entities.get(name) or (kind and next(iter(state.all_of(kind).values()), None))
        if there is None or there.origin.declared_by not in ("you", state.by):
            new.append(entity)
    return state.add(*new)


def verify(info: Any, *, across: bool = False, at_start: bool = False) -> list[DeclarationError]:
    """Run the verifiers of all extensions and return their errors.

    across: run the verifiers that involve several resources; otherwise those of the resource itself. at_start: run those that
    need a running program instead.
    """
    errors: list[DeclarationError] = []
    for kind, options in info.extensions.items():
        for verifier in kind.verifiers:
            if (
                verifier.verify is not Verifier.verify
                and verifier.at_start == at_start
                and (at_start or verifier.across == across)
            ):
                with gathering(errors, info.name, info.origin):
                    found = _findings(verifier, "verify", kind, info, options)
                    errors.extend(finding.as_error(info.name) for finding in found if finding.level == "error")
    return errors


def verify_domain(infos: Sequence[Any], domain: str, *, at_start: bool = False) -> list[DeclarationError]:
    """Return the errors of the verifiers that look at all resources of a domain together."""
    errors: list[DeclarationError] = []
    with gathering(errors, domain, Origin()):
        found = domain_findings(infos, at_start=at_start)
        errors.extend(finding.as_error(domain) for finding in found if finding.level == "error")
    return errors


def domain_findings(infos: Sequence[Any], *, at_start: bool = False) -> Iterator[Finding]:
    """Yield the findings of the verifiers that look at all resources of a domain together; each runs once."""
    members: dict[type[Verifier], list[tuple[Any, Any]]] = {}
    owners: dict[type[Verifier], type[Extension]] = {}
    for info in infos:
        for kind, options in info.extensions.items():
            for verifier in kind.verifiers:
                if verifier.verify_domain is not Verifier.verify_domain and verifier.at_start == at_start:
                    members.setdefault(verifier, []).append((info, options))
                    owners.setdefault(verifier, kind)
    for verifier, pairs in members.items():
        yield from _findings(verifier, "verify_domain", owners[verifier], tuple(pairs))


def _findings(verifier: type[Verifier], method: str, owner: type[Extension], *given: Any) -> list[Finding]:
    called = f"{verifier.__name__}.{method}"
    with _blaming(called, owner):
        returned: object = getattr(verifier(), method)(*given)
        found = list(returned) if isinstance(returned, Iterable) else None
    findings = [each for each in found or () if isinstance(each, Finding)]
    if found is None or len(findings) < len(found):
        kind = type(returned).__name__ if found is None else "other values"
        raise _misstep(called, owner, f"must return an iterable of Finding, not {kind}")
    return findings


@contextmanager
def _blaming(called: str, owner: type[Extension]) -> Generator[None]:
    """Name the extension, the step and the line if the code of an extension raises an error of its own."""
    try:
        yield
    except (DeclarationError, DeclarationErrors, Warning):  # a warning that a filter made an error is meant for the user
        raise
    except Exception as error:
        text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        raise _misstep(called, owner, f"raised {text}", _line_of(error)) from error


def _line_of(error: BaseException) -> Origin | None:
    """Return the innermost line of an error that is not in the framework itself."""
    place = None
    for frame, line in traceback.walk_tb(error.__traceback__):
        if str(frame.f_globals.get("__name__")).partition(".")[0] != __name__.partition(".")[0]:
            place = Origin(frame.f_code.co_filename, line)
    return place


def _misstep(called: str, owner: type[Extension], what: str, place: Origin | None = None) -> DeclarationError:
    where = f" at {str(place).partition(',')[0]}" if place else ""
    hint = f"Correct {called}, or report it to the author of {owner.__module__}."
    return DeclarationError("RK016", f"{called} {what}{where}", path=("extensions", owner.__name__), hint=hint)


def _require_unhidden(before: State, after: State, owner: type[Extension]) -> None:
    """Raise DeclarationError RK017 if a new function takes the name of another extension's function, or of a user's declaration.

    It may take that of an action, which ``info(R).actions`` still has: the functions of an extension run actions of their names.
    """
    for name, function in after.functions.items():
        if before.functions.get(name) is function:
            continue
        there, entity = before.functions.get(name), before.entities.get(name)
        if there is not None and (by := before.history.get(("functions", name), ("",))[-1]) != f"defined by {owner.__name__}":
            what, place = f"{owner.__name__} defines a function {name!r}, which is {by} already", before.origin
            hint = "Name one of the two extensions only, or let one of them take another name."
        elif entity is not None and entity.origin.declared_by == "you" and entity.section != "actions":
            what, place = f"{owner.__name__} defines a function {name!r}, which would hide your own", entity.origin
            hint = "Give yours another name."
        else:
            continue
        raise DeclarationError("RK017", what, path=("functions", name), origin=place, hint=hint)


def unknown_option(resource: str, name: str, known: Iterable[str], origin: Origin) -> DeclarationError:
    """Return the error for an unknown class option."""
    return DeclarationError(
        "RK001", f"unknown class option {name!r}", resource=resource, path=(name,), origin=origin, hint=did_you_mean(name, known)
    )
