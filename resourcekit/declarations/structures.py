"""The fields of classes that users have: attrs classes, dataclasses, TypedDicts, pydantic models, msgspec Structs.

A maintainer opens it to accept another kind of class. pydantic and msgspec are not imported: their classes describe themselves.
"""

from __future__ import annotations

import dataclasses
import importlib
import typing
from collections.abc import Callable, Mapping
from typing import Any

import attrs

from resourcekit.declarations.frozen import frozen

__all__ = ["Structure", "StructureField", "structure_of"]


@attrs.frozen
class StructureField:
    """One field of a class.

    key: the name by which the constructor takes it.
    """

    name: str
    annotation: Any
    is_required: bool
    key: str


@attrs.frozen(eq=False)
class Structure:
    """The fields of a class, and how an instance is made.

    is_mapping: the instances are dicts (a TypedDict).
    error: the class of errors that the constructor raises for several fields at once, with ``errors()`` as pydantic has it.
    """

    python: type[Any]
    fields: tuple[StructureField, ...]
    is_mapping: bool = False
    error: type[Exception] | None = None

    def make(self, values: Mapping[str, Any]) -> Any:
        """Return an instance whose lists and dicts are read-only, those of defaults too. values: by the key of each field.

        pydantic copies what it is given into plain lists.
        """
        values = {key: frozen(value) for key, value in values.items()}
        if self.is_mapping:
            return values
        made = self.python(**values)
        absent = ((field.key, getattr(made, field.name)) for field in self.fields if field.key not in values)
        left = {key: frozen(value) for key, value in absent if type(value) in (list, dict)}
        return self.python(**values, **left) if left else made

    def read(self, value: Any) -> dict[str, Any]:
        """Return the fields of an instance by name."""
        if self.is_mapping:
            return dict(value)
        return {field.name: getattr(value, field.name) for field in self.fields}


def structure_of(annotation: object) -> Structure | None:
    """Return the fields of a class; ``None`` for a class of another kind.

    Raise NameError if an annotation of a field names something unknown.
    """
    if not isinstance(annotation, type):
        return None
    return next((found for reader in _READERS if (found := reader(annotation)) is not None), None)


def _hints(python: type[Any]) -> dict[str, Any]:
    return typing.get_type_hints(python, include_extras=True)


def _of_attrs(python: type[Any]) -> Structure | None:
    if not attrs.has(python):
        return None
    hints = _hints(python)
    fields = (
        StructureField(one.name, hints.get(one.name, Any), one.default is attrs.NOTHING, one.alias or one.name)
        for one in attrs.fields(python)
        if one.init
    )
    return Structure(python, tuple(fields))


def _of_dataclass(python: type[Any]) -> Structure | None:
    if not dataclasses.is_dataclass(python):
        return None
    hints = _hints(python)
    fields = (
        StructureField(
            one.name,
            hints[one.name],
            one.default is dataclasses.MISSING and one.default_factory is dataclasses.MISSING,
            one.name,
        )
        for one in dataclasses.fields(python)
        if one.init
    )
    return Structure(python, tuple(fields))


def _of_typed_dict(python: type[Any]) -> Structure | None:
    if not typing.is_typeddict(python):
        return None
    fields = [_key(name, annotation, name in python.__required_keys__) for name, annotation in _hints(python).items()]
    return Structure(python, tuple(fields), is_mapping=True)


def _key(name: str, annotation: Any, is_required: bool) -> StructureField:
    """Return a key of a TypedDict. In a module with postponed annotations only the annotation says that it is optional."""
    while (wrapper := getattr(typing.get_origin(annotation), "_name", "")) in ("Required", "NotRequired", "ReadOnly"):
        is_required = wrapper == "Required" if wrapper != "ReadOnly" else is_required
        annotation = typing.get_args(annotation)[0]
    return StructureField(name, annotation, is_required, name)


def _of_pydantic(python: type[Any]) -> Structure | None:
    known = getattr(python, "__pydantic_fields__", None) or getattr(python, "model_fields", None)
    if not isinstance(known, dict) or not hasattr(python, "model_validate"):
        return None
    by_name = getattr(python, "model_config", {}).get("populate_by_name", False)
    fields = (
        StructureField(name, one.annotation, one.is_required(), one.alias if isinstance(one.alias, str) and not by_name else name)
        for name, one in known.items()
    )
    error: type[Exception] = importlib.import_module("pydantic").ValidationError
    return Structure(python, tuple(fields), error=error)


def _of_msgspec(python: type[Any]) -> Structure | None:
    if not hasattr(python, "__struct_fields__"):
        return None
    hints = _hints(python)
    fields = (
        StructureField(one.name, hints[one.name], one.required, one.name)
        for one in importlib.import_module("msgspec.structs").fields(python)
    )
    return Structure(python, tuple(fields))


_READERS: tuple[Callable[[type[Any]], Structure | None], ...] = (
    _of_attrs,
    _of_dataclass,
    _of_typed_dict,
    _of_pydantic,
    _of_msgspec,
)
