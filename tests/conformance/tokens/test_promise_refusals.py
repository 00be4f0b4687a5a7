"""Promise P1 and refusals inside of transactions: the writes of a refusal are kept, however the transaction around it ends."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from call_styles import SECRET, declared
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import Session

from resourcekit import transaction
from resourcekit.data_layers import SQL, Repo, joined
from resourcekit.errors import SerializationFailure
from resourcekit_tokens import JWT
from resourcekit_tokens.errors import ReuseDetected, TokenRevoked
from tests.support.databases import Database, scratch

YEAR = timedelta(days=400)


class _Undone(Exception):
    """What takes a block back after a refusal was caught."""


def rolled_back_by_the_refusal(token: Any, refused: Callable[[], Any]) -> None:
    """The refusal leaves the block."""
    with transaction(token.resource):
        refused()


def rolled_back_later(token: Any, refused: Callable[[], Any]) -> None:
    """The refusal is caught, and another error leaves the block."""
    with contextlib.suppress(_Undone), transaction(token.resource):
        with contextlib.suppress(ReuseDetected, TokenRevoked):
            refused()
        raise _Undone
    raise ReuseDetected("an error of another call")


def caught(token: Any, refused: Callable[[], Any]) -> None:
    """The refusal is caught, and the block commits."""
    with contextlib.suppress(SerializationFailure), transaction(token.resource), contextlib.suppress(ReuseDetected, TokenRevoked):
        refused()
    raise ReuseDetected("an error of another call")


def in_a_savepoint(token: Any, refused: Callable[[], Any]) -> None:
    """The refusal takes a savepoint back, and the block around it commits."""
    with transaction(token.resource), contextlib.suppress(ReuseDetected, TokenRevoked), transaction(token.resource):
        refused()
    raise ReuseDetected("an error of another call")


def in_a_savepoint_and_rolled_back(token: Any, refused: Callable[[], Any]) -> None:
    """The refusal takes a savepoint back, and then the block around it is rolled back, too."""
    with contextlib.suppress(_Undone), transaction(token.resource):
        with contextlib.suppress(ReuseDetected, TokenRevoked), transaction(token.resource):
            refused()
        raise _Undone
    raise ReuseDetected("an error of another call")


def doomed(token: Any, refused: Callable[[], Any]) -> None:
    """The refusal is caught, and the block is doomed."""
    with transaction(token.resource) as opened, contextlib.suppress(ReuseDetected, TokenRevoked):
        opened.doom()
        refused()
    raise ReuseDetected("an error of another call")


ENDS = [rolled_back_by_the_refusal, rolled_back_later, caught, in_a_savepoint, in_a_savepoint_and_rolled_back, doomed]


@pytest.mark.parametrize("end", ENDS)
def test_a_reuse_in_a_transaction_ends_the_family(plain, clock, end):
    """ReuseDetected says that the sign-in has been ended: it has, for the thief as well."""
    token = plain(jwt=JWT(SECRET))
    pair = token.issue_pair("bob")
    thief = token.rotate(pair.refresh.token)
    with pytest.raises(ReuseDetected):
        end(token, lambda: token.rotate(pair.refresh.token))

    assert (True, True) == (token.token_revoked(thief.access.token), token.token_revoked(thief.refresh.token))


CHECKS: dict[str, Callable[[Any, str], Any]] = {
    "verify": lambda token, text: token.verify(text),
    "consume": lambda token, text: token.consume(text, purpose="user"),
    "confirm": lambda token, text: token.confirm(text, purpose="user"),
    "token_revoked": lambda token, text: token.token_revoked(text),
    "explain": lambda token, text: token.explain(token=text),
}


@pytest.mark.parametrize("end", [*ENDS[1:]])
@pytest.mark.parametrize("check", list(CHECKS))
def test_what_a_check_refused_in_a_transaction_stays_refused(plain, forge, clock, check, end):
    """A jti has two expiries: once a check has found the record of the earlier one, it is kept as long as the later one."""
    token = plain(jwt=JWT(SECRET), max_lifetime=YEAR)
    text = forge("twin", hours=300 * 24, purpose="user")
    token.revoke(forge("twin", hours=0.1, purpose="user"))
    with pytest.raises(ReuseDetected):
        end(token, lambda: CHECKS[check](token, text))
    clock.advance(days=1)
    token.expunge_expired()

    assert token.token_revoked(text) is True


@pytest.mark.parametrize("check", ["verify", "consume", "confirm"])
def test_a_refusal_that_leaves_the_block_keeps_the_record(plain, forge, clock, check):
    """The same with the refusal's own exception."""
    token = plain(jwt=JWT(SECRET), max_lifetime=YEAR)
    text = forge("twin", hours=300 * 24, purpose="user")
    token.revoke(forge("twin", hours=0.1, purpose="user"))
    with pytest.raises(TokenRevoked), transaction(token.resource):
        CHECKS[check](token, text)
    clock.advance(days=1)
    token.expunge_expired()

    assert token.token_revoked(text) is True


