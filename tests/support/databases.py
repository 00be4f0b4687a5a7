"""Databases for tests: a file of SQLite, or a scratch place on a real server that was named, found or started.

A server is looked for in this order: the environment variable RESOURCEKIT_TEST_POSTGRESQL_URL or ..._MARIADB_URL (a user
who may create databases; ``start`` passes over the next step), the usual port of this machine, a server of our own, started from
a wheel (PostgreSQL) or from the machine's programs (MariaDB).
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import itertools
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest
from sqlalchemy.engine import URL, make_url

from tests.support.mariadb import started_here
from tests.support.postgres import started_from_a_wheel

__all__ = ["KINDS", "MISSING", "Database", "connect", "run_sql", "scratch", "server_url", "shared"]

KINDS = ("sqlite", "postgresql", "mariadb")

MISSING = "could not run: "
"""How the reason of a test begins that was skipped because a server is missing; the end of the run lists them."""

_USUAL = {
    "postgresql": ("postgresql://postgres@127.0.0.1:5432/postgres", "postgresql://127.0.0.1:5432/postgres"),
    "mariadb": ("mariadb://root@127.0.0.1:3306/",),
}
_numbers = itertools.count()


@attrs.frozen
class Database:
    """An empty database of one test. url: to give to ``SQL``; it holds no password."""

    kind: str
    url: str

    def run(self, sql: str) -> list[Any]:
        """Run a statement of the test's own, past all that is tested, and return its rows."""
        return run_sql(self.url, sql)


def run_sql(url: str, sql: str) -> list[Any]:
    """Run a statement on a connection that is opened for it, and return its rows."""
    connection = connect(url)
    try:
        cursor = connection.cursor()
        cursor.execute(sql)
        return list(cursor.fetchall()) if cursor.description else []
    finally:
        connection.close()


def connect(url: str) -> Any:
    """Return a connection of the test's own, which commits each statement by itself."""
    return _connect(make_url(url))


def _connect(url: URL) -> Any:
    if url.get_backend_name() == "postgresql":
        import psycopg

        text = url.set(drivername="postgresql").render_as_string(hide_password=False)
        return psycopg.connect(text, autocommit=True, connect_timeout=5)
    if url.get_backend_name() == "sqlite":
        import sqlite3

        return sqlite3.connect(url.database or "", isolation_level=None)
    import pymysql

    return pymysql.connect(
        host=url.host,
        port=url.port or 3306,
        user=url.username,
        password=url.password or "",
        database=url.database or None,
        autocommit=True,
        connect_timeout=5,
        ssl_disabled=True,  # else all certificates of the machine are read for each connection
    )


@functools.cache
def server_url(kind: str) -> str:
    """Return the URL of a server. Raises LookupError, with what to do, where there is none."""
    named = os.environ.get(f"RESOURCEKIT_TEST_{kind.upper()}_URL")
    if named and named != "start":
        return named
    reasons = []
    for url in () if named else _USUAL[kind]:
        try:
            run_sql(url, "SELECT 1")
        except Exception as error:  # whatever it is, the next place may do
            reasons.append(f"{url}: {type(error).__name__}")
        else:
            return url
    try:
        return (started_from_a_wheel if kind == "postgresql" else started_here)().url
    except LookupError as error:
        reasons.append(str(error))
    raise LookupError(f"no {kind} server ({'; '.join(reasons)}); set RESOURCEKIT_TEST_{kind.upper()}_URL")


@functools.cache
def _place_of_the_run(kind: str) -> str:
    """Make one database on a server for this run, removed at its end."""
    server = server_url(kind)
    name = f"resourcekit_test_{os.getpid()}_{secrets.token_hex(4)}"
    run_sql(server, f"CREATE DATABASE {name}")
    owner = os.getpid()

    def remove() -> None:
        if os.getpid() == owner:
            force = " WITH (FORCE)" if kind == "postgresql" else ""
            run_sql(server, f"DROP DATABASE IF EXISTS {name}{force}")

    atexit.register(remove)
    return make_url(server).set(database=name).render_as_string(hide_password=False)


def shared(kind: str) -> Database:
    """Return the database that all tests of a run share, where an empty one for each would take too long.

    Each test gives its tables names of their own. Skips the test where there is no server, and fails it under CI.
    """
    try:
        return Database(kind, _place_of_the_run(kind))
    except LookupError as missing:
        if os.environ.get("CI"):
            pytest.fail(f"{MISSING}{missing}")
        pytest.skip(f"{MISSING}{missing}")


@contextmanager
def scratch(kind: str, folder: Path) -> Iterator[Database]:
    """Yield an empty database of a kind; skips the test where there is no server, and fails it under CI."""
    if kind == "sqlite":
        yield Database(kind, f"sqlite:///{folder}/test.db")
        return
    place = make_url(shared(kind).url)
    name = f"{place.database}_{next(_numbers)}"
    if kind == "postgresql":
        made, removed = f"CREATE SCHEMA {name}", f"DROP SCHEMA {name} CASCADE"
        url = place.update_query_dict({"options": f"-csearch_path={name}"})
    else:
        made, removed = f"CREATE DATABASE {name}", f"DROP DATABASE {name}"
        url = place.set(database=name)
    whole = place.render_as_string(hide_password=False)
    run_sql(whole, made)
    try:
        yield Database(kind, url.render_as_string(hide_password=False))
    finally:
        # What a test left open would make the removal wait for it.
        if kind == "postgresql":
            run_sql(
                whole,
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()",
            )
        else:
            for (connection,) in run_sql(whole, f"SELECT id FROM information_schema.processlist WHERE db = '{name}'"):
                with contextlib.suppress(Exception):  # it may have ended by itself
                    run_sql(whole, f"KILL {connection}")
        run_sql(whole, removed)
