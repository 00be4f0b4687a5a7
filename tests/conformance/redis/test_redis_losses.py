"""Servers that are demoted, evict, or have a clock of their own: no answer is from the past, and no loss goes unnoticed."""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from datetime import UTC, datetime, timedelta

import pytest

from resourcekit import Attr, Domain, Resource, attribute, create, index, query
from resourcekit.data_layers import Redis
from resourcekit.doctor import doctor
from resourcekit.errors import DataLayerError, Unavailable, UnsafeStore
from resourcekit.testing import ManualClock
from resourcekit_tokens import JWT, TokenResource

pytestmark = pytest.mark.fault

_TIME_LIMIT = 20
"""Seconds of real time that servers have to agree."""

_JUNK = 40_000
"""Keys that fill a megabyte several times."""


@pytest.fixture(params=["sync", "async"])
def call(request):
    """A function that calls another one, in each call mode."""
    if request.param == "sync":
        return lambda function, *args, **options: function(*args, **options)
    return lambda function, *args, **options: asyncio.run(function.aio(*args, **options))


def declare(layer, **options):
    """Return a token resource on a layer, its storage created."""
    domain = Domain(f"accounts-{secrets.token_hex(4)}")
    options.setdefault("jwt", JWT(secrets.token_urlsafe(48)))

    class Token(Resource, domain=domain, data_layer=layer, extensions=[TokenResource(**options)]):
        """Tokens."""

    domain.create_storage()
    return Token


def notes(layer):
    """Return an ordinary resource with an index."""
    domain = Domain(f"notes-{secrets.token_hex(4)}")

    class Note(Resource, domain=domain, data_layer=layer):
        id: Attr[str] = attribute(primary_key=True)
        text: Attr[str] = attribute(default="")

        by_text = index("text")
        keep = create(accept=["id", "text"])

    domain.create_storage()
    return Note


def until(agreed):
    """Wait for servers to agree."""
    ends_at = time.monotonic() + _TIME_LIMIT
    while not agreed():
        assert time.monotonic() < ends_at, "the servers did not agree"
        time.sleep(0.02)  # there is nothing that announces it


def follow(replica, primary):
    """Make a server the replica of another one, and wait until it has all."""
    replica.client().execute_command("REPLICAOF", "127.0.0.1", primary.port)
    until(lambda: replica.client().info("replication").get("master_link_status") == "up")
    until(lambda: replica.client().info("replication")["slave_repl_offset"] == offset(primary))


def offset(primary):
    """Return how much a primary has sent to its replicas."""
    return primary.client().info("replication")["master_repl_offset"]


def fill(server):
    """Let a server evict what its policy allows: it has little memory, and much is written."""
    client = server.client()
    client.config_set("maxmemory", str(client.info("memory")["used_memory"] + 200_000))
    for start in range(0, _JUNK, 1000):
        with client.pipeline(transaction=False) as pipeline:
            for number in range(start, start + 1000):
                pipeline.set(f"junk-{number}", os.urandom(50), ex=86_400)
            pipeline.execute(raise_on_error=False)


