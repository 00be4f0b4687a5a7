"""Where tokens are kept in a walk: a store that threads, and processes too, can share."""

from __future__ import annotations

import contextlib
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import attrs
import pytest
import redis

from resourcekit.data_layers import SQL, Memory, Redis
from tests.support import valkey
from tests.support.databases import run_sql, scratch

__all__ = ["EVERYWHERE", "SHARED", "Place", "somewhere"]

_SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("postgresql", "mariadb", "valkey", "cluster")]
EVERYWHERE = ["memory", "sqlite", *_SLOW]
SHARED = ["sqlite", *_SLOW]
"""Kinds of places, those on servers for slow runs; the second: which processes can share."""


@attrs.frozen
class Place:
    """A store. kind: what it is; urls: where; name: of the table, or the tag, that keeps a test apart from others."""

    kind: str
    urls: tuple[str, ...] = ()
    name: str = "tokens"

    def layer(self, more: str = "") -> Any:
        """Return a data layer; ``more``: makes another one in the same store."""
        if self.kind == "memory":
            return Memory()
        if self.kind in ("redis", "valkey", "cluster"):
            urls = list(self.urls) if len(self.urls) > 1 else self.urls[0]
            return Redis(urls, tag=self.name + more, accept=["appendonly"] if self.kind == "redis" else [])
        return SQL(self.urls[0], table=self.name + more)

    @property
    def is_optimistic(self) -> bool:
        """Whether a transaction blocks no other one, and learns at its commit that another one came first."""
        return self.kind in ("memory", "redis", "valkey", "cluster")

    @property
    def frees_by_itself(self) -> bool:
        """Whether the store removes what is past its time, so that a sweep finds little."""
        return self.kind in ("redis", "valkey", "cluster")

    def is_sound(self) -> bool:
        """Return whether the store itself finds its contents valid."""
        if self.kind != "sqlite":
            return True
        with closing(sqlite3.connect(self.urls[0].removeprefix("sqlite:///"))) as connection:
            return [("ok",)] == connection.execute("PRAGMA integrity_check").fetchall()

    def connections(self) -> list[int]:
        """Return the connections to the database that others than this call have; those of its users, all of this test."""
        if self.kind == "postgresql":
            asked = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        elif self.kind == "mariadb":
            asked = "SELECT id FROM information_schema.processlist WHERE db = database() AND id <> connection_id()"
        else:
            return []
        return [number for (number,) in run_sql(self.urls[0], asked)]

    def cut(self, connection: int) -> None:
        """End a connection, whatever it is doing."""
        ends = "SELECT pg_terminate_backend({})" if self.kind == "postgresql" else "KILL {}"
        with contextlib.suppress(Exception):  # it may have ended by itself
            run_sql(self.urls[0], ends.format(connection))

    def clear(self) -> None:
        """Remove what is left on a server that others use too."""
        if self.kind == "redis":
            with closing(redis.Redis.from_url(self.urls[0])) as client:
                for key in client.scan_iter(f"{{{self.name}*", count=1000):
                    client.delete(key)


@contextlib.contextmanager
def somewhere(kind: str, folder: Path, servers: Any) -> Iterator[Place]:
    """Yield an empty place of a kind. servers: gives the Valkey servers of the run by their kind."""
    name = f"walk_{secrets.token_hex(6)}"
    match kind:
        case "memory":
            yield Place(kind)
        case "sqlite":
            yield Place(kind, (f"sqlite:///{folder}/walk.db",))
        case "postgresql" | "mariadb":
            with scratch(kind, folder) as database:
                yield Place(kind, (database.url,))
        case "redis":
            url = valkey.machine_url()
            if url is None:
                pytest.skip("a Redis server on port 6379 is missing")
            place = Place(kind, (url,), name)
            yield place
            place.clear()
        case _:
            yield Place(kind, servers(kind), name)
