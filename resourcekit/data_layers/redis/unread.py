"""Stored values that do not fit their type, in the rows of a snapshot.

A maintainer opens it to change what a record with such a value still answers.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NoReturn

from resourcekit.data_layers.base import Row
from resourcekit.data_layers.unstorable import PartialRow
from resourcekit.errors import UnreadableValue

__all__ = ["PartlyRead", "Unread", "given", "require_read"]


class Unread:
    """In place of a stored value that does not fit its type. It equals no other value; each other use raises its error.

    kept: its bytes, which an update of other attributes leaves as they are.
    """

    __slots__ = ("error", "kept")

    def __init__(self, error: UnreadableValue, kept: bytes) -> None:
        self.error, self.kept = error, kept

    def refuse(self, *_: object) -> NoReturn:
        """Raise the error."""
        raise UnreadableValue(self.error.findings, resource=self.error.resource)

    __lt__ = __le__ = __gt__ = __ge__ = __bool__ = __len__ = __iter__ = __contains__ = __getitem__ = __getattr__ = refuse
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __abs__ = __float__ = __int__ = __str__ = __format__ = refuse


class PartlyRead(dict[str, Any]):
    """A row with an Unread."""

    __slots__ = ()


def given(rows: Iterable[Row], *, partial: bool) -> list[Row]:
    """Return rows for their receiver: without values that are Unread. Raise the error of the first one unless partial."""
    if not partial:
        return require_read(rows)
    found = list[Row]()
    for row in rows:
        unread = {name: value.error for name, value in row.items() if type(value) is Unread}
        whole = {name: value for name, value in row.items() if name not in unread}
        found.append(PartialRow(whole, unread) if unread else row)
    return found


def require_read(rows: Iterable[Row]) -> list[Row]:
    """Return rows. Raise UnreadableValue if one has an Unread."""
    found = list(rows)
    for row in found:
        for value in row.values():
            if type(value) is Unread:
                value.refuse()
    return found