@pytest.mark.parametrize("function", ["rotate", "verify", "confirm"])
def test_so_it_is_in_a_loop(layers, layer_name, clock, forge, function):
    """The write after the rollback waits for the database as every async call does."""
    token = declared(layers(layer_name), "resource", jwt=JWT(SECRET), max_lifetime=YEAR)
    pair, text = token.issue_pair("bob"), forge("twin", hours=300 * 24, purpose="user")
    thief = token.rotate(pair.refresh.token)
    token.revoke(forge("twin", hours=0.1, purpose="user"))

    async def main() -> None:
        try:
            async with transaction(token):
                if function == "rotate":
                    await token.rotate.aio(pair.refresh.token)
                elif function == "confirm":
                    await token.confirm.aio(text, purpose="user")
                await token.verify.aio(text)
        finally:
            await token.__runtime__.store.close()

    with pytest.raises((ReuseDetected, TokenRevoked)):
        asyncio.run(main())
    clock.advance(minutes=7)
    token.expunge_expired()

    dead = thief.access.token if function == "rotate" else text
    assert token.token_revoked(dead) is True


KINDS = ["sqlite", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("postgresql", "mariadb"))]


@pytest.fixture(params=KINDS)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """An empty database."""
    with scratch(request.param, tmp_path) as found:
        yield found


@pytest.fixture
def stolen(database: Database, clock: Any) -> tuple[Any, Any, Any]:
    """A token resource there, a pair whose refresh token was rotated, and the pair that came of it."""
    token = declared(SQL(database.url, table="tokens"), "record", jwt=JWT(SECRET))
    pair = token.issue_pair("bob")
    return token, pair, token.rotate(pair.refresh.token)


def sync_engine(database: Database) -> sa.Engine:
    """An engine of the application's own."""
    repo = Repo(database.url)
    return sa.create_engine(repo.url.set(drivername=repo.dialect.drivers[0]))


class TestJoined:
    """In the application's own transaction, which ends by the application's own doing."""

    @pytest.mark.parametrize("how", ["leaves", "rollback", "close", "session", "savepoint"])
    def test_a_reuse_ends_the_family(self, database, stolen, how):
        """The refusal leaves the application's block, or the application rolls back, closes, or takes a savepoint back."""
        token, pair, thief = stolen
        engine = sync_engine(database)
        with pytest.raises(ReuseDetected):
            if how == "leaves":
                with engine.begin() as connection, joined(connection, token):
                    token.rotate(pair.refresh.token)
            elif how == "session":
                with Session(engine) as session, session.begin(), joined(session, token):
                    token.rotate(pair.refresh.token)
            elif how == "savepoint":
                caught = contextlib.suppress(ReuseDetected)
                with engine.begin() as connection, caught, connection.begin_nested(), joined(connection, token):
                    token.rotate(pair.refresh.token)
                raise ReuseDetected("an error of another call")
            else:
                connection = engine.connect()
                try:
                    with joined(connection, token):
                        token.rotate(pair.refresh.token)
                finally:
                    (connection.rollback if how == "rollback" else connection.close)()
                    connection.close()
        engine.dispose()

        assert token.token_revoked(thief.access.token) is True

    def test_a_reuse_ends_the_family_in_a_loop(self, database, stolen):
        """The same over an async connection."""
        token, pair, thief = stolen

        async def main() -> None:
            repo = Repo(database.url)
            engine = create_async_engine(repo.url.set(drivername=repo.dialect.drivers[1]))
            try:
                async with engine.begin() as connection, joined(connection, token):
                    await token.rotate.aio(pair.refresh.token)
            finally:
                await engine.dispose()
                await token.__runtime__.store.close()

        with pytest.raises(ReuseDetected):
            asyncio.run(main())

        assert token.token_revoked(thief.access.token) is True

    @pytest.mark.parametrize("how", ["leaves", "savepoint"])
    def test_a_confirmation_token_that_was_refused_stays_refused(self, database, forge, clock, how):
        """The record that ended the token is kept as long as the token lives, although the refusal rolls the work back."""
        token = declared(SQL(database.url, table="tokens"), "record", jwt=JWT(SECRET), max_lifetime=YEAR)
        text = forge("twin", hours=300 * 24, purpose="confirm")
        token.revoke(forge("twin", hours=0.1, purpose="confirm"))
        engine = sync_engine(database)
        with pytest.raises(TokenRevoked), engine.begin() as connection, contextlib.ExitStack() as stack:
            if how == "savepoint":
                stack.enter_context(connection.begin_nested())
            with joined(connection, token):
                token.confirm(text)
        engine.dispose()
        clock.advance(days=1)
        token.expunge_expired()

        assert token.token_revoked(text) is True
