"""P9 where a store fails in the middle of a call: what the driver says of values stays behind, on every database."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from call_styles import SECRET, declared
from test_promise_quiet import JTI, assert_quiet, listener

from resourcekit import Attr, Domain, Resource, attribute, context, create, identity, transaction, update
from resourcekit.data_layers import SQL
from resourcekit.errors import DataLayerError, OutcomeUnknown, Timeout, UniqueViolation
from resourcekit_tokens import JWT
from tests.support.databases import Database, connect, scratch

__all__ = ["listener"]  # a fixture


@pytest.fixture(params=["sqlite", *(pytest.param(name, marks=pytest.mark.slow) for name in ("postgresql", "mariadb"))])
def database(request: pytest.FixtureRequest, tmp_path: Any) -> Iterator[Database]:
    """An empty database of each kind."""
    with scratch(request.param, tmp_path) as found:
        yield found


@contextlib.contextmanager
def held(database: Database, table: str) -> Iterator[None]:
    """Keep a row locked, as another program's transaction does that forgot to end."""
    connection = connect(database.url)
    cursor = connection.cursor()
    cursor.execute("BEGIN IMMEDIATE" if database.kind == "sqlite" else "START TRANSACTION")
    cursor.execute(f"UPDATE {table} SET subject = 'other' WHERE jti = '{JTI}'")
    yield
    cursor.execute("ROLLBACK")
    connection.close()


@pytest.mark.parametrize("call_mode", ["sync", "async"])
def test_a_statement_that_is_stopped_tells_no_value(database, forge, listener, clock, call_mode):
    """A lock that is never released: Timeout, sync and async, and no driver's message shows a parameter."""
    token = declared(SQL(database.url, table="tokens"), "record", jwt=JWT(SECRET))
    text = forge(JTI, purpose="user")
    token.store_token(text)
    uses = [lambda: token.revoke(text), lambda: token.consume(text, purpose="user"), lambda: token.revoke_jti(JTI)]
    soon = [lambda: token.revoke.aio(text), lambda: token.consume.aio(text, purpose="user"), lambda: token.revoke_jti.aio(JTI)]
    outcomes: list[Any] = []

    async def ask() -> None:
        for use in soon:
            with context(deadline=timedelta(milliseconds=300)):
                outcomes.extend(await asyncio.gather(use(), return_exceptions=True))
        await token.__runtime__.store.close()

    with held(database, "tokens"):
        if call_mode == "async":
            asyncio.run(ask())
        else:
            for use in uses:
                with context(deadline=timedelta(milliseconds=300)), pytest.raises(DataLayerError) as caught:
                    use()
                outcomes.append(caught.value)
    for error in outcomes:
        listener._error(error)

    # Without an answer, the write may be committed or not.
    assert 3 == len(outcomes)
    assert {Timeout, OutcomeUnknown} >= {type(error) for error in outcomes}
    assert_quiet(listener, text)
    assert token.token_revoked(text) is False


@pytest.mark.slow
@pytest.mark.parametrize("database", ["postgresql", "mariadb"], indirect=True)
def test_a_connection_that_is_ended_tells_no_value(database, forge, listener, clock):
    """A backend that is killed while it waits for a lock: the call is repeated, or OutcomeUnknown is raised."""
    token = declared(SQL(database.url, table="tokens"), "record", jwt=JWT(SECRET))
    text = forge(JTI, purpose="user")
    token.store_token(text)
    waiting = threading.Thread(target=lambda: listener.hear(lambda: token.revoke(text)))
    with held(database, "tokens"):
        waiting.start()
        if database.kind == "postgresql":
            asked = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            ends = "SELECT pg_terminate_backend({})"
        else:
            asked = "SELECT id FROM information_schema.processlist WHERE db = database() AND info LIKE '%INSERT%resourcekit%'"
            asked += " AND id <> connection_id()"
            ends = "KILL {}"
        while not (blocked := database.run(asked)) and waiting.is_alive():
            pass
        for (number,) in blocked:
            with contextlib.suppress(Exception):  # it may have ended by itself
                database.run(ends.format(number))
    waiting.join(30)

    # PostgreSQL says that it ended the statement in good order, so it is made again; on MariaDB the outcome is unknown.
    assert blocked
    assert listener.said
    assert token.token_revoked(text) is True or any("OutcomeUnknown" in said for said in listener.said)
    assert_quiet(listener, text)


def test_a_unique_value_that_is_taken_is_not_told(database, listener):
    """Inserted, updated, in a transaction, in bulk: the database's own message, which shows it, hangs on no error."""
    domain = Domain("vault")

    class Secret(Resource, domain=domain, data_layer=SQL(database.url, table="secrets")):
        id: Attr[int] = attribute(primary_key=True)
        word: Attr[str | None] = attribute(default=None, sensitive=True, max_length=100)

        by_word = identity("word")

        keep = create(accept=["id", "word"])
        change = update(accept=["word"])

    domain.create_storage()
    Secret.keep(id=1, word=JTI)
    Secret.keep(id=2)

    def in_transaction() -> None:
        with transaction(Secret):
            Secret.change(2, word=JTI)

    attempts = [
        lambda: Secret.keep(id=3, word=JTI),
        lambda: Secret.change(2, word=JTI),
        lambda: Secret.keep.bulk([{"id": 4, "word": JTI}]),
        lambda: asyncio.run(_soon(Secret)),
        in_transaction,
    ]
    for attempt in attempts:
        listener.hear(attempt)

    assert 3 < len([said for said in listener.said if UniqueViolation.__name__ in said])
    assert_quiet(listener)


async def _soon(resource: Any) -> None:
    try:
        await resource.change.aio(2, word=JTI)
    finally:
        await resource.__runtime__.store.close()
