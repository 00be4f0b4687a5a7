"""Databases of the benchmarks' own on the real server that tests use, too."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.engine import make_url

__all__ = ["MissingServer", "empty", "run_sql", "version"]


class MissingServer(Exception):
    """There is no server of that kind, or what is needed to speak to one is not installed."""


def _server(kind: str) -> str:
    try:
        from tests.support.databases import server_url

        return server_url(kind)
    except (ImportError, LookupError) as error:
        raise MissingServer(str(error)) from None


def run_sql(url: str, *statements: str) -> list[tuple[object, ...]]:
    """Run statements on one connection, and return the rows of the last one."""
    from tests.support.databases import connect

    connection = connect(url)
    try:
        cursor = connection.cursor()
        for sql in statements:
            cursor.execute(sql)
        return list(cursor.fetchall()) if cursor.description else []
    finally:
        connection.close()


def version(kind: str) -> str:
    """Return what a server calls itself, shortly. Raises MissingServer."""
    return str(run_sql(_server(kind), "SELECT version()")[0][0]).split(" on ")[0].removeprefix("PostgreSQL ")


@contextmanager
def empty(kind: str, template: str = "") -> Iterator[str]:
    """Yield the URL of a new database, empty or a copy of another one (PostgreSQL), removed afterwards. Raises MissingServer."""
    server = _server(kind)
    name = f"resourcekit_benchmark_{os.getpid()}_{secrets.token_hex(3)}"
    copied = f" TEMPLATE {make_url(template).database}" if template else ""
    run_sql(server, f"CREATE DATABASE {name}{copied}")
    try:
        yield make_url(server).set(database=name).render_as_string(hide_password=False)
    finally:
        run_sql(server, f"DROP DATABASE {name}{' WITH (FORCE)' if kind == 'postgresql' else ''}")
