"""What Redis and Valkey do wrong, on real servers: whatever happens, nothing revoked becomes live."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import secrets
import subprocess
import sys
import time
import traceback
from datetime import timedelta

import pytest

from resourcekit import Attr, Domain, Resource, attribute, context, create, get, index, query, update
from resourcekit.data_layers import Redis
from resourcekit.doctor import doctor
from resourcekit.errors import (
    DataLayerError,
    DeclarationError,
    NotFound,
    OutcomeUnknown,
    Timeout,
    Unavailable,
    UnsafeStore,
)
from resourcekit_tokens import JWT, TokenResource

pytestmark = pytest.mark.fault


def declare(layer, *, storage=True, **options):
    """Return a token resource on a layer."""
    domain = Domain("accounts")
    options.setdefault("jwt", JWT(secrets.token_urlsafe(48)))

    class Token(Resource, domain=domain, data_layer=layer, extensions=[TokenResource(**options)]):
        """Tokens."""

    Token.__qualname__ = f"Token{id(Token)}"
    if storage:
        domain.create_storage()
    return Token


def notes(layer):
    """Return an ordinary resource on a layer."""
    domain = Domain("notes")

    class Note(Resource, domain=domain, data_layer=layer):
        id: Attr[str] = attribute(primary_key=True)
        text: Attr[str] = attribute(default="")

        by_text = index("text")
        keep = create(accept=["id", "text"])
        change = update(accept=["text"])

    domain.create_storage()
    return Note


class TestUnsafeServers:
    """A server that may forget is refused, by name and with the cure."""

    @pytest.mark.parametrize(
        ("setting", "value"), [("maxmemory-policy", "allkeys-lru"), ("maxmemory-policy", "volatile-ttl"), ("appendonly", "no")]
    )
    def test_it_is_refused_at_the_first_call(self, own_valkey, setting, value):
        """Not even its storage is created."""
        server = own_valkey(f"--{setting}", value)
        with pytest.raises(UnsafeStore) as refused:
            declare(Redis(server.url))

        assert setting in str(refused.value)
        assert f'accept=["{setting}"]' in str(refused.value)

    def test_its_checks_answer_revoked(self, own_valkey):
        """A token resource on it never says live."""
        token = declare(Redis(own_valkey("--appendonly", "no").url), storage=False)

        assert token.jti_revoked("anything") is True

    def test_it_is_accepted_by_name(self, own_valkey):
        """Who names what is unsafe gets it."""
        server = own_valkey("--appendonly", "no", "--maxmemory-policy", "allkeys-lru")
        token = declare(Redis(server.url, accept=["appendonly", "maxmemory-policy"]))

        assert token.jti_revoked("anything") is False

    def test_one_name_accepts_no_other(self, own_valkey):
        """Each setting is accepted for itself."""
        server = own_valkey("--appendonly", "no", "--maxmemory-policy", "allkeys-lru")
        with pytest.raises(UnsafeStore, match="maxmemory-policy"):
            declare(Redis(server.url, accept=["appendonly"]))

    def test_doctor_finds_it(self, own_valkey):
        """The finding names the setting and the cure."""
        token = declare(Redis(own_valkey("--appendonly", "no").url), storage=False)
        finding = next(each for each in doctor(token) if each.id == "RK161")

        assert "appendonly" in finding.what + finding.cure

    def test_an_unknown_setting_is_a_declaration_error(self):
        """With a suggestion."""
        with pytest.raises(DeclarationError, match="appendonly"):
            Redis("redis://localhost", accept=["apendonly"])


class TestForgottenRecords:
    """A server that lost its records denies."""

    def test_an_emptied_server_answers_revoked(self, own_valkey):
        """FLUSHALL takes the marker with it."""
        server = own_valkey()
        token = declare(Redis(server.url))
        token.revoke_jti("a")
        server.client().flushall()

        assert token.jti_revoked("a") is True
        assert token.jti_revoked("b") is True
        with pytest.raises(Unavailable, match="create_storage"):
            query(token).count()

    def test_a_storage_made_anew_does_not_revive_in_a_running_process(self, own_valkey):
        """Another process made the storage anew; this one knows that it is another one."""
        server = own_valkey()
        token = declare(Redis(server.url))
        token.revoke_jti("a")
        server.client().flushall()
        code = (
            "from resourcekit import *; from resourcekit.data_layers import Redis; from resourcekit_tokens import *\n"
            "d = Domain('d')\n"
            f"class Token(Resource, domain=d, data_layer=Redis({server.url!r}), extensions=[TokenResource]): ...\n"
            "d.create_storage()"
        )
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)

        assert token.jti_revoked("a") is True
        with pytest.raises(Unavailable):
            token.revoke_jti("b")

    def test_a_restart_without_persistence_answers_revoked(self, own_valkey):
        """Accepted by name, and yet it denies once it has forgotten."""
        server = own_valkey("--appendonly", "no")
        token = declare(Redis(server.url, accept=["appendonly"]))
        token.revoke_jti("a")
        server.kill()
        server.start()

        assert token.jti_revoked("a") is True

    def test_a_restart_with_persistence_keeps_everything(self, own_valkey):
        """The next call works, and what was acknowledged is there."""
        server = own_valkey("--appendfsync", "always")
        token = declare(Redis(server.url))
        token.revoke_jti("a")
        server.kill()
        server.start()

        assert token.jti_revoked("a") is True
        assert token.jti_revoked("b") is False


class TestServersThatDoNotAnswer:
    """Every call is bounded, and a check that gets no answer says revoked."""

    def test_a_frozen_server_times_out(self, own_valkey):
        """Reads raise Timeout, writes OutcomeUnknown, checks say revoked; afterwards all works."""
        server = own_valkey()
        token = declare(Redis(server.url, timeout=timedelta(milliseconds=300)))
        server.freeze()
        try:
            with pytest.raises(Timeout):
                query(token).count()
            with pytest.raises((Timeout, OutcomeUnknown)):
                token.revoke_jti("a")
            assert token.jti_revoked("b") is True
        finally:
            server.thaw()

        assert token.jti_revoked("b") is False

    def test_a_frozen_server_times_out_in_a_loop(self, own_valkey):
        """The same in the other call mode, with other tasks running meanwhile."""
        server = own_valkey()
        token = declare(Redis(server.url, timeout=timedelta(milliseconds=300)))

        async def ask():
            assert await token.jti_revoked.aio("a") is False
            server.freeze()
            try:
                answers = await asyncio.gather(*(token.jti_revoked.aio("a") for _ in range(10)))
            finally:
                server.thaw()
            return answers, await token.jti_revoked.aio("a")

        frozen, thawed = asyncio.run(ask())

        assert [True] * 10 == frozen
        assert thawed is False

    def test_the_deadline_of_the_call_counts(self, own_valkey):
        """A shorter deadline than the layer's own ends the call."""
        server = own_valkey()
        token = declare(Redis(server.url))
        server.freeze()
        try:
            with context(deadline=timedelta(milliseconds=200)), pytest.raises(Timeout):
                query(token).count()
        finally:
            server.thaw()

    def test_a_server_that_is_gone_is_unavailable(self, own_valkey):
        """Nothing was written, and the error says so; no URL is shown."""
        server = own_valkey()
        token = declare(Redis(server.url))
        server.kill()
        with pytest.raises(Unavailable) as gone:
            token.revoke_jti("a")

        assert str(server.port) not in str(gone.value)
        assert token.jti_revoked("a") is True

    def test_full_memory_raises_and_writes_nothing(self, own_valkey):
        """With noeviction a full server refuses the write as a whole."""
        server = own_valkey()
        token = declare(Redis(server.url))
        server.client().config_set("maxmemory", "1")
        with pytest.raises(Unavailable, match="memory"):
            token.revoke_jti("a")
        server.client().config_set("maxmemory", "0")

        assert token.jti_revoked("a") is False
        assert 0 == len(server.client().keys("*=a"))

    def test_a_replica_that_is_missing_makes_the_outcome_unknown(self, own_valkey):
        """``wait_replicas`` returns only when so many have the write."""
        token = declare(Redis(own_valkey().url, timeout=timedelta(seconds=2), wait_replicas=1))
        with pytest.raises(OutcomeUnknown, match="0 of 1"):
            token.revoke_jti("a")

    def test_a_replica_that_has_the_write_is_enough(self, own_valkey):
        """With the replica there, the call returns."""
        primary = own_valkey()
        replica = own_valkey("--replicaof", f"127.0.0.1 {primary.port}")
        _until_linked(replica)
        token = declare(Redis(primary.url, wait_replicas=1))
        token.revoke_jti("a")

        assert token.jti_revoked("a") is True
        assert 1 == len(replica.client().keys("*=a"))

    def test_300_cancelled_calls_leave_everything_working(self, valkey_server):
        """A cancelled call gives its connection up, and mixes no answers."""
        token = declare(Redis(valkey_server.url, tag=secrets.token_hex(6)))
        token.revoke_jti("dead")

        async def storm():
            for number in range(300):
                task = asyncio.create_task(token.jti_revoked.aio("dead" if number % 2 else "live"))
                await asyncio.sleep(0)
                for _ in range(number % 7):
                    await asyncio.sleep(0)
                task.cancel()
                with pytest.raises((asyncio.CancelledError, AssertionError)):
                    await task
                    raise AssertionError
            return await asyncio.gather(*(token.jti_revoked.aio(jti) for jti in ["dead", "live"] * 20))

        assert [True, False] * 20 == asyncio.run(storm())

    def test_a_fork_shares_no_connection(self, valkey_server):
        """Parent and child go on, each with connections of its own."""
        note = notes(Redis(valkey_server.url, tag=secrets.token_hex(6)))
        note.keep(id="a", text="parent")
        child = multiprocessing.get_context("fork").Process(target=_work_in_child, args=(note,))
        child.start()
        for number in range(50):
            note.keep(id=f"p{number}")
        child.join(30)

        assert 0 == child.exitcode
        assert 101 == query(note).count()


