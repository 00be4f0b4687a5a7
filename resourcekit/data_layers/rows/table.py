"""The rows of one resource: as they are committed, and as a transaction drafts them. It knows no plan and no store.

A row is a dict that is never changed once it is here, so the object itself is its version. Whoever replaces committed
rows holds ``LOCK``, and first tells each open draft what the row was: that makes a draft's snapshot, and at its commit
it tells whether anybody touched what the draft had read.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Hashable, Iterable, Mapping
from operator import itemgetter
from typing import Any

from resourcekit.flow.evaluation import Evaluator
from resourcekit.resource_info import ResourceInfo

__all__ = ["LOCK", "Draft", "Fields", "Journal", "Key", "Row", "Table", "Values", "undo"]

Row = dict[str, Any]
Key = Hashable
"""The value of the primary key; a tuple where several attributes make it."""

Fields = tuple[str, ...]
Values = tuple[Any, ...]
Journal = list[tuple["Draft", Key, Any]]
"""Writes in order: the draft, the key, and what the draft's own rows held there before."""

LOCK = threading.RLock()
"""Held for a moment: while rows are replaced, or a list of them is taken. Never across a user's code."""

if hasattr(os, "register_at_fork"):
    # The child gets the rows between two commits, and a lock that it can take.
    os.register_at_fork(before=LOCK.acquire, after_in_parent=LOCK.release, after_in_child=LOCK.release)

_UNKNOWN: Any = object()


def _values(row: Row, fields: Fields) -> Values:
    return tuple([row[field] for field in fields])


class Table:
    """The committed rows.

    rows: by key. unique: for each identity, values to key, without rows that have ``None`` among them.
    indexes: for each index in use, values to keys.
    """

    __slots__ = ("committed", "identities", "indexes", "key_of", "primary_key", "rows", "unique")

    def __init__(self, info: ResourceInfo) -> None:
        self.primary_key: Fields = tuple(info.primary_key)
        self.identities: Mapping[str, Fields] = {name: identity.fields for name, identity in info.identities.items()}
        self.key_of = itemgetter(*self.primary_key)
        self.rows: dict[Key, Row] = {}
        self.unique: dict[Fields, dict[Values, Key]] = {fields: {} for fields in self.identities.values()}
        self.indexes: dict[Fields, dict[Values, dict[Key, None]]] = {}
        self.committed = Draft(self, tracked=False)

    def use_index(self, fields: Fields) -> None:
        """Keep an index from now on; indexes that no plan asks for cost nothing."""
        with LOCK:
            if fields not in self.indexes:
                index: dict[Values, dict[Key, None]] = {}
                for key, row in self.rows.items():
                    index.setdefault(_values(row, fields), {})[key] = None
                self.indexes = {**self.indexes, fields: index}

    def replace(self, key: Key, new: Row | None) -> None:
        """Put a row in the place of another, ``None`` for no row; the caller holds LOCK."""
        old = self.rows.get(key)
        for fields, unique in self.unique.items():
            # Another row of this commit may have taken the values over already.
            if old is not None and unique.get(values := _values(old, fields), _UNKNOWN) == key:
                del unique[values]
            if new is not None and None not in (values := _values(new, fields)):
                unique[values] = key
        for fields, index in self.indexes.items():
            if old is not None:
                keys = index[values := _values(old, fields)]
                del keys[key]
                if not keys:
                    del index[values]
            if new is not None:
                index.setdefault(_values(new, fields), {})[key] = None
        if new is None:
            self.rows.pop(key, None)
        else:
            self.rows[key] = new


