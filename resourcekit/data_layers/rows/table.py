"""The rows of one resource: the committed rows, and the drafts of transactions.

A stored row is a dict that is never changed, so the object itself is its version. Code that replaces committed rows holds
``LOCK``, and first gives the old rows to each open draft. So a draft keeps its snapshot, and at its commit it knows whether
another transaction replaced a row that it had read.
"""

from __future__ import annotations

import functools
import itertools
import os
import threading
from collections.abc import Callable, Hashable, Iterable, Mapping
from operator import itemgetter
from typing import Any, ParamSpec, TypeVar

from resourcekit.call_context import call_deadline
from resourcekit.errors import DataLayerError, Timeout
from resourcekit.expressions.evaluation import Evaluator
from resourcekit.forks import free_after_fork
from resourcekit.resource_info import ResourceInfo

__all__ = [
    "IN_TIME",
    "LOCK",
    "Draft",
    "Fields",
    "Journal",
    "Key",
    "Row",
    "Table",
    "Values",
    "releases_lock",
    "require_free",
    "undo",
]

P = ParamSpec("P")
T = TypeVar("T")
Row = dict[str, Any]
Key = Hashable
"""The value of the primary key; a tuple if the key has several attributes."""

Fields = tuple[str, ...]
Values = tuple[Any, ...]
Journal = list[tuple["Draft", Key, Any]]
"""Writes in order: the draft, the key, and the entry that the draft had for the key before."""

LOCK = free_after_fork(threading.RLock())
"""Held for a short time, while rows are replaced or listed. Never held while the user's code runs."""

_MOST = 5.0
"""Seconds that a call without a deadline, or a fork, waits for LOCK."""

_taken: list[bool] = []
"""Whether the forking thread has LOCK."""


def _before_fork() -> None:
    # The child gets the rows between two commits. If another thread never releases LOCK, the fork goes on without it.
    _taken.append(LOCK.acquire(timeout=_MOST))


def _after_fork() -> None:
    if _taken.pop():
        LOCK.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)


class _InTime:
    """LOCK for a statement: a call that cannot have it by its deadline raises Timeout. What must end takes LOCK itself.

    For functions with ``releases_lock``, which release it if an exception from outside comes before ``__exit__``.
    """

    __slots__ = ()

    def __enter__(self) -> None:
        """Acquire LOCK."""
        was_held = _is_held()
        try:
            if not LOCK.acquire(blocking=False) and not LOCK.acquire(timeout=call_deadline(LOCK, _MOST).remaining()):
                raise Timeout("other calls kept the records in memory locked until the deadline")
        except BaseException:
            if not was_held and _is_held():
                LOCK.release()
            raise

    __exit__ = LOCK.__exit__


def _is_held() -> bool:
    """Return whether this thread holds LOCK."""
    return LOCK._is_owned()  # type: ignore[attr-defined,no-any-return]  # noqa: SLF001  # a mark of our own could be left behind


IN_TIME = _InTime()


def releases_lock(function: Callable[P, T]) -> Callable[P, T]:
    """Decorate a function that takes LOCK: if it raises, this thread holds LOCK no longer than it did before.

    An exception from outside may come at any line, also at the end of a ``with`` block, before the lock is released.
    """

    @functools.wraps(function)
    def releasing(*args: P.args, **kwargs: P.kwargs) -> T:
        was_held = _is_held()
        try:
            return function(*args, **kwargs)
        except BaseException:
            while not was_held and _is_held():
                LOCK.release()
            raise

    return releasing


_UNKNOWN: Any = object()


def require_free() -> None:
    """Raise DataLayerError if this thread is in the middle of a write: a signal handler calls, and would come in between."""
    if _is_held():
        msg = (
            "a signal handler came into the middle of a write of the same thread, which has to end first; "
            "let the handler note what is to be done, and do it afterwards"
        )
        raise DataLayerError(msg)


def _values(row: Row, fields: Fields) -> Values:
    return tuple([row[field] for field in fields])