def _until_linked(replica):
    for _ in range(1000):
        if replica.client().info("replication").get("master_link_status") == "up":
            return
        time.sleep(0.01)  # there is nothing that announces it
    pytest.fail("the replica did not link")


def _work_in_child(note):
    for number in range(50):
        note.keep(id=f"c{number}")
    os._exit(0 if get(note, "a").text == "parent" else 1)


class TestClusters:
    """A cluster redirects, and loses nodes."""

    def test_any_node_leads_to_the_records(self, valkey_cluster):
        """Whichever node is named, the redirect is followed."""
        tag = secrets.token_hex(6)
        for number, node in enumerate(valkey_cluster):
            note = notes(Redis(node.url, tag=tag))
            note.keep(id=str(number))

            assert number + 1 == query(note).count()

    def test_tasks_follow_redirects_too(self, valkey_cluster):
        """The same in the other call mode."""
        tag = secrets.token_hex(6)

        async def work(node, number):
            note = notes_of[number]
            await note.keep.aio(id=str(number))
            return await query(note).count.aio()

        notes_of = [notes(Redis(node.url, tag=tag)) for node in valkey_cluster]
        counts = [asyncio.run(work(node, number)) for number, node in enumerate(valkey_cluster)]

        assert [1, 2, 3] == counts


