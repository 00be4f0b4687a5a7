"""Foreign keys of stores that compute in Python: checks and removals at the end of each statement.

A maintainer opens it to change what a removal does to the rows that refer to the removed one.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from resourcekit.data_layers.base import Reference, Store
from resourcekit.data_layers.rows.table import Draft, Fields, Key, Row, Table, Values
from resourcekit.errors import ForeignKeyViolation

__all__ = ["DraftOf", "References", "enforce"]

DraftOf = Callable[[Table], Draft]
"""Returns the draft of a table in the statement's transaction."""


class References:
    """The foreign keys of one table.

    own: by name, those of its rows. A target keeps ``incoming`` ones no longer than the holder has them.
    """

    __slots__ = ("incoming", "own")

    def __init__(self) -> None:
        self.own: dict[str, tuple[Reference[Store], Table]] = {}
        self.incoming: dict[str, tuple[weakref.ref[Reference[Store]], weakref.ref[Table]]] = {}

    def __bool__(self) -> bool:
        """Return whether there are any."""
        return bool(self.own or self.incoming)

    def refer(self, reference: Reference[Store], target: Table) -> None:
        """Add a foreign key of the table's own rows."""
        self.own[reference.name] = reference, target

    def referred(self, reference: Reference[Store], holder: Table) -> None:
        """Add a foreign key towards the table's rows."""
        holder.use_index(reference.fields)
        self.incoming[reference.name] = weakref.ref(reference), weakref.ref(holder)

    def towards(self) -> Iterator[tuple[Reference[Store], Table]]:
        """Yield the foreign keys towards the table's rows, with the tables that have them."""
        for key, table in self.incoming.values():
            if (reference := key()) is not None and (holder := table()) is not None:
                yield reference, holder


def enforce(draft: Draft, mark: int, draft_of: DraftOf, *, resource: str, removes: bool) -> None:
    """Keep the foreign keys after a statement whose writes are in the journal from ``mark`` on.

    Remove or change the rows that refer to removed ones, and then check all keys. Raise ForeignKeyViolation for a key that
    refers to no row; the caller then undoes the statement.

    removes: the statement removes rows; else it inserts or updates.
    """
    journal = draft.journal
    checks: list[tuple[Reference[Store], Table, Table, Values, bool]] = []
    before: dict[tuple[int, Key], tuple[Draft, Row | None]] = {}
    kept: set[tuple[int, Key]] = set()
    position = mark
    while position < len(journal):
        for at in range(position, len(journal)):
            changed, key, _ = journal[at]
            before.setdefault((id(changed), key), (changed, _old(journal[at])))
        part = list(dict.fromkeys((id(changed), key) for changed, key, _ in journal[position:]))
        position = len(journal)
        for place in part:
            changed, old = before[place]
            new = changed.rows.get(place[1])
            if new is not None:
                checks += _own(changed.table, old, new)
            if old is not None:
                removed = (removes or changed is not draft) and place not in kept and new is None
                checks += _towards(changed, old, new, draft_of, kept, removed=removed)
    for reference, target, holder, values, is_own in checks:
        if _has(draft_of(target), reference.target_fields, values) or not _holding(draft_of(holder), reference.fields, values):
            continue
        raise ForeignKeyViolation(reference.name, reference.fields, is_referred_to=not is_own, resource=resource)


def _old(entry: tuple[Draft, Key, Any]) -> Row | None:
    draft, key, before = entry
    if before is None or isinstance(before, dict):
        return before
    return draft.replaced.get(key, draft.table.rows.get(key))


def _values(row: Mapping[str, Any], fields: Fields) -> Values:
    return tuple([row[field] for field in fields])


def _own(table: Table, old: Row | None, new: Row) -> Iterator[tuple[Reference[Store], Table, Table, Values, bool]]:
    for reference, target in table.references.own.values():
        values = _values(new, reference.fields)
        if None not in values and (old is None or _values(old, reference.fields) != values):
            yield reference, target, table, values, True


def _towards(
    changed: Draft, old: Row, new: Row | None, draft_of: DraftOf, kept: set[tuple[int, Key]], *, removed: bool
) -> Iterator[tuple[Reference[Store], Table, Table, Values, bool]]:
    for reference, holder in changed.table.references.towards():
        values = _values(old, reference.target_fields)
        if None in values or (new is not None and _values(new, reference.target_fields) == values):
            continue
        if removed and reference.on_delete != "restrict" and not _has(changed, reference.target_fields, values):
            others = draft_of(holder)
            for row in _holding(others, reference.fields, values):
                key = holder.key_of(row)
                if reference.on_delete == "cascade":
                    others.put(key, None)
                else:
                    others.put(key, {**row, **dict.fromkeys(reference.fields)})
                    kept.add((id(others), key))
            continue
        yield reference, changed.table, holder, values, False


def _has(draft: Draft, fields: Fields, values: Values) -> bool:
    """Return whether a row has these values of its primary key or an identity."""
    if fields == draft.table.primary_key:
        return draft.get(values[0] if len(values) == 1 else values) is not None
    return bool(draft.holding(fields, values))


def _holding(draft: Draft, fields: Fields, values: Values) -> list[Row]:
    return draft.holding(fields, values)
