"""Compares values with the type annotations of options, down to the items of collections.

Open this module if an option takes a value that its annotation excludes, or refuses one that it allows.
"""

from __future__ import annotations

import collections.abc
import re
import types
import typing
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

__all__ = ["cure", "mismatch"]

_CALLABLES: type = collections.abc.Callable  # type: ignore[assignment]  # an abstract class, which checkers take for a form


def mismatch(value: object, annotation: Any, *, deep: bool = True) -> str | None:
    """Return the problem with the type of a value; ``None`` if it fits.

    deep: also check the items of collections; otherwise only items that are declared as texts.
    """
    if annotation is Any or annotation is object:
        return None
    choices = typing.get_args(annotation) if typing.get_origin(annotation) in (typing.Union, types.UnionType) else (annotation,)
    if any(_fits(value, choice, deep=deep) for choice in choices):
        return None
    wanted = " or ".join(map(_called, choices))
    for choice in choices:
        if (wrong := _wrong_item(value, choice)) is not None:
            return f"must be {wanted}, and has an item that is {_kind_of(wrong)}"
    return f"must be {wanted}, is {_kind_of(value)}"


def cure(name: str, value: object, annotation: Any, owner: str) -> str:
    """Return the next step for an option with a value of a wrong type."""
    if not isinstance(value, (list, tuple, Mapping)) and mismatch([value], annotation) is None:
        return f"Put it in a list: {name}=[...]."
    if annotation is timedelta and isinstance(value, (int, float)) and not isinstance(value, bool):
        return f"Write {name}=timedelta(seconds={value})."
    return f"See {owner} in the reference."


def _kind_of(value: object) -> str:
    return f"the class {value.__name__}" if isinstance(value, type) else type(value).__name__.lstrip("_")


def _wrong_item(value: object, choice: Any) -> object | None:
    """Return the first item of a wrong type, for a collection that has the right type itself."""
    origin, items = typing.get_origin(choice), _items_of(value, choice)
    if not isinstance(origin, type) or not isinstance(value, origin) or isinstance(value, str):
        return None
    return next((item for item, wanted in items if not _is_one_of(item, wanted)), None)


def _is_one_of(value: object, annotation: Any) -> bool:
    if annotation is Any or annotation is object:
        return True
    is_union = typing.get_origin(annotation) in (typing.Union, types.UnionType)
    return any(_fits(value, choice) for choice in (typing.get_args(annotation) if is_union else (annotation,)))


def _items_of(value: object, choice: Any) -> list[tuple[object, Any]]:
    """Return pairs of an item and its declared type, for collections whose items can be checked."""
    wanted = typing.get_args(choice)
    if isinstance(value, Mapping) and len(wanted) == 2:
        return [(key, wanted[0]) for key in value] + [(item, wanted[1]) for item in value.values()]
    if isinstance(value, tuple) and typing.get_origin(choice) is tuple and wanted[-1:] != (...,):
        return list(zip(value, wanted, strict=False))
    if isinstance(value, (list, tuple, set, frozenset, collections.abc.Sequence, collections.abc.Set)) and wanted:
        return [(item, wanted[0]) for item in value]
    return []


def _called(choice: Any) -> str:
    if choice is types.NoneType:
        return "None"
    if typing.get_args(choice):
        return re.sub(r"\b\w+\.", "", str(choice))
    return str(getattr(choice, "__name__", choice))


def _fits(value: object, choice: Any, *, deep: bool = True) -> bool:
    if choice is None or choice is types.NoneType:
        return value is None
    origin = typing.get_origin(choice) or choice
    if (inner := _inner(choice)) is not choice:
        return _fits(value, inner, deep=deep)
    if origin is typing.Literal:
        return value in typing.get_args(choice)
    if not isinstance(origin, type):
        return True  # a type variable or a special form: the check function, if any, decides
    if origin is type:
        return _fits_class(value, typing.get_args(choice))
    if issubclass(origin, collections.abc.Iterable) and origin is not str and typing.get_args(choice) and isinstance(value, str):
        return False  # a text is a sequence of texts, but never meant as one
    if isinstance(value, bool) and origin in (int, float):
        return False
    if issubclass(origin, _CALLABLES):
        return callable(value)
    if origin is float and isinstance(value, int):
        return True  # as for type checkers (PEP 484)
    if not isinstance(value, origin):
        return False
    wanted = typing.get_args(choice)
    if origin is tuple and wanted and wanted[-1] is not ... and len(value) != len(wanted):  # type: ignore[arg-type]  # a tuple
        return False
    return all(_is_one_of(item, kind) for item, kind in _items_of(value, choice) if deep or kind is str)


def _inner(choice: Any) -> Any:
    """Return the type behind a NewType, an Annotated type or a TypedDict; any other type as it is."""
    if typing.get_origin(choice) is typing.Annotated:
        return typing.get_args(choice)[0]
    return dict if typing.is_typeddict(choice) else getattr(choice, "__supertype__", choice)


def _fits_class(value: object, wanted: tuple[Any, ...]) -> bool:
    """Return whether a value is a class, and a subclass of the one in ``type[X]``."""
    if not isinstance(value, type):
        return False
    bases = [base for base in wanted if isinstance(base, type) and base is not Any]
    return not bases or any(issubclass(value, base) for base in bases)
