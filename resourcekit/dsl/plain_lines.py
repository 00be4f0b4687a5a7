"""Lines of a class body that declare nothing, though they look as if they did.

Edit this module if a line of a resource that would be ignored is not reported (RK021), or if one is reported by mistake.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import FunctionType
from typing import Any

from resourcekit.dsl.builder import is_builder
from resourcekit.dsl.diagnostics import Origin
from resourcekit.dsl.entity import Entity, Word
from resourcekit.dsl.recorder import Unfinished
from resourcekit.dsl.scope import Scope, annotations_of
from resourcekit.errors import DeclarationError
from resourcekit.known_names import shown

__all__ = ["plain_lines"]

_NEVER_CALLED = "Give attributes a default or a default_factory, or set values in an action."
_UNCHANGEABLE = "Records do not change: write an update action."
_METHODS = {
    "__init__": _NEVER_CALLED,
    "__new__": _NEVER_CALLED,
    "__post_init__": _NEVER_CALLED,
    "__attrs_post_init__": _NEVER_CALLED,
    "__setattr__": _UNCHANGEABLE,
    "__delattr__": _UNCHANGEABLE,
}
"""Methods that never run for a record that a store returns, or that would let records change; with the cure."""

_OTHERS = {
    "Meta": "Options of a resource are in its class statement, the table's name in SQL(..., table='...').",
    "Config": "Options of a resource are in its class statement.",
    "model_config": "Options of a resource are in its class statement.",
    "__tablename__": "Name the table in SQL(..., table='...').",
    "__table_args__": "Write identity(...) and index(...), and SQL(..., table='...').",
    "__mapper_args__": "Options of a resource are in its class statement.",
    "__slots__": "Leave it out: values of records are in their __dict__.",
}
"""Names that other libraries read in a class body; with the way to say it here."""

_CONSTANTS = ("ClassVar", "Final", "TypeAlias")


def plain_lines(cls: type, resource: str, scope: Scope, origin: Origin) -> list[DeclarationError]:
    """Return an error for each line of a class body that looks like a declaration and would be ignored."""
    found = [*_habits(vars(cls)), *_builders(vars(cls)), *_annotated(cls, scope)]
    return [
        DeclarationError("RK021", what, resource=resource, path=("class body", name), origin=origin, hint=hint)
        for name, what, hint in found
    ]


def _habits(body: Mapping[str, object]) -> Iterator[tuple[str, str, str]]:
    """Yield what people write in class bodies of dataclasses, pydantic, Django and SQLAlchemy: name, problem, cure."""
    for name, cure in _METHODS.items():
        if isinstance(body.get(name), (FunctionType, staticmethod)):
            yield name, f"{name} would not run for records that are read from the store", cure
    for name, cure in _OTHERS.items():
        if name in body and (name not in ("Meta", "Config") or isinstance(body[name], type)):
            yield name, f"{name} means nothing to a resource and would be ignored", cure


def _builders(body: Mapping[str, object]) -> Iterator[tuple[str, str, str]]:
    """Yield builders and kinds of entities that are not called."""
    for name, value in body.items():
        if name.startswith("__"):
            continue
        if is_builder(value):
            called = getattr(value, "__name__", "") or type(value).__name__.removeprefix("_").removesuffix("Word").lower()
            yield name, f"{name!r} is the builder {called} itself, which is not called", f"Write {name} = {called}(...)."
        elif isinstance(value, type) and issubclass(value, (Entity, Word)):
            what = f"{name!r} is the kind of entity {value.__name__} itself, which declares nothing"
            yield name, what, f"Write {name} = {value.__name__}(...)."


def _annotated(cls: type, scope: Scope) -> Iterator[tuple[str, str, str]]:
    """Yield annotated names whose value is no declaration, and declarations under the annotation of another kind."""
    body = vars(cls)
    for name, annotation in annotations_of(cls).items():
        text = getattr(annotation, "__name__", None) or str(annotation)
        kind = _word_in(annotation, scope)
        value = body.get(name)
        if isinstance(value, (Entity, Word)):
            if (
                kind is not None
                and not isinstance(value, kind)
                and not kind.__module__.startswith("resourcekit.declarations.rel")
            ):
                declared = value.entity if isinstance(value, Word) else value
                what = f"{name!r} is annotated as {kind.__name__} and is a {type(declared).__name__}"
                yield name, what, "Take the annotation away."
        elif any(each in str(annotation) for each in _CONSTANTS) or isinstance(value, Unfinished):
            continue
        elif name in body and kind is not None:
            what = f"{name!r} is annotated as {kind.__name__} and has the value {shown(value)}, which declares nothing"
            yield name, what, _cure(name, text, kind, value)
        elif name in body and not name.startswith("_"):
            what = f"{name!r} is annotated as {text}, and no record would have it"
            yield name, what, f"Write {name}: Attr[{text}] = attribute(default=...), or ClassVar[{text}] for a constant."
        elif name not in body and kind is None and not name.startswith("_") and "Attr" not in text:
            what = f"{name!r} is annotated as {text}, and no record would have it"
            yield name, what, f"Write {name}: Attr[{text}], or ClassVar[{text}] for a constant."
        elif name not in body and kind is not None and "[" not in str(annotation):
            yield name, f"{name!r} is annotated as {kind.__name__} without a type", f"Write {name}: {kind.__name__}[str]."


def _word_in(annotation: object, scope: Scope) -> type[Word] | None:
    """Return the entity builder that an annotation begins with; ``None`` if it is another type."""
    head: Any = annotation
    if isinstance(annotation, str):
        try:
            head = scope.resolve(annotation.partition("[")[0])
        except Exception:  # an annotation that cannot be evaluated is not one of a builder
            return None
        if "[" in annotation and not annotation.rstrip().endswith("]"):
            return None  # a union that begins with one, for example
    head = getattr(head, "__origin__", head)
    return head if isinstance(head, type) and issubclass(head, Word) else None


def _cure(name: str, text: str, kind: type[Word], value: object) -> str:
    if kind.__name__ == "Attr":
        return f"Write {name}: {text} = attribute(default={value!r})."
    if kind.__name__ == "Calc":
        return f"Write {name}: {text} = calculated(lambda: ...), with the expression in the function."
    return "Give it a declaration as value, such as belongs_to(...)."
