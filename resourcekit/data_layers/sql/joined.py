"""``joined``: a resource's work inside the user's own SQLAlchemy transaction. It begins and ends none itself."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, async_scoped_session
from sqlalchemy.orm import Session, SessionTransaction, scoped_session

from resourcekit.data_layers.sql import work
from resourcekit.data_layers.sql.async_pool import AsyncLink
from resourcekit.data_layers.sql.calls import bounded, seconds_left
from resourcekit.data_layers.sql.endings import ending_of
from resourcekit.data_layers.sql.failures import as_ours
from resourcekit.data_layers.sql.link import Link
from resourcekit.data_layers.sql.repo import Repo, repo_of, speaks
from resourcekit.data_layers.sql.transaction import Level, Root, ambient
from resourcekit.errors import InvalidArgument
from resourcekit.flow.context import Colour, colour

__all__ = ["joined"]

Transactional = (
    Session | scoped_session[Session] | sa.Connection | AsyncSession | async_scoped_session[AsyncSession] | AsyncConnection
)


class joined:  # noqa: N801  # a context manager, named as it is used: with joined(session, Token):
    """Make all calls of these resources inside the block part of the transaction of a session or connection.

    ``with`` for Session and Connection, ``async with`` for AsyncSession and AsyncConnection; a scoped session stands for
    its session. What is written is acknowledged when the user commits; ``after_commit`` functions run then, and never
    after a rollback. The user's savepoints take along what is written inside of them.

    Raises InvalidArgument for a connection that commits each statement by itself, is one to another kind of database, or
    has a driver that is not supported; DataLayerError is what calls raise once the transaction has ended in the block.
    """

    def __init__(self, transaction: Transactional, *resources: Any) -> None:
        if not resources:
            msg = "name the resources whose work joins the transaction: joined(session, Token)"
            raise InvalidArgument(msg)
        if isinstance(transaction, (scoped_session, async_scoped_session)):
            transaction = transaction()
        self._given, self._resources = transaction, resources
        self._before: Mapping[object, Level] = {}
        self._levels: list[Level] = []
        self._session: Session | None = None

    def _repos(self) -> list[Repo]:
        return list({id(repo): repo for repo in map(repo_of, self._resources)}.values())

    def _open(self, link: Link, connection: sa.Connection, repos: list[Repo], *, looks_back: bool) -> None:
        is_async = isinstance(link, AsyncLink)
        token = colour.set(Colour.ASYNC if is_async else Colour.SYNC)
        try:
            self._levels = [Level(Root(repo.home, link, looks_back=looks_back), None) for repo in repos]
        finally:
            colour.reset(token)
        self._ending = ending_of(connection, is_async=is_async)
        for level in self._levels:
            level.functions = self._ending.functions  # of all resources in one order
            self._ending.roots.append(level.root)
        if isinstance(self._given, (Session, AsyncSession)):
            self._session = self._given if isinstance(self._given, Session) else self._given.sync_session
            event.listen(self._session, "after_transaction_create", self._begun)
        self._before = ambient.get()
        ambient.set({**self._before, **dict(zip(repos, self._levels, strict=True))})

    def _begun(self, session: Session, transaction: SessionTransaction) -> None:
        """Let a savepoint stand at once: the session would set it before its own next statement, and ours come first."""
        if transaction.nested:
            session.connection()

    def _close(self) -> Link | None:
        """Leave the transaction; returns the connection's link if nothing more can be said on it."""
        ambient.set(self._before)
        if self._session is not None:
            event.remove(self._session, "after_transaction_create", self._begun)
        for level in self._levels:
            level.root.is_over = True
            self._ending.roots.remove(level.root)
        link = self._levels[0].root.link
        if not any(root.link is link for root in self._ending.roots):
            link.room.leave(link)
        return link if link.room.is_broken(link) else None

    def __enter__(self) -> None:
        """Join."""
        repos = self._repos()
        given = self._given
        if not isinstance(given, (Session, sa.Connection)):
            msg = "use async with for an async session or connection"
            raise InvalidArgument(msg)
        connection = given.connection() if isinstance(given, Session) else given
        _begin(connection, repos)
        outer = ending_of(connection, is_async=False).root
        if outer is not None:
            self._open(outer.link, connection, repos, looks_back=outer.looks_back)
            return
        room = repos[0].room
        sleep = None if room.is_server else time.sleep
        link = Link(room, connection.connection.dbapi_connection, connection, sleep=sleep, is_guest=True)
        try:
            looks_back = _prepare(link, seconds_left(repos[0]))
        except Exception as error:
            raise as_ours(error, room) from None
        self._open(link, connection, repos, looks_back=looks_back)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Leave; the transaction goes on."""
        broken = self._close()
        if broken is not None:  # so that the user's rollback does not speak on it
            broken.keeper.invalidate()

    async def __aenter__(self) -> None:
        """Join."""
        repos = self._repos()
        given = self._given
        if not isinstance(given, (AsyncSession, AsyncConnection)):
            msg = "use with for a sync session or connection"
            raise InvalidArgument(msg)
        keeper = await given.connection() if isinstance(given, AsyncSession) else given
        await keeper.run_sync(_begin, repos)
        connection = keeper.sync_connection or _none()
        outer = ending_of(connection, is_async=True).root
        if outer is not None:
            self._open(outer.link, connection, repos, looks_back=outer.looks_back)
            return
        link = await keeper.run_sync(lambda connection: AsyncLink.of(repos[0].room, keeper, connection, is_guest=True))
        seconds = seconds_left(repos[0])
        try:
            looks_back = await bounded(seconds, link.work, _prepare, seconds)
        except Exception as error:
            raise as_ours(error, repos[0].room) from None
        self._open(link, connection, repos, looks_back=looks_back)

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Leave; the transaction goes on."""
        broken = self._close()
        if broken is not None:
            await broken.keeper.invalidate()


def _none() -> sa.Connection:
    msg = "the connection is closed"
    raise InvalidArgument(msg)


def _begin(connection: sa.Connection, repos: list[Repo]) -> None:
    """Let SQLAlchemy know of the transaction: where it had begun none, its commit would do nothing."""
    dialect = connection.dialect
    for room in {repo.room for repo in repos}:
        if dialect.name not in (room.name, *room.also):
            msg = f"the connection is one to {dialect.name}, and the resource is kept in {room.name}"
            raise InvalidArgument(msg)
        if not speaks(room, dialect):
            known = " or ".join(room.drivers)
            msg = f"the connection's driver {dialect.driver!r} is not supported for {room.name}; make its engine with {known}"
            raise InvalidArgument(msg)
    if not connection.in_transaction():
        connection.begin()


def _prepare(link: Link, seconds: float) -> bool:
    """Make the connection fit for our statements; say whether its transaction may see the rows of one moment only."""
    room = link.room
    if room.commits_alone(link):
        msg = "the connection commits each statement by itself (AUTOCOMMIT), so nothing can be part of its transaction"
        raise InvalidArgument(msg)
    link.allow(seconds)
    room.open(link, seconds)
    looks_back = room.looks_back(link)
    if not room.began_by_itself(link):
        work.begin(link)
    link.gauge.in_transaction = True
    link.let_go()
    return looks_back