@pytest.mark.slow
class TestDemotedPrimaries:
    """What is not the primary is not believed, though its connections stay open."""

    def test_its_checks_answer_revoked(self, own_valkey, call):
        """It was demoted, and its link to the new primary is down."""
        old, new = own_valkey(), own_valkey()
        token = declare(Redis(old.url, prefix="t"))
        follow(new, old)
        new.client().execute_command("REPLICAOF", "NO", "ONE")
        new.client().config_set("requirepass", "x")
        before = call(token.jti_revoked, "a")  # so late that its connection does not ask for the server's settings again
        old.client().execute_command("REPLICAOF", "127.0.0.1", new.port)

        assert before is False
        assert call(token.jti_revoked, "a") is True

    def test_no_other_read_answers_either(self, own_valkey):
        """One by key, several by key, by an index, all of them, streamed: each raises, and says whom to ask."""
        old, new = own_valkey(), own_valkey()
        note = notes(Redis(old.url))
        note.keep(id="a", text="x")
        old.client().execute_command("REPLICAOF", "127.0.0.1", new.port)
        old.client().config_set("replica-serve-stale-data", "yes")
        questions = [
            query(note).filter(note.id == "a").all,
            query(note).filter(note.id.in_(["a", "b"])).all,
            query(note).filter(note.text == "x").all,
            query(note).all,
            query(note).count,
            lambda: list(query(note).stream()),
        ]
        for ask in questions:
            with pytest.raises(Unavailable, match="ask the primary"):
                ask()

    def test_the_primary_among_several_servers_is_asked(self, own_valkey, call):
        """A primary and its replica are named, in whichever order; after they have changed places, too."""
        one, two = own_valkey(), own_valkey()
        follow(two, one)
        token = declare(Redis([two.url, one.url]))
        call(token.revoke_jti, "a")
        until(lambda: two.client().info("replication")["slave_repl_offset"] == offset(one))
        first = call(token.jti_revoked, "a"), call(token.jti_revoked, "b")
        two.client().execute_command("REPLICAOF", "NO", "ONE")
        one.client().execute_command("REPLICAOF", "127.0.0.1", two.port)
        second = call(token.jti_revoked, "a"), call(token.jti_revoked, "b")
        one.stop()
        third = call(token.jti_revoked, "a"), call(token.jti_revoked, "b")

        assert [(True, False)] * 3 == [first, second, third]

    def test_a_primary_without_the_replicas_it_asks_for_is_not_believed(self, own_valkey, call):
        """With min-replicas-to-write a primary that is cut off from the others stops to answer."""
        primary, replica = own_valkey("--repl-ping-replica-period", "1"), own_valkey()
        follow(replica, primary)
        token = declare(Redis(primary.url))
        primary.client().config_set("min-replicas-to-write", "1")
        before = call(token.jti_revoked, "a")
        replica.stop()
        until(lambda: primary.client().info("replication")["connected_slaves"] == 0)

        assert before is False
        assert call(token.jti_revoked, "a") is True

    def test_doctor_finds_a_primary_that_would_go_on_alone(self, own_valkey):
        """It has a replica, and would answer without it."""
        primary, replica = own_valkey(), own_valkey()
        follow(replica, primary)
        token = declare(Redis(primary.url))
        found = {finding.id for finding in doctor(token)}
        primary.client().config_set("min-replicas-to-write", "1")

        assert "RK164" in found
        assert "RK164" not in {finding.id for finding in doctor(token)}

    def test_a_server_that_would_take_writes_as_a_replica_is_refused(self, own_valkey):
        """A write that no other server gets would be lost without an error."""
        with pytest.raises(UnsafeStore, match="replica-read-only"):
            declare(Redis(own_valkey("--replica-read-only", "no").url))


class TestEvictions:
    """A server whose policy was changed while it ran: what is gone is noticed, whichever key it was."""

    @pytest.mark.parametrize("policy", ["volatile-ttl", "volatile-lru", "volatile-random", "allkeys-lru", "allkeys-random"])
    def test_no_revoked_token_becomes_live(self, own_valkey, call, policy):
        """However the server chooses what it evicts."""
        server = own_valkey()
        token = declare(Redis(server.url))
        expires_at = datetime.now(UTC) + timedelta(hours=1)
        revoked = [f"dead-{number}" for number in range(60)]
        for jti in revoked:
            token.revoke_jti(jti, expires_at=expires_at)
        server.client().config_set("maxmemory-policy", policy)
        fill(server)

        assert server.client().info("stats")["evicted_keys"] > 0
        assert {True} == {call(token.jti_revoked, jti) for jti in revoked}

    def test_each_key_that_can_be_evicted_is_missed(self, own_valkey, call):
        """One after the other: a record, the set of all keys, an index. No read takes what is left for all there is."""
        client = (server := own_valkey()).client()
        token = declare(Redis(server.url), store_all_tokens=True)
        token.issue("alice")
        token.revoke_jti("dead")
        counter = b"!commits"
        for key in [each for each in client.keys("*") if not each.endswith(counter)]:
            kept = client.dump(key)
            client.delete(key)
            if b"!by:" in key:
                field = getattr(token, key.decode().rpartition(":")[2])
                with pytest.raises(Unavailable, match="index"):
                    call(query(token).filter(field == "alice").count)
            elif key.endswith(b"!keys"):
                assert call(token.jti_revoked, "dead") is True
                with pytest.raises(Unavailable):
                    query(token).count()
            else:
                with pytest.raises(Unavailable, match="lost"):
                    query(token).count()
                jti = key.decode().partition("=")[2]
                assert call(token.jti_revoked, jti) is True
            client.restore(key, 0, kept)

        assert call(token.jti_revoked, "dead") is True
        assert call(token.jti_revoked, "live") is False

    def test_a_lost_record_is_not_written_anew(self, own_valkey, call):
        """It could have been a revoked one, which a stored token would replace."""
        client = (server := own_valkey()).client()
        token = declare(Redis(server.url), store_all_tokens=True)
        issued = token.issue("alice")
        token.revoke(issued.token)
        (key,) = [key for key in client.keys("*=*") if key.endswith(issued.claims["jti"].encode())]
        client.delete(key)
        with pytest.raises(Unavailable, match="lost"):
            call(token.store_token, issued.token)
        token.expunge_expired()

        assert call(token.jti_revoked, issued.claims["jti"]) is True

    @pytest.mark.parametrize("accepted", [(), ("maxmemory-policy",)])
    def test_what_was_lost_is_forgotten_by_name_only(self, own_valkey, accepted):
        """Where evictions are accepted, a sweep drops what is left of lost records; elsewhere they go on to count."""
        client = (server := own_valkey()).client()
        token = declare(Redis(server.url, prefix="t", accept=accepted))
        for jti in ("lost", "kept"):
            token.revoke_jti(jti)
        client.delete("{resourcekit}t=lost")
        before = token.jti_revoked("lost")
        token.expunge_expired()

        assert before is True
        assert token.jti_revoked("lost") is not bool(accepted)
        assert token.jti_revoked("kept") is True

    def test_an_unsafe_setting_is_noticed_while_connections_are_kept(self, own_valkey, call):
        """Not only new connections ask."""
        server = own_valkey()
        with ManualClock(datetime.now(UTC)) as clock:
            token = declare(Redis(server.url))
            before = token.jti_revoked("a")
            server.client().config_set("maxmemory-policy", "allkeys-lru")
            clock.advance(timedelta(seconds=6))

            assert before is False
            assert token.jti_revoked("a") is True
            with pytest.raises(UnsafeStore, match="maxmemory-policy"):
                token.revoke_jti("a")

    def test_storage_is_not_made_anew_over_remains(self, own_valkey):
        """The set of all keys is gone, and with it the marker: records that are left say that there was more."""
        client = (server := own_valkey()).client()
        layer = Redis(server.url, prefix="n")
        notes(layer).keep(id="a")
        client.delete("{resourcekit}n!keys")
        with pytest.raises(DataLayerError, match="lost"):
            notes(layer)
        client.flushall()

        assert 0 == query(notes(layer)).count()

    def test_doctor_finds_evictions(self, own_valkey):
        """Even where the policy is safe again."""
        server = own_valkey()
        token = declare(Redis(server.url))
        server.client().config_set("maxmemory-policy", "volatile-ttl")
        fill(server)
        server.client().config_set("maxmemory", "0")
        server.client().config_set("maxmemory-policy", "noeviction")

        assert "RK163" in {finding.id for finding in doctor(token)}


