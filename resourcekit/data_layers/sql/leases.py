"""Leases: a name that at most one caller holds, kept in a small table of the same database. It knows no resource.

They are counted by a clock that all who share the database have in common (``Room.common_time``), and that nobody sets. A
holder's name begins with the name of that clock: what was held by another one, before the host was started, is free.
"""

from __future__ import annotations

import secrets
from datetime import timedelta
from types import TracebackType
from typing import Any, Protocol

import sqlalchemy as sa

from resourcekit.data_layers import base
from resourcekit.data_layers.sql import storage
from resourcekit.data_layers.sql.link import Link
from resourcekit.flow.clock import current_clock

__all__ = ["Lease", "table_in"]

_TABLE = "resourcekit_leases"
_TAKE = (
    f"INSERT INTO {_TABLE} (name, holder, until) VALUES (?, ?, ?) "  # noqa: S608  # a constant
    "ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until "
    f"WHERE {_TABLE}.until <= ? OR substr({_TABLE}.holder, 1, ?) <> ?"
)
_KEEP = f"UPDATE {_TABLE} SET until = ? WHERE name = ? AND holder = ? AND until > ?"  # noqa: S608  # a constant
_UNTIL = f"SELECT until FROM {_TABLE} WHERE name = ?"  # noqa: S608  # a constant
_GIVE = f"DELETE FROM {_TABLE} WHERE name = ? AND holder = ?"  # noqa: S608  # a constant


class _Does(Protocol):
    """What a lease needs of a store."""

    repo: Any

    async def do(self, function: Any, *args: Any, writes: bool = True) -> Any:
        """Run a function on a connection."""


def table_in(metadata: sa.MetaData) -> sa.Table:
    """Return the table of leases in a metadata, added where it is missing."""
    if _TABLE in metadata.tables:
        return metadata.tables[_TABLE]
    return sa.Table(
        _TABLE,
        metadata,
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("holder", sa.Text, nullable=False),
        sa.Column("until", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )


class Lease(base.Lease):
    """See the port."""

    def __init__(self, store: _Does, name: str, ttl: timedelta) -> None:
        self._store, self._name, self._ttl = store, name, ttl
        self._holder = ""
        self._holds = self._is_kept = False

    async def __aenter__(self) -> bool:
        """Try to take it; does not wait."""
        table = table_in(self._store.repo.metadata)
        self._holds, self._holder, left = await self._store.do(_take, table, self._name, self._ttl)
        self.until = None if left is None else current_clock().now() + left
        return self._holds

    async def keep(self, ttl: timedelta) -> bool:
        """See the port."""
        if await self._store.do(_keep, self._name, self._holder, ttl):
            self._is_kept, self.until = True, current_clock().now() + ttl
            return True
        return False

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Give it back, if it is still ours and was not to be kept."""
        if self._holds and not self._is_kept:
            await self._store.do(_give, self._name, self._holder)


def _microseconds(ttl: timedelta) -> int:
    return ttl // timedelta(microseconds=1)


def _take(link: Link, table: sa.Table, name: str, ttl: timedelta) -> tuple[bool, str, timedelta | None]:
    """Return whether it is held now, by whom if so, and for how much longer by whomever."""
    storage.create(link, table)
    clock, now = link.room.common_time(link)
    holder = clock + secrets.token_hex(16)
    if link.run(_TAKE, (name, holder, now + _microseconds(ttl), now, len(clock), clock)) == 1:
        return True, holder, ttl
    rows = link.fetch(_UNTIL, (name,))
    return False, "", timedelta(microseconds=rows[0][0] - now) if rows else None


def _keep(link: Link, name: str, holder: str, ttl: timedelta) -> int:
    _, now = link.room.common_time(link)
    return link.run(_KEEP, (now + _microseconds(ttl), name, holder, now))


def _give(link: Link, name: str, holder: str) -> int:
    return link.run(_GIVE, (name, holder))
