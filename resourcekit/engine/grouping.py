"""Parts the rows of a bulk create into statements: as few as there may be. It runs nothing."""

from __future__ import annotations

import datetime as dt
import decimal
import uuid
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import attrs

from resourcekit.data_layers.base import Params, Plan, Row
from resourcekit.resource_info import ResourceInfo

__all__ = ["Entry", "Group", "grouped"]

_PLAIN = frozenset(
    {bool, int, float, str, bytes, decimal.Decimal, dt.datetime, dt.date, dt.time, dt.timedelta, uuid.UUID, type(None)}
)
"""Types of which a value is told from all others by its ``repr``."""


@attrs.frozen(eq=False)
class Entry:
    """A row to be written, and how. index: of its input."""

    index: int
    row: Row
    plan: Plan
    params: Params


@attrs.frozen(eq=False)
class Group:
    """Rows that one statement writes, with the same parameters."""

    plan: Plan
    params: Params
    entries: list[Entry]


def grouped(info: ResourceInfo, entries: Sequence[Entry]) -> list[Group]:
    """Part rows into groups, to be written one after the other.

    Rows that may meet each other, because they have a key or an identity in common, are written in the order of the input:
    then only neighbours share a statement.
    """
    keys = [(id(entry.plan), _key(entry.params)) for entry in entries]
    in_order = len(set(keys)) > 1 and _meet(info, [entry.row for entry in entries])
    groups: list[Group] = []
    known: dict[Hashable, Group] = {}
    for key, entry in zip(keys, entries, strict=True):
        if key not in known:
            if in_order:
                known.clear()
            known[key] = Group(entry.plan, entry.params, [])
            groups.append(known[key])
        known[key].entries.append(entry)
    return groups


def _key(params: Params) -> Hashable:
    """Return what parameters have in common that are the same; of what is not plain, only the very same object is."""
    return tuple(
        (name, type(value), repr(value) if type(value) in _PLAIN else id(value)) for name, value in sorted(params.items())
    )


def _meet(info: ResourceInfo, rows: Sequence[Row]) -> bool:
    """Tell whether two of the rows may be the same record for some key or identity."""
    identities = (info.primary_key, *(identity.fields for identity in info.identities.values()))
    return any(_repeats(_values(rows, fields)) for fields in identities)


def _values(rows: Iterable[Mapping[str, Any]], fields: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    return (tuple(row.get(name) for name in fields) for row in rows)


def _repeats(values: Iterable[tuple[Any, ...]]) -> bool:
    seen: set[tuple[Any, ...]] = set()
    for value in values:
        try:
            if value in seen:
                return True
            seen.add(value)
        except TypeError:  # not hashable: who knows
            return True
    return False