class TestLives:
    """A record goes with a sweep and in no other way, so no clock but that of the sweep's rule counts."""

    def test_the_server_frees_no_record_by_itself(self, valkey_server, call):
        """Not of a token that ends soon, and not after it was written again."""
        tag = secrets.token_hex(6)
        token = declare(Redis(valkey_server.url, tag=tag))
        for _ in range(2):
            call(token.revoke_jti, "a", expires_at=datetime.now(UTC) + timedelta(seconds=1))
        client = valkey_server.client()

        assert {-1} == {client.pttl(key) for key in client.keys(f"{{{tag}}}*")}

    def test_a_host_whose_clock_is_ahead_frees_nothing(self, valkey_server, call):
        """What it revokes lives as long as what others revoke."""
        token = declare(Redis(valkey_server.url, tag=secrets.token_hex(6)))
        expires_at = datetime.now(UTC) + timedelta(days=1)
        with ManualClock(datetime.now(UTC) + timedelta(days=1, seconds=59)):
            call(token.revoke_jti, "a", expires_at=expires_at)

        assert call(token.jti_revoked, "a") is True


class TestIndexes:
    """An index holds all records, also those that are older than it."""

    def test_an_index_that_was_declared_later_finds_older_records(self, valkey_server, call):
        """create_storage() brings them in; until then a read by it is refused, and answers nothing wrong."""
        tag = secrets.token_hex(6)

        def declared(*, is_indexed):
            domain = Domain(f"notes-{secrets.token_hex(4)}")

            class Note(Resource, domain=domain, data_layer=Redis(valkey_server.url, tag=tag)):
                id: Attr[str] = attribute(primary_key=True)
                text: Attr[str] = attribute(default="")
                if is_indexed:
                    by_text = index("text")
                keep = create(accept=["id", "text"])

            return domain, Note

        older, note = declared(is_indexed=False)
        older.create_storage()
        note.keep.bulk([{"id": f"{number:04}", "text": str(number % 2)} for number in range(1200)])
        newer, note = declared(is_indexed=True)
        with pytest.raises(Unavailable, match="create_storage"):
            call(query(note).filter(note.text == "1").count)
        newer.create_storage()

        assert 600 == call(query(note).filter(note.text == "1").count)
