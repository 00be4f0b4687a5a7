"""Finds the fragment whose SQL a database refused. A maintainer opens it to change what such an error names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from resourcekit.data_layers.base import Operation
from resourcekit.errors import FieldFinding, InvalidArgument, Unavailable
from resourcekit.expressions.nodes import Fragment

__all__ = ["of_fragment"]


def of_fragment(error: Unavailable, operation: Operation, resource: str) -> Exception:
    """Return the error for a fragment of an operation that the database cannot read; the same error if no fragment is the cause."""
    texts = list(dict.fromkeys("?".join(each.texts) for each in _fragments(operation))) if error.said else []
    blamed = [text for text in texts if error.about.lower() in text.lower()]
    if not blamed and _is_of_another_type(error):
        blamed = texts
    if not blamed:
        return error
    shown = " or ".join(f"fragment({text!r})" for text in blamed)
    what = f"the database cannot compute {shown}; it said: {error.said}. Correct the SQL, or the type"
    return InvalidArgument(FieldFinding("", what), resource=resource)


def _is_of_another_type(error: Unavailable) -> bool:
    """Return whether PostgreSQL has no function for the type of a value, in the SQL around a fragment with another type than declared."""
    return error.said.startswith("function ") and not error.about.startswith("resourcekit")


def _fragments(part: object) -> Iterator[Fragment]:
    if isinstance(part, Fragment):
        yield part
    if isinstance(part, (tuple, list, frozenset)):
        inner: list[object] = [*part]
    elif isinstance(part, Mapping):
        inner = [*part.values()]
    else:
        inner = [getattr(part, each.name) for each in getattr(type(part), "__attrs_attrs__", ())]
    for each in inner:
        yield from _fragments(each)
