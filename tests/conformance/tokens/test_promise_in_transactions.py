"""P1 and P2 inside of transactions: nothing that others ended is missed, and what is not committed was not acknowledged."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import threading
from collections.abc import Callable, Iterator
from contextvars import copy_context
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from call_styles import SECRET, declared
from sqlalchemy.ext.asyncio import create_async_engine

from resourcekit import context, outside_transaction, transaction
from resourcekit.data_layers import SQL, Repo, joined
from resourcekit.errors import DataLayerError, SerializationFailure, Timeout
from resourcekit_tokens import JWT
from resourcekit_tokens.errors import InvalidToken, ReuseDetected, TokenConsumed, TokenRevoked
from tests.support.databases import Database, scratch

PATIENCE = 60
"""Seconds of real time after which a test gives up."""


def elsewhere(work: Callable[[], Any]) -> Any:
    """Do something in another thread and outside of all transactions, as another request does; return the result or the error."""
    found: list[Any] = []

    def run() -> None:
        try:
            found.append(work())
        except Exception as error:  # the test looks at it
            found.append(error)

    with outside_transaction():
        deployment = copy_context()
    thread = threading.Thread(target=deployment.run, args=(run,))
    thread.start()
    thread.join(PATIENCE)
    return found[0]


def impatient(work: Callable[[], Any]) -> Any:
    """Make a call, and wait for no lock."""
    with context(deadline=timedelta(milliseconds=200)):
        return work()


ENDS: dict[str, Callable[[Any, Any], Any]] = {
    "revoke": lambda token, pair: token.revoke(pair.refresh.token, family=False),
    "revoke_jti": lambda token, pair: token.revoke_jti(pair.refresh.claims.jti),
    "consume": lambda token, pair: token.consume(pair.refresh.token, purpose="refresh"),
    "rotate": lambda token, pair: token.rotate(pair.refresh.token),
    "the family": lambda token, pair: token.revoke(pair.access.token),
    "log_out_everywhere": lambda token, pair: token.log_out_everywhere("alice"),
}
"""How others end a refresh token."""

OWN_ENDS = ["revoke", "revoke_jti", "consume", "rotate"]
"""Those that write the record of the token itself."""


def jti_is_dead(token: Any, pair: Any) -> bool:
    """Ask for the refresh token by its jti and the facts of its claims."""
    claims = pair.refresh.claims
    return token.jti_revoked(claims.jti, subject=claims.subject, issued_at=claims.issued_at, family=claims.family)


USES: dict[str, Callable[[Any, Any], Any]] = {
    "token_revoked": lambda token, pair: token.token_revoked(pair.refresh.token) or pytest.fail("live"),
    "jti_revoked": lambda token, pair: jti_is_dead(token, pair) or pytest.fail("live"),
    "explain": lambda token, pair: token.explain(token=pair.refresh.token).revoked or pytest.fail("live"),
    "verify": lambda token, pair: token.verify(pair.refresh.token, purpose="refresh"),
    "consume": lambda token, pair: token.consume(pair.refresh.token, purpose="refresh"),
    "rotate": lambda token, pair: token.rotate(pair.refresh.token),
}
"""What must not take it for live afterwards."""


def refused(outcome: Any) -> bool:
    """Return whether a use was refused: the token was used or ended, or the transaction cannot know and is rolled back."""
    return outcome is True or isinstance(outcome, (TokenRevoked, ReuseDetected, SerializationFailure))


def attempt(work: Callable[[], Any]) -> Any:
    """Return what it returns, or the error that it raises."""
    try:
        return work()
    except (DataLayerError, InvalidToken) as error:
        return error


class TestOwnTransactions:
    """``with transaction(Token)``, on every layer."""

    @pytest.mark.parametrize("use", list(USES))
    @pytest.mark.parametrize("end", list(ENDS))
    def test_what_others_ended_meanwhile_is_dead_in_an_open_transaction(self, plain, clock, end, use):
        """The transaction has looked at the token before, and found it live."""
        token = plain(jwt=JWT(SECRET))
        pair = token.issue_pair("alice")
        clock.advance(seconds=1)
        outcome: Any = None
        committed = False
        with contextlib.suppress(SerializationFailure):
            with transaction(token.resource):
                assert token.token_revoked(pair.refresh.token) is False
                ended = elsewhere(lambda: impatient(lambda: ENDS[end](token, pair)))
                outcome = attempt(lambda: USES[use](token, pair)) if not isinstance(ended, Exception) else None
            committed = True

        # SQLite has one writer at a time: no other call could end the token meanwhile. Of an optimistic store, only a commit
        # acknowledges a use.
        assert isinstance(ended, Timeout) or refused(outcome) or (use in ("consume", "rotate") and not committed)

    @pytest.mark.parametrize("end", OWN_ENDS)
    def test_a_jti_alone_that_others_ended_is_dead_in_an_open_transaction(self, plain, clock, end):
        """The shortest check looks past the rows that the transaction sees, too."""
        token = plain(jwt=JWT(SECRET))
        pair = token.issue_pair("alice")
        answer = None
        with contextlib.suppress(SerializationFailure), transaction(token.resource):
            before = token.jti_revoked(pair.refresh.claims.jti)
            ended = elsewhere(lambda: impatient(lambda: ENDS[end](token, pair)))
            answer = token.jti_revoked(pair.refresh.claims.jti)

        assert (False, not isinstance(ended, Timeout)) == (before, answer)

    def test_a_stored_token_that_others_revoked_is_not_listed(self, plain, forge, clock):
        """Nor among the tokens of its subject."""
        token = plain()
        token.store_token(forge("a", sub="alice"))
        listed: list[Any] = []
        with contextlib.suppress(SerializationFailure), transaction(token.resource):
            before = len(token.tokens_for_subject("alice"))
            ended = elsewhere(lambda: impatient(lambda: token.revoke(forge("a", sub="alice"))))
            listed = token.tokens_for_subject("alice")

        assert (1, isinstance(ended, Timeout)) == (before, bool(listed))

    def test_the_changes_of_a_used_token_are_not_handed_out(self, plain, clock):
        """Nor in a transaction that saw them while they waited."""
        token = plain(jwt=JWT(SECRET))
        issued = token.issue("alice", purpose="confirm")
        token.store_confirmation_changes(issued.token, {"a": 1})
        with contextlib.suppress(SerializationFailure), transaction(token.resource):
            before = token.get_confirmation_changes(jti=issued.claims.jti)
            used = elsewhere(lambda: impatient(lambda: token.confirm(issued.token)))
            after = token.get_confirmation_changes(jti=issued.claims.jti)

        assert ({"a": 1}, {"a": 1} if isinstance(used, Timeout) else None) == (before, after)

    def test_a_rolled_back_transaction_leaves_nothing(self, plain, forge, clock):
        """Revocations, uses, new pairs, cut-offs, stored tokens: none was acknowledged."""
        token = plain(jwt=JWT(SECRET, default_purpose="user"), store_all_tokens=True)
        texts = [forge(f"jti-{number}", fam=f"f{number}", purpose="user") for number in range(4)]
        pair = token.issue_pair("bob")
        before = sorted(record.jti for record in token.tokens_for_subject("bob"))
        clock.advance(seconds=1)
        with pytest.raises(OSError, match="no"), transaction(token.resource):
            token.revoke(texts[0])
            token.consume(texts[1], purpose="user")
            token.store_token(texts[2])
            token.rotate(pair.refresh.token)
            token.log_out_everywhere("alice")
            inside = [token.token_revoked(text) for text in (*texts, pair.refresh.token)]
            raise OSError("no")

        assert [True] * 5 == inside
        assert [False] * 5 == [token.token_revoked(text) for text in (*texts, pair.refresh.token)]
        assert before == sorted(record.jti for record in token.tokens_for_subject("bob"))
        assert token.get_token(jti="jti-2") is None
        assert "jti-1" == token.consume(texts[1], purpose="user").jti

    @pytest.mark.parametrize("undone", [True, False])
    def test_a_savepoint_takes_back_its_own_only(self, plain, forge, clock, undone):
        """The inner block fails, so its revocation is rolled back; the outer block's revocation is kept."""
        token = plain()
        with transaction(token.resource):
            token.revoke(forge("outer"))
            with contextlib.suppress(OSError), transaction(token.resource):
                token.revoke(forge("inner"))
                if undone:
                    raise OSError("no")

        assert (True, not undone) == (token.token_revoked(forge("outer")), token.token_revoked(forge("inner")))


