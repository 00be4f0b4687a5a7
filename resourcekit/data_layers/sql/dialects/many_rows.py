"""Inserts and upserts of many rows in one statement, and how the outcome of each upsert is found.

No database says in which order it returns rows, so a returned row is found again by the key that was sent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import attrs

__all__ = ["KeysAmbiguous", "ManyRows", "Parts", "in_parts", "returned_by_key"]

_ROW = re.compile(r"VALUES (\(.*?\))(?: ON CONFLICT \(|$)")
"""The placeholders of the row in the text of an insert of one row."""


class KeysAmbiguous(Exception):
    """The keys of the returned rows are not those that were sent: a trigger, or a collation in which different texts are equal."""


@attrs.frozen
class ManyRows:
    """The insert of one row, and what is known of its rows.

    width: how many values a row has, those of the conflict clause left out.
    returns: it returns rows.
    sent: the position among the values of a row of the only attribute of the conflict's target; ``None`` if there are several, if
        equal values may be written differently, or if there is no conflict clause.
    returned: the position of that attribute in a returned row; ``None`` if it is not returned.
    has_condition: an existing row may be left as it is.
    """

    sql: str
    width: int
    returns: bool
    sent: int | None = None
    returned: int | None = None
    has_condition: bool = False

    def keys(self, rows: Sequence[Sequence[Any]]) -> list[Any] | None:
        """Return the keys of rows; ``None`` if they are not unique."""
        if self.sent is None or len(rows) < 2:
            return None
        keys = [row[self.sent] for row in rows]
        return keys if len(set(keys)) == len(keys) else None


@attrs.frozen
class Parts:
    """Rows in parts of one size. sql: for one part. values: of each part. rest: rows that are left over."""

    sql: str
    values: Sequence[Sequence[Any]]
    rest: Sequence[Sequence[Any]]


def in_parts(many: ManyRows, placeholder: str, rows: Sequence[Sequence[Any]], size: int) -> Parts | None:
    """Return rows in parts of ``size``, each for one statement; ``None`` if there is no whole part, or the text has an unknown form.

    rows: the values of each row, followed by those of the conflict clause, which are the same for all.
    """
    found = _ROW.search(many.sql)
    if size < 2 or len(rows) < size or found is None or found[1].count(placeholder) != many.width:
        return None
    sql = f"{many.sql[: found.start(1)]}{', '.join([found[1]] * size)}{many.sql[found.end(1) :]}"
    whole = len(rows) - len(rows) % size
    values = [_values(many, rows[start : start + size]) for start in range(0, whole, size)]
    return Parts(sql, values, rows[whole:])


def _values(many: ManyRows, rows: Sequence[Sequence[Any]]) -> list[Any]:
    """Return the values of a statement for these rows."""
    width = many.width
    values = list(chain.from_iterable(rows if len(rows[0]) == width else (row[:width] for row in rows)))
    values += rows[0][width:]
    return values


def returned_by_key(many: ManyRows, keys: Sequence[Any], found: Sequence[Any]) -> Mapping[Any, Any]:
    """Return the returned rows by their keys. Raise KeysAmbiguous if a key was not sent, or came back twice."""
    assert many.returned is not None
    rows = {row[many.returned]: row for row in found}
    if len(rows) != len(found) or not rows.keys() <= set(keys):
        raise KeysAmbiguous
    return rows
