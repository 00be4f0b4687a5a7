"""Token resources whose table is in partitions keep their promises; what no table in partitions could keep is refused."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from resourcekit import Attr, Domain, Resource, attribute, identity
from resourcekit.data_layers import SQL, Partitions, Repo
from resourcekit.testing import ManualClock, declaration_errors
from resourcekit_tokens import JWT, RevokedJti, TokenRecord, TokenResource
from resourcekit_tokens.errors import TokenConsumed, TokenRevoked
from tests.conftest import SECRET

DAY = timedelta(days=1)
START = datetime(2030, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
def clock():
    """A clock that the test moves by hand, for all threads."""
    with ManualClock(START, everywhere=True) as moved:
        yield moved


@pytest.fixture
def token(postgresql, clock):
    """A token resource in partitions, its storage made."""
    domain = Domain("tokens")

    class Token(
        TokenRecord,
        domain=domain,
        data_layer=SQL(postgresql.url, table="tokens", partitions=Partitions(every=DAY, ahead=5 * DAY)),
        extensions=[TokenResource(jwt=JWT(SECRET))],
    ):
        """Tokens of a test."""

    domain.create_storage()
    return Token


class TestTokens:
    def test_a_revoked_token_stays_revoked_until_it_can_be_accepted_nowhere(self, token, clock):
        """A forged copy with an earlier expiry does not shorten a revocation (promise P1: a revoked token stays revoked)."""
        issued = token.issue("alice", lifetime=4 * DAY)
        token.revoke_jti(issued.claims["jti"], expires_at=START + timedelta(hours=1))
        token.revoke(issued.token)
        seen = []
        for _ in range(4):
            clock.advance(hours=23)
            token.expunge_expired()
            seen.append(token.token_revoked(issued.token))
            with pytest.raises(TokenRevoked):
                token.verify(issued.token)
        clock.advance(days=1)

        assert [True] * 4 == seen
        assert 1 == token.expunge_expired().removed

    def test_one_of_many_consumes_a_token(self, token):
        """Of eight threads one wins, each round, though each writes the record (promise P2: a single-use token is used once)."""
        barrier, wins = threading.Barrier(8), []

        def consume(texts):
            for text in texts:
                barrier.wait(60)
                try:
                    token.consume(text, purpose="reset")
                except TokenConsumed:
                    continue
                wins.append(text)

        texts = [token.issue("alice", purpose="reset").token for _ in range(10)]
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(consume, [texts] * 8))

        assert sorted(texts) == sorted(wins)

    def test_rotation_beside_a_sweep(self, postgresql, token, clock):
        """A refresh token is used up once, day after day, while partitions come and go."""
        pair = token.issue_pair("alice")
        for _ in range(8):
            clock.advance(days=1)
            used, pair = pair, token.rotate(pair.refresh.token)
            token.expunge_expired()
            assert token.token_revoked(used.refresh.token)
            assert not token.token_revoked(pair.refresh.token)

        assert [(8,)] == postgresql.run("SELECT count(*) FROM tokens")

    def test_imports_and_cut_offs(self, postgresql, token, clock):
        """Bulk revocations, log out everywhere and ended families are rows like others, and go like others."""
        pair = token.issue_pair("alice")
        token.revoke_jtis([RevokedJti(f"jti {n}", START + n % 3 * DAY, "bob") for n in range(300)])
        clock.advance(seconds=1)
        token.log_out_everywhere("alice")
        before = token.token_revoked(pair.access.token)
        clock.advance(days=4)
        removed = token.expunge_expired().removed

        assert (True, 300) == (before, removed)
        assert token.token_revoked(pair.refresh.token)

    def test_the_same_in_tasks(self, token, clock):
        """Many tasks revoke one token, each as if it expired at another time; there is one record, and it is swept once."""

        async def walk():
            await asyncio.gather(*(token.revoke_jti.aio("a", expires_at=START + n % 5 * DAY) for n in range(30)))
            seen = [await token.jti_revoked.aio("a"), (await token.expunge_expired.aio()).removed]
            clock.advance(days=6)
            return [*seen, (await token.expunge_expired.aio()).removed, await token.jti_revoked.aio("a")]

        assert [True, 0, 1, False] == asyncio.run(walk())


class TestRefused:
    def test_other_databases(self, tmp_path):
        """SQLite keeps no table in partitions."""
        with declaration_errors() as found:

            class Note(Resource, data_layer=SQL(f"sqlite:///{tmp_path}/a.db", partitions=Partitions())):
                key: Attr[str] = attribute(primary_key=True)
                expires_at: Attr[datetime] = attribute()

        assert ["RK106"] == [each.code for each in found]

    @pytest.mark.parametrize("what", ["identity", "none", "type", "missing", "composite", "name"])
    def test_what_could_not_be_kept(self, what):
        """An identity, a key of several attributes, an expiry that may be missing, a name that is too long."""
        place = Repo("postgresql://127.0.0.1:1/nowhere")
        table = "n" * 60 if what == "name" else "notes"
        by = "other" if what == "missing" else "expires_at"
        kind = {"none": datetime | None, "type": int}.get(what, datetime)
        with declaration_errors() as found:

            class Note(Resource, data_layer=SQL(place, table=table, partitions=Partitions(by=by))):
                key: Attr[str] = attribute(primary_key=True)
                text: Attr[str | None] = attribute(default=None)
                expires_at: Attr[kind] = attribute()
                if what == "composite":
                    second: Attr[str] = attribute(primary_key=True)
                if what == "identity":
                    by_text = identity("text")

        assert ["RK106"] == [each.code for each in found]
