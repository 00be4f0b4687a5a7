"""Leases: a name that at most one caller holds, kept in a small table of the same database. It knows no resource."""

from __future__ import annotations

import secrets
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from types import TracebackType
from typing import Any, Protocol

import sqlalchemy as sa

from resourcekit.data_layers.sql import storage
from resourcekit.data_layers.sql.columns import encode_moment
from resourcekit.data_layers.sql.link import Link
from resourcekit.flow.clock import current_clock

__all__ = ["Lease", "table_in"]

_TABLE = "resourcekit_leases"
_TAKE = (
    f"INSERT INTO {_TABLE} (name, holder, until) VALUES (?, ?, ?) "  # noqa: S608  # a constant
    "ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until "
    f"WHERE {_TABLE}.until <= ?"
)
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


class Lease(AbstractAsyncContextManager[bool]):
    """``async with`` yields whether this caller holds the name; it is given back at the end, or lost after its time."""

    def __init__(self, store: _Does, name: str, ttl: timedelta) -> None:
        self._store, self._name, self._ttl = store, name, ttl
        self._holder = secrets.token_hex(16)
        self._held = False

    async def __aenter__(self) -> bool:
        """Try to take it; does not wait."""
        self._held = bool(await self._store.do(_take, table_in(self._store.repo.metadata), self._name, self._holder, self._ttl))
        return self._held

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Give it back, if it is still ours."""
        if self._held:
            await self._store.do(_give, self._name, self._holder)


def _take(link: Link, table: sa.Table, name: str, holder: str, ttl: timedelta) -> bool:
    storage.create(link, table)
    now = encode_moment(current_clock().now())
    return link.run(_TAKE, (name, holder, now + ttl // timedelta(microseconds=1), now)) == 1


def _give(link: Link, name: str, holder: str) -> int:
    return link.run(_GIVE, (name, holder))
