"""Streams: rows one by one with constant memory, in sync and async calls."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

from resourcekit.call_context import Deadline, call_deadline
from resourcekit.data_layers.base import Row
from resourcekit.data_layers.sql.compile.statement import Statement
from resourcekit.data_layers.sql.dialects.driver import Reader
from resourcekit.data_layers.sql.execution.async_pool import Checkout
from resourcekit.data_layers.sql.execution.checkouts import SyncCheckout, checkout_of, run_on
from resourcekit.data_layers.sql.execution.connection import Connection, rollback
from resourcekit.data_layers.sql.execution.engines import Engines
from resourcekit.data_layers.sql.execution.execute import Savepoint, ended_in, ending_deadline, with_timeout
from resourcekit.data_layers.sql.execution.needs import Use
from resourcekit.data_layers.transactions import turn_of

__all__ = ["stream"]

T = TypeVar("T")

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
    alone, deadline = savepoint is None, call_deadline(repo, repo.seconds)
    checkout, is_closing = checkout_of(repo, Use.STREAM), False
    try:
        connection = await _connection(checkout, deadline) if savepoint is None else savepoint.open_transaction.connection
        connection.autocommit_write = False
        reader = await _step(connection, savepoint, deadline, _open, statement.sql, values, alone)
        done = False
        try:
            # Each step of the iteration has the timeout of a call.
            while page := await _step(connection, savepoint, call_deadline(repo, repo.seconds), _page, reader):
                for row in statement.rows(page):
                    yield row
            done = True
        finally:
            is_closing = True
            await _step(connection, savepoint, ending_deadline(repo), _close, reader, done, alone)
            is_closing = False
        checkout.put()
    except GeneratorExit as error:
        if not is_closing:  # the caller has enough of it, and the reader is closed
            await checkout.stop(error)
            raise
        checkout.abandon()  # the task that closed it has ended, so nothing can be awaited any more
        if savepoint is not None:
            ended_in(savepoint.open_transaction, error)
        raise
    except BaseException as error:
        await checkout.put_back(error)
        if savepoint is not None:
            ended_in(savepoint.open_transaction, error)
        if isinstance(error, Exception):
            raise translated(error) from None
        raise
    finally:
        if savepoint is not None:
            savepoint.open_transaction.connection.let_go()


async def _connection(checkout: SyncCheckout | Checkout, deadline: Deadline) -> Connection:
    if isinstance(checkout, SyncCheckout):
        return await checkout.take(deadline)
    return await with_timeout(deadline, checkout.take, deadline)


async def _step(
    connection: Connection, savepoint: Savepoint | None, deadline: Deadline, function: Callable[..., T], *args: Any
) -> T:
    """Run ``function(connection, deadline, *args)``, alone in the transaction if there is one."""
    with turn_of(savepoint, anywhere=True):
        return await run_on(connection, deadline, function, deadline, *args)


def _open(
    connection: Connection, deadline: Deadline, sql: str, values: list[Any], alone: bool
) -> Reader:  # passed through run_sync
    connection.allow(deadline)
    reader: Reader = connection.ask(lambda: connection.dialect.read(connection, sql, values, alone=alone))
    return reader


def _page(connection: Connection, deadline: Deadline, reader: Reader) -> list[Any]:
    connection.allow(deadline)
    return connection.ask(reader.page, _PAGE)


def _close(
    connection: Connection, deadline: Deadline, reader: Reader, done: bool, alone: bool
) -> None:  # passed through run_sync
    if connection.awaiting_reply or connection.dialect.is_broken(connection):
        reader.drop()
        return
    connection.allow(deadline)
    reader.close(done=done)
    if alone:
        rollback(connection)
