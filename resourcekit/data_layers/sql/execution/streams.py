"""Streams: rows one by one with constant memory, in sync and async calls."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from resourcekit.call_context import CallMode, Deadline, call_deadline, call_mode
from resourcekit.data_layers.base import Row
from resourcekit.data_layers.sql.compile.statement import Statement
from resourcekit.data_layers.sql.dialects.driver import Reader
from resourcekit.data_layers.sql.execution.async_pool import AsyncConnection
from resourcekit.data_layers.sql.execution.connection import Connection, rollback
from resourcekit.data_layers.sql.execution.engines import Engines
from resourcekit.data_layers.sql.execution.execute import Savepoint, ended_in, ending_deadline, with_timeout
from resourcekit.data_layers.sql.execution.needs import Use
from resourcekit.data_layers.sql.execution.pool import SyncPool
from resourcekit.data_layers.transactions import turn_of

__all__ = ["stream"]

_PAGE = 200
"""Rows that are fetched from the database at a time."""


async def stream(
    repo: Engines,
    savepoint: Savepoint | None,
    statement: Statement,
    values: list[Any],
    translated: Callable[[Exception], Exception],
) -> AsyncIterator[Row]:
    """Yield rows, inside the transaction that was open when the stream was requested, if there was one.

    translated: returns the error to raise instead.
    """
    if call_mode.get() is CallMode.SYNC:
        for row in _sync(repo, savepoint, statement, values, translated):
            yield row
        return
    alone, deadline = savepoint is None, call_deadline(repo, repo.seconds)
    checkout = repo.async_pools.here().checkout(Use.STREAM)
    try:
        connection = (
            savepoint.open_transaction.connection
            if savepoint is not None
            else await with_timeout(deadline, checkout.take, deadline)
        )
        assert isinstance(connection, AsyncConnection)
        connection.autocommit_write = False
        reader = await with_timeout(deadline, connection.work, _open, deadline, statement.sql, values, alone)
        deadline = call_deadline(repo, repo.seconds)
        while page := await with_timeout(deadline, connection.work, _page, reader, deadline):
            for row in statement.rows(page):
                yield row
            deadline = call_deadline(repo, repo.seconds)  # each step of the iteration has the timeout of a call
        await with_timeout(deadline, connection.work, _close, reader, deadline, True, alone)
        checkout.put()
    except BaseException as error:
        await checkout.discard()
        if savepoint is not None and not isinstance(error, GeneratorExit):
            ended_in(savepoint.open_transaction, error)
        if isinstance(error, Exception):
            raise translated(error) from None
        raise
    finally:
        if savepoint is not None:
            savepoint.open_transaction.connection.let_go()


def _sync(
    repo: Engines,
    savepoint: Savepoint | None,
    statement: Statement,
    values: list[Any],
    translated: Callable[[Exception], Exception],
) -> Iterator[Row]:
    pool, connection, deadline = repo.sync_pool, None, call_deadline(repo, repo.seconds)
    try:
        connection = savepoint.open_transaction.connection if savepoint is not None else pool.take(deadline, Use.STREAM)
        connection.autocommit_write = False
        with turn_of(savepoint, anywhere=True):
            reader = _open(connection, deadline, statement.sql, values, savepoint is None)
        done = False
        try:
            while page := _next_page(connection, savepoint, reader, call_deadline(repo, repo.seconds)):
                yield from statement.rows(page)
            done = True
        finally:
            with turn_of(savepoint, anywhere=True):
                _close(connection, reader, ending_deadline(repo), done, savepoint is None)
        if savepoint is None:
            pool.put(connection)
    except GeneratorExit as error:  # the caller has enough of it, and the reader is closed
        if savepoint is None and connection is not None:
            _give_back(pool, connection, error)
        raise
    except BaseException as error:
        if savepoint is not None:
            ended_in(savepoint.open_transaction, error)
        elif connection is not None:
            pool.put_back(connection, error)
        if isinstance(error, Exception):
            raise translated(error) from None
        raise
    finally:
        if savepoint is not None:
            savepoint.open_transaction.connection.let_go()


def _give_back(pool: SyncPool, connection: Connection, error: BaseException) -> None:
    if connection.user == threading.get_ident() and connection.is_clean():
        pool.put(connection)
    else:
        pool.put_back(connection, error)


def _open(
    connection: Connection, deadline: Deadline, sql: str, values: list[Any], alone: bool
) -> Reader:  # passed through run_sync
    connection.allow(deadline)
    reader: Reader = connection.ask(lambda: connection.dialect.read(connection, sql, values, alone=alone))
    return reader


def _page(connection: Connection, reader: Reader, deadline: Deadline) -> list[Any]:
    connection.allow(deadline)
    return connection.ask(reader.page, _PAGE)


def _next_page(connection: Connection, savepoint: Savepoint | None, reader: Reader, deadline: Deadline) -> list[Any]:
    with turn_of(savepoint, anywhere=True):
        return _page(connection, reader, deadline)


def _close(
    connection: Connection, reader: Reader, deadline: Deadline, done: bool, alone: bool
) -> None:  # passed through run_sync
    if connection.awaiting_reply or connection.dialect.is_broken(connection):
        reader.drop()
        return
    connection.allow(deadline)
    reader.close(done=done)
    if alone:
        rollback(connection)
