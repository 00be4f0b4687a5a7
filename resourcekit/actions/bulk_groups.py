"""Groups the rows of a bulk create into as few statements as possible."""

from __future__ import annotations

import datetime as dt
import decimal
import uuid
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import attrs

from resourcekit.changeset import Changeset
from resourcekit.data_layers.base import Params, Plan, Row
from resourcekit.resource_info import ResourceInfo

__all__ = ["Entry", "Group", "grouped"]

_PLAIN = frozenset(
    {bool, int, float, str, bytes, decimal.Decimal, dt.datetime, dt.date, dt.time, dt.timedelta, uuid.UUID, type(None)}
)
"""Types whose values are equal if, and only if, their ``repr`` is equal."""


@attrs.frozen(eq=False)
class Entry:
    """A row to write, with its plan.
    index: position of its input. changeset: set for a row that may have to be refused if the store skips it. compared: set for a
    row whose record has to be read to find out whether anything changes.
    """

    index: int
    row: Row
    plan: Plan
    params: Params
    changeset: Changeset | None = None
    compared: Changeset | None = None


@attrs.frozen(eq=False)
class Group:
    """Rows that one statement writes with the same parameters."""

    plan: Plan
    params: Params
    entries: list[Entry]


def grouped(info: ResourceInfo, entries: Sequence[Entry]) -> list[Group]:
    """Group rows into statements that run one after the other.

    If two rows may be the same record, because they share a primary key or an identity, all rows are written in the order of
    the inputs. Then only neighbours share a statement.
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
    """Return a key that is equal for equal parameters. Values that are not of a plain type count as equal only if they are the
    same object.
    """
    return tuple(
        (name, type(value), repr(value) if type(value) in _PLAIN else id(value)) for name, value in sorted(params.items())
    )


def _meet(info: ResourceInfo, rows: Sequence[Row]) -> bool:
    """Return whether two of the rows may be the same record by the primary key or an identity."""
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
        except TypeError:  # not hashable, so equality is unknown: assume a repetition
            return True
    return False