GROUNDS = [
    ("sqlite", "as it comes"),
    ("sqlite", "reads first"),
    *(
        pytest.param((kind, level), marks=pytest.mark.slow)
        for kind in ("postgresql", "mariadb")
        for level in ("as it comes", "REPEATABLE READ", "SERIALIZABLE")
    ),
]
"""Databases, and how the application's own transactions are isolated there."""


@pytest.fixture(params=GROUNDS, ids=" ".join)
def level(request: pytest.FixtureRequest) -> tuple[str, str]:
    """A kind of database, and a level of isolation."""
    kind, named = request.param
    return kind, named


@pytest.fixture
def database(level: tuple[str, str], tmp_path: Path) -> Iterator[Database]:
    """An empty database."""
    with scratch(level[0], tmp_path) as found:
        yield found


@pytest.fixture
def engine(level: tuple[str, str], database: Database) -> Iterator[sa.Engine]:
    """An engine of the application's own, with a table of its own."""
    repo, options = Repo(database.url), {"isolation_level": level[1]} if level[1].isupper() else {}
    made = sa.create_engine(repo.url.set(drivername=repo.dialect.drivers[0]), **options)
    if level[1] == "reads first":  # the way that SQLAlchemy documents to let SQLite's transactions begin
        sa.event.listen(made, "connect", lambda raw, _: setattr(raw, "isolation_level", None))
        sa.event.listen(made, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
    with made.begin() as connection:
        connection.execute(sa.text("CREATE TABLE passwords (name VARCHAR(50) PRIMARY KEY, word VARCHAR(50))"))
        connection.execute(sa.text("INSERT INTO passwords VALUES ('alice', 'old')"))
    yield made
    made.dispose()


@pytest.fixture
def token(database: Database, clock: Any) -> Any:
    """A token resource in that database."""
    return declared(SQL(database.url, table=f"tokens_{secrets.token_hex(4)}"), "record", jwt=JWT(SECRET))


def look(connection: sa.Connection) -> Any:
    """Read the application's own table, as a request does that begins."""
    return connection.execute(sa.text("SELECT word FROM passwords WHERE name = 'alice'")).scalar()


CHANGE = sa.text("UPDATE passwords SET word = 'new' WHERE name = 'alice'")


class TestJoined:
    """In the application's own transaction."""

    @pytest.mark.parametrize("end", list(ENDS))
    def test_what_others_ended_meanwhile_is_dead(self, engine, token, clock, end):
        """At every level of isolation: MariaDB's own one looks back at the moment of the first read."""
        for use in USES.values():
            pair = token.issue_pair("alice")
            clock.advance(seconds=1)
            with engine.connect() as connection:
                look(connection)
                connection.execute(sa.text(f"SELECT count(*) FROM {token.__runtime__.store.table.name} WHERE jti = 'x'"))
                ended = elsewhere(lambda pair=pair: impatient(lambda: ENDS[end](token, pair)))
                with joined(connection, token):
                    outcome = attempt(lambda use=use, pair=pair: use(token, pair)) if not isinstance(ended, Exception) else None
                connection.rollback()

            # At SERIALIZABLE, MariaDB locks what a transaction has read, and its neighbours.
            assert isinstance(ended, Timeout) or refused(outcome)

    @pytest.mark.parametrize("end", OWN_ENDS)
    def test_a_jti_alone_that_others_ended_is_dead(self, engine, token, clock, end):
        """So does the shortest check."""
        pair = token.issue_pair("alice")
        with engine.connect() as connection:
            look(connection)
            connection.execute(sa.text(f"SELECT count(*) FROM {token.__runtime__.store.table.name} WHERE jti = 'x'"))
            ended = elsewhere(lambda: impatient(lambda: ENDS[end](token, pair)))
            with joined(connection, token):
                answer = token.jti_revoked(pair.refresh.claims.jti)
            connection.rollback()

        assert answer is not isinstance(ended, Timeout)

    @pytest.mark.parametrize("keep", [True, False])
    def test_a_log_out_and_the_application_s_own_write_stand_or_fall_together(self, engine, token, clock, keep):
        """Log out everywhere and the new password: both, or neither; no other reader sees either before."""
        pair = token.issue_pair("alice")
        clock.advance(seconds=1)
        with engine.connect() as connection:
            connection.execute(CHANGE)
            with joined(connection, token):
                token.log_out_everywhere("alice", reason="password changed")
                inside = token.token_revoked(pair.access.token)
            before = token.token_revoked(pair.access.token)
            (connection.commit if keep else connection.rollback)()
        with engine.connect() as connection:
            word = look(connection)

        assert (True, False) == (inside, before)
        assert (keep, "new" if keep else "old") == (token.token_revoked(pair.access.token), word)

    @pytest.mark.parametrize("keep", [True, False])
    def test_so_do_they_in_a_loop(self, engine, database, token, clock, keep):
        """The same over an async connection."""
        pair = token.issue_pair("alice")
        clock.advance(seconds=1)

        async def work() -> Any:
            repo = Repo(database.url)
            made = create_async_engine(repo.url.set(drivername=repo.dialect.drivers[1]))
            async with made.connect() as connection:
                await connection.execute(CHANGE)
                async with joined(connection, token):
                    await token.log_out_everywhere.aio("alice")
                    inside = await token.token_revoked.aio(pair.access.token)
                before = await token.token_revoked.aio(pair.access.token)
                await (connection.commit() if keep else connection.rollback())
            await made.dispose()
            await token.__runtime__.store.close()
            return inside, before

        inside, before = asyncio.run(work())
        with engine.connect() as connection:
            word = look(connection)

        assert (True, False) == (inside, before)
        assert (keep, "new" if keep else "old") == (token.token_revoked(pair.access.token), word)

    @pytest.mark.parametrize("keep", [True, False])
    def test_losers_wait_for_a_winner_that_is_open(self, engine, token, clock, keep):
        """It commits: they lose. It rolls back: one of them wins."""
        text = token.issue("alice", purpose="reset").token
        outcomes: list[Any] = []

        def use() -> None:
            outcomes.append(attempt(lambda: token.consume(text, purpose="reset")))

        losers = [threading.Thread(target=copy_context().run, args=(use,)) for _ in range(3)]
        with engine.connect() as connection:
            with joined(connection, token):
                token.consume(text, purpose="reset")
            for thread in losers:
                thread.start()
            losers[0].join(0.2)
            waiting = not outcomes
            (connection.commit if keep else connection.rollback)()
        for thread in losers:
            thread.join(PATIENCE)

        assert waiting
        assert (3 if keep else 2) == len([each for each in outcomes if isinstance(each, TokenConsumed)])
        assert 3 == len(outcomes)


REFUSALS = {"rotate": "ReuseDetected", "consume": "TokenConsumed"}


@pytest.mark.parametrize(("kind", "ends"), [("mariadb", "commit"), ("mariadb", "rollback"), ("postgresql", "commit")])
@pytest.mark.parametrize("use", list(REFUSALS))
def test_of_two_serializable_transactions_one_wins(tmp_path, clock, kind, ends, use):
    """Both have read the table, and both use a token. MariaDB gives one of them up at once, and it is refused once the winner commits.

    If the winner rolls back, nothing was used: SerializationFailure says that the transaction may be run again. PostgreSQL always
    says so, because it keeps the loser's transaction open.
    """
    with scratch(kind, tmp_path) as database:
        token = declared(SQL(database.url, table="tokens"), "record", jwt=JWT(SECRET), store_all_tokens=True)
        text = token.issue_pair("alice").refresh.token
        repo, both, outcomes = Repo(database.url), threading.Barrier(2), []
        engine = sa.create_engine(repo.url.set(drivername=repo.dialect.drivers[0]), isolation_level="SERIALIZABLE")

        def act() -> None:
            try:
                with engine.connect() as connection:
                    with joined(connection, token):
                        connection.execute(sa.text("SELECT count(*) FROM tokens"))
                        both.wait(PATIENCE)
                        token.rotate(text) if use == "rotate" else token.consume(text, purpose="refresh")
                    getattr(connection, ends)()
                outcomes.append("won")
            except Exception as error:  # the test looks at it
                outcomes.append(type(error).__name__)

        threads = [threading.Thread(target=copy_context().run, args=(act,)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
        engine.dispose()
        dead = token.token_revoked(text)

    refusal = REFUSALS[use] if (kind, ends) == ("mariadb", "commit") else "SerializationFailure"
    assert sorted([refusal, "won"]) == sorted(outcomes)
    assert dead is (ends == "commit")