class Table:
    """The committed rows.

    rows: the rows by key.
    unique: for each identity, its values to the key, without rows that have ``None`` in them.
    indexes: for each index in use, its values to the keys.
    references: the foreign keys of the rows and towards them; ``None``: the store keeps none.
    numbers: the generated keys; one that was given out is not given again, also if its row was rolled back.
    """

    __slots__ = (
        "__weakref__",
        "committed",
        "identities",
        "indexes",
        "key_of",
        "numbers",
        "primary_key",
        "references",
        "rows",
        "unique",
    )

    def __init__(self, info: ResourceInfo) -> None:
        self.primary_key: Fields = tuple(info.primary_key)
        self.identities: Mapping[str, Fields] = {name: identity.fields for name, identity in info.identities.items()}
        self.key_of = itemgetter(*self.primary_key)
        self.rows: dict[Key, Row] = {}
        self.unique: dict[Fields, dict[Values, Key]] = {fields: {} for fields in self.identities.values()}
        self.indexes: dict[Fields, dict[Values, dict[Key, None]]] = {}
        self.references: Any = None
        self.numbers = itertools.count(1)
        self.committed = Draft(self, tracked=False)

    @releases_lock
    def use_index(self, fields: Fields) -> None:
        """Maintain an index from now on. Indexes that no plan uses cost nothing."""
        with LOCK:
            if fields not in self.indexes:
                index: dict[Values, dict[Key, None]] = {}
                for key, row in self.rows.items():
                    index.setdefault(_values(row, fields), {})[key] = None
                self.indexes = {**self.indexes, fields: index}

    def replace(self, key: Key, new: Row | None) -> None:
        """Replace a row; ``None``: remove it. The caller holds LOCK."""
        # Done twice for a row that an exception from outside came upon, so each step may have been made already.
        old = self.rows.get(key)
        for fields, unique in self.unique.items():
            # Another row of this commit may have these values already.
            if old is not None and unique.get(values := _values(old, fields), _UNKNOWN) == key:
                del unique[values]
            if new is not None and None not in (values := _values(new, fields)):
                unique[values] = key
        for fields, index in self.indexes.items():
            if old is not None:
                keys = index.get(values := _values(old, fields), {})
                keys.pop(key, None)
                if not keys:
                    index.pop(values, None)
            if new is not None:
                index.setdefault(_values(new, fields), {})[key] = None
        if new is None:
            self.rows.pop(key, None)
        else:
            self.rows[key] = new


class Draft:
    """The rows as one transaction sees them: the rows that were committed when it began, and its own writes.

    rows: its own writes; ``None`` for a removed row.
    replaced: rows that others replaced since it began, as they were then.
    journal: its writes in order, for a rollback to a savepoint. All drafts of a transaction share one.
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
        """Return one row, and record that it was read."""
        if self.tracked:
            self._read.add(key)
        return self._seen(key)

    def _seen(self, key: Key) -> Row | None:
        row = self.rows.get(key, _UNKNOWN)
        if row is not _UNKNOWN:
            return row  # type: ignore[no-any-return]  # the sentinel makes it Any
        # In this order: a commit first fills "replaced", then replaces the row.
        row = self.table.rows.get(key)
        return self.replaced.get(key, row)

    @releases_lock
    def holding(self, fields: Fields, values: Values) -> list[Row]:
        """Return the rows with these values, by an identity or an index of the table."""
        if fields in self.table.unique and None in values:
            return [row for row in self.scan(None, {}) if _values(row, fields) == values]
        with IN_TIME:
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

    @releases_lock
    def scan(self, matches: Evaluator | None, params: Mapping[str, Any]) -> list[Row]:
        """Return all rows, and record that those that match were read."""
        with IN_TIME:
            if self.tracked:
                self._matched.append((matches, params))
            if not self.rows and not self.replaced:
                return list(self.table.rows.values())
            seen: dict[Key, Row | None] = {**self.table.rows, **self.replaced, **self.rows}
        return [row for row in seen.values() if row is not None]

    def _local_index(self, fields: Fields) -> dict[Values, set[Key]]:
        """Return the index of the draft's own and of the replaced rows. It may contain keys whose values have changed since."""
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

    @releases_lock
    def put(self, key: Key, row: Row | None) -> None:
        """Write a row in this draft; ``None``: remove it."""
        with IN_TIME:
            self.journal.append((self, key, self.rows.get(key, _UNKNOWN)))
            self.rows[key] = row
            self._note(key, row)

    def taken(self, row: Row) -> tuple[str, Fields] | None:
        """Return name and fields of the identity, or of ``"primary_key"``, that another row of the draft shares with a row.

        The caller has removed the row that this one replaces.
        """
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
        """Return whether others replaced rows that this draft has read or written."""
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
        """Replace the committed rows by this draft's writes."""
        for key, row in self.rows.items():
            self.table.replace(key, row)


@releases_lock
def undo(journal: Journal, mark: int) -> None:
    """Undo all writes after the first ``mark`` ones."""
    if len(journal) <= mark:
        return  # a statement that timed out waiting for LOCK has written nothing, and must not wait for it again
    with LOCK:
        while len(journal) > mark:
            draft, key, before = journal.pop()
            if before is _UNKNOWN:
                draft.rows.pop(key, None)  # an exception from outside may have come before it was written
            else:
                draft.rows[key] = before
                draft._note(key, before)  # noqa: SLF001  # a function of the same module