class TestSecrecy:
    """Neither keys nor passwords leave."""

    def test_no_error_and_no_log_line_holds_a_key(self, own_valkey, caplog):
        """Whatever fails, the jti stays unseen."""
        server = own_valkey()
        token = declare(Redis(server.url))
        server.client().config_set("maxmemory", "1")
        with caplog.at_level(logging.DEBUG), pytest.raises(DataLayerError) as failed:
            token.revoke_jti("swordfish")
        shown = repr(failed.value) + repr(failed.value.__cause__) + repr(failed.value.__context__) + caplog.text

        assert "swordfish" not in shown

    @pytest.mark.parametrize(
        "url", ["redis://:hun/ter2@127.0.0.1:6379/0", "redis://h:hunter2/0", "redis://localhost/hunter2", "redis://[hunter2"]
    )
    def test_a_url_that_cannot_be_read_is_refused_without_being_shown(self, url):
        """A slash in a password would end it there, and a database that is no number would be another one."""
        with pytest.raises(DeclarationError, match="%2F") as caught:
            Redis(url)

        assert "RK162" == caught.value.code
        assert "hun" not in "".join(traceback.format_exception(caught.value))

    def test_no_repr_holds_the_url(self):
        """A URL may hold a password."""
        assert "hunter2" not in repr(Redis("redis://:hunter2@localhost:6379/0"))

    def test_a_wrong_password_is_unavailable(self, own_valkey):
        """And not repeated."""
        server = own_valkey()
        server.client().config_set("requirepass", "right")
        with pytest.raises(Unavailable) as refused:
            declare(Redis(server.url.replace("redis://", "redis://:hunter2@")))

        assert "hunter2" not in str(refused.value)


def test_an_index_is_kept_in_step_with_its_records(redis_layer):
    """Changing, removing and rolling back leave exactly the members that the records have."""
    note = notes(redis_layer())
    note.keep.bulk([{"id": str(number), "text": "old"} for number in range(10)])
    for number in range(5):
        note.change(str(number), text="new")

    assert (5, 5) == (query(note).filter(note.text == "old").count(), query(note).filter(note.text == "new").count())
    with pytest.raises(NotFound):
        get(note, "99")
