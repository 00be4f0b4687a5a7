"""``joined``: a resource's work inside the user's own SQLAlchemy transaction. It begins and ends none itself."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlalchemy.orm import Session
from sqlalchemy.util import await_only

from resourcekit.data_layers.after_commit import run_after_commit, run_after_commit_now
from resourcekit.data_layers.sql import work
from resourcekit.data_layers.sql.async_pool import AsyncLink
from resourcekit.data_layers.sql.link import Link
from resourcekit.data_layers.sql.repo import Repo, repo_of
from resourcekit.data_layers.sql.transaction import Level, Root, ambient
from resourcekit.errors import InvalidArgument
from resourcekit.flow.context import Colour, colour

__all__ = ["joined"]


class joined:  # noqa: N801  # a context manager, named as it is used: with joined(session, Token):
    """Make all calls of these resources inside the block part of the transaction of a session or connection.

    ``with`` for Session and Connection, ``async with`` for AsyncSession and AsyncConnection. What is written is
    acknowledged when the user commits; ``after_commit`` functions run then, and never after a rollback.
    """

    def __init__(self, transaction: Session | sa.Connection | AsyncSession | AsyncConnection, *resources: Any) -> None:
        if not resources:
            msg = "name the resources whose work joins the transaction: joined(session, Token)"
            raise InvalidArgument(msg)
        self._given, self._resources = transaction, resources
        self._before: Mapping[object, Level] = {}
        self._levels: list[Level] = []

    def _repos(self) -> list[Repo]:
        return list({id(repo): repo for repo in map(repo_of, self._resources)}.values())

    def _open(self, link: Link, connection: sa.Connection, repos: list[Repo], *, looks_back: bool) -> None:
        token = colour.set(Colour.ASYNC if isinstance(link, AsyncLink) else Colour.SYNC)
        try:
            self._levels = [Level(Root(repo.home, link, looks_back=looks_back), None) for repo in repos]
        finally:
            colour.reset(token)
        self._before = ambient.get()
        ambient.set({**self._before, **dict(zip(repos, self._levels, strict=True))})
        functions = [level.functions for level in self._levels]
        _after(connection, functions, is_async=isinstance(link, AsyncLink))

    def _close(self) -> None:
        ambient.set(self._before)
        for level in self._levels:
            level.root.is_over = True
            level.root.link.room.leave(level.root.link)

    def __enter__(self) -> None:
        """Join."""
        repos = self._repos()
        given = self._given
        if not isinstance(given, (Session, sa.Connection)):
            msg = "use async with for an async session or connection"
            raise InvalidArgument(msg)
        connection = given.connection() if isinstance(given, Session) else given
        _begin(connection, repos)
        link = Link(repos[0].room, connection.connection.dbapi_connection, connection, is_guest=True)
        self._open(link, connection, repos, looks_back=_prepare(link, repos[0]))

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Leave; the transaction goes on."""
        self._close()

    async def __aenter__(self) -> None:
        """Join."""
        repos = self._repos()
        given = self._given
        if not isinstance(given, (AsyncSession, AsyncConnection)):
            msg = "use with for a sync session or connection"
            raise InvalidArgument(msg)
        keeper = await given.connection() if isinstance(given, AsyncSession) else given
        await keeper.run_sync(_begin, repos)
        link = await keeper.run_sync(lambda connection: AsyncLink.of(repos[0].room, keeper, connection, is_guest=True))
        looks_back = await link.work(_prepare, repos[0])
        self._open(link, keeper.sync_connection or _none(), repos, looks_back=looks_back)

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Leave; the transaction goes on."""
        self._close()


def _none() -> sa.Connection:
    msg = "the connection is closed"
    raise InvalidArgument(msg)


def _begin(connection: sa.Connection, repos: list[Repo]) -> None:
    """Let SQLAlchemy know of the transaction: where it had begun none, its commit would do nothing."""
    for repo in repos:
        if connection.dialect.name not in (repo.room.name, *repo.room.also):
            msg = f"the connection is one to {connection.dialect.name}, and the resource is kept in {repo.room.name}"
            raise InvalidArgument(msg)
    if not connection.in_transaction():
        connection.begin()


def _prepare(link: Link, repo: Repo) -> bool:
    """Make the connection fit for our statements; say whether its transaction may see the rows of one moment only."""
    room = repo.room
    if room.commits_alone(link):
        msg = "the connection commits each statement by itself (AUTOCOMMIT), so nothing can be part of its transaction"
        raise InvalidArgument(msg)
    room.open(link, repo.seconds)
    looks_back = room.looks_back(link)
    if not room.began_by_itself(link):
        work.begin(link)
    link.gauge.in_transaction = True
    link.let_go()
    return looks_back


def _after(connection: sa.Connection, functions: list[list[Any]], *, is_async: bool) -> None:
    """Run what waits once the user commits; forget it when the user rolls back."""
    over: list[bool] = []

    def committed(_: sa.Connection) -> None:
        if not over:
            over.append(True)
            waiting = [function for each in functions for function in each]
            if is_async:
                await_only(run_after_commit(waiting))  # the commit of an async connection runs in a greenlet of its loop
            else:
                run_after_commit_now(waiting)

    def rolled_back(_: sa.Connection) -> None:
        over.append(True)

    event.listen(connection, "commit", committed)
    event.listen(connection, "rollback", rolled_back)
