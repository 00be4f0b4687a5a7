"""Errors for values that cannot be stored, or that were stored and cannot be read. No error contains such a value."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from resourcekit.errors import FieldFinding, UnreadableValue
from resourcekit.signals import require_no_signal

__all__ = ["NoneGiven", "PartialRow", "Unstorable", "is_whole", "partial_row", "unfit_value", "unreadable"]

_Stored = tuple[str, Any, Callable[[Any], Any] | None]


class Unstorable(Exception):  # becomes Invalid in the caller, which knows the field
    """The value cannot be stored. The message completes "this field ..." and never contains the value."""


class NoneGiven(Exception):  # control flow: the caller compiles the variant of the statement for None
    """A value is ``None``, but the statement was compiled for a value. ``None`` needs another statement text."""


class PartialRow(dict[str, Any]):
    """A row without the attributes whose stored values do not fit their types. unreadable: the error of each of them, by name."""

    __slots__ = ("unreadable",)

    def __init__(
        self, values: Mapping[str, Any] = MappingProxyType({}), unreadable: Mapping[str, UnreadableValue] = MappingProxyType({})
    ) -> None:
        super().__init__(values)
        self.unreadable = dict(unreadable)

    def copy(self) -> PartialRow:
        """Return a row with the same values and errors."""
        return PartialRow(self, self.unreadable)


def is_whole(text: str) -> bool:
    """Return whether a text contains no lone surrogate. Python's own error is not used, because it would contain the text."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def unreadable(values: Iterable[_Stored], resource: str, key: Sequence[str]) -> UnreadableValue | None:
    """Return the error for a row with a stored value that does not fit the type of its attribute; ``None`` if each value fits.

    values: attribute, stored form and decoder of each value of the row.
    key: the attributes of the primary key whose values may be shown.
    """
    wrong, shown = "", dict[str, Any]()
    for name, stored, decode in values:
        is_readable, value = _read(stored, decode)
        if not is_readable:
            wrong = wrong or name
        elif name in key:
            shown[name] = value
    return unfit_value(wrong, shown, resource) if wrong else None


def partial_row(values: Iterable[_Stored], resource: str, key: Sequence[str], needed: Collection[str]) -> dict[str, Any]:
    """Return a row, a PartialRow if a value does not fit its type. Raise UnreadableValue for one of the needed attributes.

    values, key: as for ``unreadable``.
    """
    row, wrong = dict[str, Any](), list[str]()
    for name, stored, decode in values:
        is_readable, value = _read(stored, decode)
        if is_readable:
            row[name] = value
        else:
            wrong.append(name)
    if not wrong:
        return row
    shown = {name: row[name] for name in key if name in row}
    errors = {name: unfit_value(name, shown, resource) for name in wrong}
    for name in wrong:
        if name in needed:
            raise errors[name]
    return PartialRow(row, errors)


def unfit_value(name: str, key: Mapping[str, Any], resource: str) -> UnreadableValue:
    """Return the error for a stored value that does not fit its type, as if another program wrote it.

    key: the values of the record's primary key that may be shown.
    """
    shown = ", ".join(f"{each}={value}" for each, value in key.items())
    what = f"holds a stored value that does not fit its type{f', in the record with {shown}' if shown else ''}"
    return UnreadableValue(FieldFinding(name, what), resource=resource)


def _read(stored: Any, decode: Callable[[Any], Any] | None) -> tuple[bool, Any]:
    """Return whether a stored value fits, and the value."""
    if stored is None or decode is None:
        return True, stored
    try:
        return True, decode(stored)
    except Exception as error:  # its message may contain the value
        require_no_signal(error)
        return False, None
