"""``joined``: calls of resources inside the user's own SQLAlchemy transaction, which it neither begins nor ends itself.

A maintainer opens it to support another kind of session or connection.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Hashable, Mapping, Sequence
from types import TracebackType
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncConnection as SAAsyncConnection
from sqlalchemy.ext.asyncio import AsyncSession, async_scoped_session
from sqlalchemy.orm import Session, SessionTransaction, scoped_session

from resourcekit.call_context import CallMode, Deadline, call_deadline, call_mode
from resourcekit.data_layers.sql.execution.async_pool import AsyncConnection
from resourcekit.data_layers.sql.execution.connection import Connection, begin
from resourcekit.data_layers.sql.execution.engines import Engines, engines_of, uses_driver_of
from resourcekit.data_layers.sql.execution.execute import ABANDONED, OpenTransaction, Savepoint, with_timeout
from resourcekit.data_layers.sql.execution.failures import as_ours
from resourcekit.data_layers.sql.transactions.external_transaction import ExternalTransaction, external_transaction_of
from resourcekit.data_layers.transactions import ambient
from resourcekit.errors import InvalidArgument

__all__ = ["joined"]

Transactional = (
    Session | scoped_session[Session] | sa.Connection | AsyncSession | async_scoped_session[AsyncSession] | SAAsyncConnection
)


class joined:  # noqa: N801  # a context manager, named as it is used: with joined(session, Token):
    """Make all calls of these resources inside the block part of the transaction of a session or connection.

    ``with`` for Session and Connection, ``async with`` for AsyncSession and AsyncConnection. A scoped session is resolved to
    its session. Writes are acknowledged when the user commits. ``after_commit`` functions run then, and never after a rollback.
    If the user rolls back to a savepoint, the writes inside it are rolled back too.

    Raises InvalidArgument for a connection in autocommit mode, a connection to another kind of database, or a driver that is
    not supported. Calls raise DataLayerError if the transaction has ended inside the block.
    """

    def __init__(self, transaction: Transactional, *resources: Any) -> None:
        if not resources:
            msg = "name the resources whose work joins the transaction: joined(session, Token)"
            raise InvalidArgument(msg)
        if isinstance(transaction, (scoped_session, async_scoped_session)):
            transaction = transaction()
        self._given, self._resources = transaction, resources
        # Of this block only, and without a reference to it, so that the session does not keep a block that was dropped.
        self._listener = functools.partial(_begun)
        self._before: Mapping[Hashable, Any] = {}
        self._levels: list[Savepoint] = []
        self._session: Session | None = None
        self._external_transaction: ExternalTransaction | None = None

    def _repos(self) -> list[Engines]:
        return list({id(repo): repo for repo in map(engines_of, self._resources)}.values())

    def _open(self, connection: Connection, sa_connection: sa.Connection, repos: list[Engines], *, uses_snapshot: bool) -> None:
        is_async = isinstance(connection, AsyncConnection)
        before = call_mode.get()
        try:
            call_mode.set(CallMode.ASYNC if is_async else CallMode.SYNC)
            self._levels = [
                Savepoint(OpenTransaction(repo.process_state, connection, uses_snapshot=uses_snapshot), None) for repo in repos
            ]
        finally:
            call_mode.set(before)
        self._external_transaction = external_transaction_of(sa_connection, connection.dialect, is_async=is_async)
        for savepoint in self._levels:
            savepoint.callbacks = self._external_transaction.callbacks  # one list keeps the order over all resources
            self._external_transaction.open_transactions.append(savepoint.open_transaction)
        if isinstance(self._given, (Session, AsyncSession)):
            self._session = self._given if isinstance(self._given, Session) else self._given.sync_session
            event.listen(self._session, "after_transaction_create", self._listener)
        self._before = ambient.get()
        ambient.set({**self._before, **dict(zip(repos, self._levels, strict=True))})

    def _close(self) -> Connection | None:
        """Leave the transaction. Return its Connection if that cannot be used any more, else ``None``."""
        levels, external = self._levels, self._external_transaction
        assert external is not None
        try:
            ambient.set(self._before)
            for savepoint in levels:
                savepoint.scope.close(savepoint)
                savepoint.scope.give()
            connection = levels[0].open_transaction.connection
            self._forget()
            if not any(open_transaction.connection is connection for open_transaction in external.open_transactions):
                connection.dialect.leave(connection)
            return connection if connection.dialect.is_broken(connection) else None
        except BaseException:
            self._abandon()
            raise

    def _forget(self) -> None:
        """Let neither the session nor the transaction refer to the block any more. Doing it twice changes nothing."""
        if self._session is not None and event.contains(self._session, "after_transaction_create", self._listener):
            event.remove(self._session, "after_transaction_create", self._listener)
        external = self._external_transaction
        for savepoint in self._levels:
            if external is not None and savepoint.open_transaction in external.open_transactions:
                external.left(savepoint.open_transaction)
        self._levels = []

    def _abandon(self) -> None:
        """End a block that was interrupted from outside: nothing of it stays ambient, and no call of it goes on."""
        if any(block in self._levels for block in ambient.get().values()):
            ambient.set(self._before)
        for savepoint in self._levels:
            savepoint.open_transaction.lose(ABANDONED)
            savepoint.open_transaction.abandon(savepoint)
        self._forget()

    def __del__(self) -> None:
        """End a block that was dropped: an exception from outside came just before its end could begin."""
        if getattr(self, "_levels", None):
            self._abandon()

    def __enter__(self) -> None:
        """Join the transaction."""
        mode = call_mode.get()
        try:
            self._join()
        except BaseException:
            call_mode.set(mode)
            self._abandon()
            raise

    def _join(self) -> None:
        repos = self._repos()
        given = self._given
        if not isinstance(given, (Session, sa.Connection)):
            msg = "use async with for an async session or connection"
            raise InvalidArgument(msg)
        sa_connection = given.connection() if isinstance(given, Session) else given
        _begin(sa_connection, repos)
        outer = external_transaction_of(sa_connection, repos[0].dialect, is_async=False).open_transaction
        if outer is not None:
            self._open(outer.connection, sa_connection, repos, uses_snapshot=outer.uses_snapshot)
            return
        dialect = repos[0].dialect
        sleep = None if dialect.is_server else time.sleep
        connection = Connection(dialect, sa_connection.connection.dbapi_connection, sa_connection, sleep=sleep, is_external=True)
        try:
            uses_snapshot = _prepare(connection, call_deadline(repos[0], repos[0].seconds), repos)
        except Exception as error:
            raise as_ours(error, dialect) from None
        self._open(connection, sa_connection, repos, uses_snapshot=uses_snapshot)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Leave the transaction, which goes on."""
        broken = self._close()
        if broken is not None:  # so that the user's rollback does not use it
            broken.sa_connection.invalidate()

    async def __aenter__(self) -> None:
        """Join the transaction."""
        mode = call_mode.get()
        try:
            await self._join_async()
        except BaseException:
            call_mode.set(mode)
            self._abandon()
            raise

    async def _join_async(self) -> None:
        repos = self._repos()
        given = self._given
        if not isinstance(given, (AsyncSession, SAAsyncConnection)):
            msg = "use with for a sync session or connection"
            raise InvalidArgument(msg)
        async_connection = await given.connection() if isinstance(given, AsyncSession) else given
        await async_connection.run_sync(_begin, repos)
        sa_connection = async_connection.sync_connection or _none()
        outer = external_transaction_of(sa_connection, repos[0].dialect, is_async=True).open_transaction
        if outer is not None:
            self._open(outer.connection, sa_connection, repos, uses_snapshot=outer.uses_snapshot)
            return
        connection = await async_connection.run_sync(
            lambda sa_connection: AsyncConnection.of(repos[0].dialect, async_connection, sa_connection, is_external=True)
        )
        deadline = call_deadline(repos[0], repos[0].seconds)
        try:
            uses_snapshot = await with_timeout(deadline, connection.work, _prepare, deadline, repos)
        except Exception as error:
            raise as_ours(error, repos[0].dialect) from None
        self._open(connection, sa_connection, repos, uses_snapshot=uses_snapshot)

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Leave the transaction, which goes on."""
        broken = self._close()
        if broken is not None:
            await broken.sa_connection.invalidate()


def _begun(session: Session, transaction: SessionTransaction) -> None:
    """Set the savepoint now.

    The session would set it before its own next statement, which comes after those of the resources.
    """
    if transaction.nested:
        session.connection()


def _none() -> sa.Connection:
    msg = "the connection is closed"
    raise InvalidArgument(msg)


def _begin(sa_connection: sa.Connection, repos: list[Engines]) -> None:
    """Begin a transaction in SQLAlchemy, if none is open; otherwise its commit would do nothing."""
    sa_dialect = sa_connection.dialect
    for dialect in {repo.dialect for repo in repos}:
        if sa_dialect.name not in (dialect.name, *dialect.also):
            msg = f"the connection is one to {sa_dialect.name}, and the resource is kept in {dialect.name}"
            raise InvalidArgument(msg)
        if not uses_driver_of(dialect, sa_dialect):
            known = " or ".join(dict.fromkeys(dialect.drivers))
            msg = (
                f"the connection's driver {sa_dialect.driver!r} is not supported for {dialect.name}; make its engine with {known}"
            )
            raise InvalidArgument(msg)
    if not sa_connection.in_transaction():
        sa_connection.begin()


def _prepare(connection: Connection, deadline: Deadline, repos: Sequence[Engines]) -> bool:
    """Prepare the user's connection for statements of resourcekit. Return whether its transaction may read from a snapshot."""
    dialect = connection.dialect
    if dialect.commits_alone(connection):
        msg = "the connection commits each statement by itself (AUTOCOMMIT), so nothing can be part of its transaction"
        raise InvalidArgument(msg)
    connection.allow(deadline)
    dialect.open(connection, deadline)
    if any(repo.keeps_references for repo in repos):
        dialect.require_foreign_keys(connection)
    uses_snapshot = dialect.uses_snapshot(connection)
    if not dialect.began_by_itself(connection):
        begin(connection)
    connection.callback_state.in_transaction = True
    connection.let_go()
    return uses_snapshot