class Draft:
    """The rows as one transaction sees them: the committed ones of its beginning, and its own on top.

    rows: its own writes, ``None`` for a removed row. replaced: what others replaced since it began, as it was then.
    journal: its writes, so that a savepoint can go back; all drafts of a transaction share one.
    """

    __slots__ = ("_equal", "_local", "_matched", "_read", "journal", "replaced", "rows", "table", "tracked")

    def __init__(self, table: Table, *, tracked: bool, journal: Journal | None = None) -> None:
        self.table = table
        self.tracked = tracked
        self.journal: Journal = [] if journal is None else journal
        self.rows: dict[Key, Row | None] = {}
        self.replaced: dict[Key, Row | None] = {}
        self._local: dict[Fields, dict[Values, set[Key]]] = {}
        self._read: set[Key] = set()
        self._equal: dict[Fields, set[Values]] = {}
        self._matched: list[tuple[Evaluator | None, Mapping[str, Any]]] = []

    # Reading

    def get(self, key: Key) -> Row | None:
        """Return one row, and remember that it was asked for."""
        if self.tracked:
            self._read.add(key)
        return self._seen(key)

    def _seen(self, key: Key) -> Row | None:
        row = self.rows.get(key, _UNKNOWN)
        if row is not _UNKNOWN:
            return row  # type: ignore[no-any-return]  # the sentinel makes it Any
        # In this order: a commit first writes "replaced", then the row.
        row = self.table.rows.get(key)
        return self.replaced.get(key, row)

    def holding(self, fields: Fields, values: Values) -> list[Row]:
        """Return the rows with these values, by an identity or an index of the table."""
        if fields in self.table.unique and None in values:
            return [row for row in self.scan(None, {}) if _values(row, fields) == values]
        with LOCK:
            if self.tracked:
                self._equal.setdefault(fields, set()).add(values)
            if fields in self.table.unique:
                key = self.table.unique[fields].get(values, _UNKNOWN)
                keys: Iterable[Key] = () if key is _UNKNOWN else (key,)
            else:
                keys = self.table.indexes[fields].get(values, ())
            found = dict.fromkeys(keys)
            if self.rows or self.replaced:
                found.update(dict.fromkeys(self._local_index(fields).get(values, ())))
            rows = [row for key in found if (row := self._seen(key)) is not None]
        return [row for row in rows if _values(row, fields) == values]

    def scan(self, matches: Evaluator | None, params: Mapping[str, Any]) -> list[Row]:
        """Return all rows, and remember that those which match were asked for."""
        with LOCK:
            if self.tracked:
                self._matched.append((matches, params))
            if not self.rows and not self.replaced:
                return list(self.table.rows.values())
            seen: dict[Key, Row | None] = {**self.table.rows, **self.replaced, **self.rows}
        return [row for row in seen.values() if row is not None]

    def _local_index(self, fields: Fields) -> dict[Values, set[Key]]:
        """Return where values stood in the draft's own rows and in replaced ones; it may name keys that moved on."""
        index = self._local.get(fields)
        if index is None:
            index = self._local[fields] = {}
            for rows in (self.rows, self.replaced):
                for key, row in rows.items():
                    if row is not None:
                        index.setdefault(_values(row, fields), set()).add(key)
        return index

    def _note(self, key: Key, row: Row | None) -> None:
        if row is not None:
            for fields, index in self._local.items():
                index.setdefault(_values(row, fields), set()).add(key)

    # Writing

    def put(self, key: Key, row: Row | None) -> None:
        """Write a row, or remove one (``None``), in this draft."""
        with LOCK:
            self.journal.append((self, key, self.rows.get(key, _UNKNOWN)))
            self.rows[key] = row
            self._note(key, row)

    def taken(self, row: Row) -> tuple[str, Fields] | None:
        """Return name and fields of the identity (or ``"primary_key"``) that another row of the draft has; the caller
        has taken away the row that this one replaces."""
        if self.get(self.table.key_of(row)) is not None:
            return "primary_key", self.table.primary_key
        for name, fields in self.table.identities.items():
            values = _values(row, fields)
            if None not in values and self.holding(fields, values):
                return name, fields
        return None

    # Committing; the caller holds LOCK

    def see_replaced(self, keys: Iterable[Key]) -> None:
        """Keep rows as they are, because another transaction is about to replace them."""
        for key in keys:
            if key not in self.replaced:
                old = self.table.rows.get(key)
                self.replaced[key] = old
                self._note(key, old)

    def is_outdated(self) -> bool:
        """Say whether others replaced what this draft has read or written."""
        if not self.replaced:
            return False
        if not self.replaced.keys().isdisjoint(self._read) or not self.replaced.keys().isdisjoint(self.rows):
            return True
        return any(self._was_asked_for(row) for key, old in self.replaced.items() for row in (old, self.table.rows.get(key)))

    def _was_asked_for(self, row: Row | None) -> bool:
        if row is None:
            return False
        if any(_values(row, fields) in asked for fields, asked in self._equal.items()):
            return True
        return any(matches is None or matches(row, params, row) for matches, params in self._matched)

    def apply(self) -> None:
        """Make this draft's writes the committed rows."""
        for key, row in self.rows.items():
            self.table.replace(key, row)


def undo(journal: Journal, mark: int) -> None:
    """Take back all writes after the first ``mark`` ones."""
    with LOCK:
        while len(journal) > mark:
            draft, key, before = journal.pop()
            if before is _UNKNOWN:
                del draft.rows[key]
            else:
                draft.rows[key] = before
                draft._note(key, before)  # noqa: SLF001  # one module, one idea
