"""Casts of values with fields, of tagged unions, and of types that ``value_type`` declares.

A maintainer opens it to change what such values accept. ``casting`` gives the cast of each field.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from resourcekit.actions.cast_error import CastError
from resourcekit.declarations.frozen import frozen
from resourcekit.declarations.structures import Structure
from resourcekit.declarations.value_type import Kind, OwnType, ValueType
from resourcekit.errors import did_you_mean
from resourcekit.signals import require_no_signal

__all__ = ["embedded_cast", "own_cast", "tagged_cast"]

Cast = Callable[[Any], Any]
Compile = Callable[[ValueType], Cast]


def embedded_cast(kind: ValueType, compile_cast: Compile) -> Cast:
    """Return the cast of a class with fields: an instance, or a mapping of its fields."""
    assert kind.structure is not None
    structure = kind.structure
    casts = {field.name: (field, compile_cast(kind.fields[field.name])) for field in structure.fields}
    called = structure.python.__name__

    def cast(value: Any) -> Any:
        is_instance = not structure.is_mapping and isinstance(value, structure.python)
        if not is_instance and not _is_mapping(value):
            msg = f"must be a {called}, or a mapping of its fields"
            raise CastError(msg)
        given = structure.read(value) if is_instance else value
        errors = [
            CastError(f"is no field of {called}. {did_you_mean(name, casts)}".rstrip(), name)
            for name in given
            if name not in casts
        ]
        values: dict[str, Any] = {}
        changed = False
        for name, (field, cast_field) in casts.items():
            if name not in given:
                if field.is_required:
                    errors.append(CastError("is required", name))
                continue
            try:
                values[field.key] = frozen(cast_field(given[name]))
                changed = changed or values[field.key] is not given[name]
            except CastError as error:
                errors.append(error.inside(name))
        if errors:
            raise CastError.of(errors)
        return value if is_instance and not changed else _made(structure, values, called)

    return cast


def _is_mapping(value: Any) -> bool:
    return isinstance(value, Mapping) and all(isinstance(key, str) for key in value)


def _made(structure: Structure, values: dict[str, Any], called: str) -> Any:
    errors: list[CastError] = []
    try:
        return structure.make(values)
    except Exception as error:
        require_no_signal(error)
        if structure.error is not None and isinstance(error, structure.error):
            found: Iterable[Mapping[str, Any]] = error.errors()  # type: ignore[attr-defined]  # as pydantic has it
            errors = [
                CastError(_shown(each["msg"], values, f"is refused by {called}"), ".".join(map(str, each["loc"])))
                for each in found
            ]
        elif type(error) is ValueError:
            errors = [CastError(_shown(str(error), values, f"is refused by {called}"))]
        elif isinstance(error, (ValueError, TypeError)):
            errors = [CastError(f"is refused by {called}")]
        if not errors:
            raise
    raise CastError.of(errors)  # outside of the block: the other error may contain the value


def _shown(message: str, value: Any, otherwise: str) -> str:
    """Return the message of the application's own check, unless it has none or shows a part of the value."""
    return otherwise if not message or any(len(text) > 1 and text in message for text in _texts(value)) else message


def _texts(value: Any) -> list[str]:
    if isinstance(value, Mapping):
        return [text for each in value.values() for text in _texts(each)]
    if isinstance(value, (list, tuple)):
        return [text for each in value for text in _texts(each)]
    return [] if value is None or isinstance(value, bool) else [str(value)]


def tagged_cast(kind: ValueType, compile_cast: Compile) -> Cast:
    """Return the cast of a union: an instance of one of its classes, or a mapping whose tag names the class."""
    casts = {tag: compile_cast(variant) for tag, variant in kind.variants.items()}
    classes = {variant.python: casts[tag] for tag, variant in kind.variants.items() if not _is_dict(variant)}
    is_field = kind.tag in next(iter(kind.variants.values())).fields
    known = ", ".join(map(repr, casts))

    def cast(value: Any) -> Any:
        if type(value) in classes:
            return classes[type(value)](value)
        if not _is_mapping(value):
            msg = f"must be one of {', '.join(variant.python.__name__ for variant in kind.variants.values())}, or a mapping"
            raise CastError(msg)
        tag = value.get(kind.tag)
        if not isinstance(tag, (str, int)) or tag not in casts:
            msg = f"must be one of {known}" if kind.tag in value else f"is required, one of {known}"
            raise CastError(msg, kind.tag)
        return casts[tag](value if is_field else {name: each for name, each in value.items() if name != kind.tag})

    return cast


def _is_dict(variant: ValueType) -> bool:
    return variant.structure is not None and variant.structure.is_mapping


def own_cast(kind: ValueType, compile_cast: Compile) -> Cast:
    """Return the cast of a type that ``value_type`` declares."""
    assert kind.own is not None
    own = kind.own
    known = own.python if isinstance(own.python, type) else object
    is_basic = own.stored.python is own.python and own.stored.kind not in (Kind.EMBEDDED, Kind.UNION)
    from_stored = compile_cast(own.stored)

    def cast(value: Any) -> Any:
        if is_basic:
            value = from_stored(value)
            return value if own.cast is None else _checked(own, known, own.cast, value)
        if own.cast is not None:
            return _checked(own, known, own.cast, value)
        if isinstance(value, known):
            return value
        stored = from_stored(value)
        return stored if own.load is None else _checked(own, known, own.load, stored)

    return cast


def _checked(own: OwnType, known: type[Any], convert: Cast, value: Any) -> Any:
    message = ""
    try:
        made = convert(value)
        if isinstance(made, known):
            return made
    except CastError:
        raise
    except Exception as error:  # its text may contain the value
        require_no_signal(error)
        if not isinstance(error, (ValueError, TypeError, LookupError, ArithmeticError, AttributeError)):
            raise
        message = _shown(str(error), value, "") if type(error) is ValueError else ""
    raise CastError(message or f"must be {'an' if own.name[:1] in 'AEIOU' else 'a'} {own.name}")
