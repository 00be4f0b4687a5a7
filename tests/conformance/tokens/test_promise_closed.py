"""P3, P4 and P5: checks fail closed, writes fail loud, and only verified tokens write."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
from datetime import datetime, timedelta
from typing import Any

import pytest
from call_styles import SECRET, declared

from resourcekit import context, query
from resourcekit.data_layers import SQL, Memory
from resourcekit.errors import DataLayerError, InvalidArgument, ResourcekitError, Timeout, Unavailable
from resourcekit.extending import DataLayer, ResourceInfo, Store
from resourcekit.telemetry import counts
from resourcekit_tokens import JWT, RevokedJti
from resourcekit_tokens.errors import BadSignature, InvalidToken
from tests.support.databases import shared

COUNTED = "resourcekit.tokens.failed_closed"


def failures() -> int:
    """Return how many checks could not be answered so far."""
    return sum(number for (name, _), number in counts().items() if name == COUNTED)


class Broken(Store):
    """A wrapper around a store that raises once the test switches it on."""

    error: BaseException | None = None
    capabilities = Memory.capabilities

    def __init__(self, store: Store) -> None:
        self.store, self.info = store, store.info

    def __getattribute__(self, name: str) -> Any:
        """Hand everything on to the store, except what waits while it is broken."""
        if name in ("store", "error", "info", "__class__", "__dict__"):
            return object.__getattribute__(self, name)
        if self.error is not None and name in ("select", "insert", "update", "delete", "aggregate", "transaction", "stream"):
            raise self.error
        return getattr(self.store, name)

    compile = select = stream = insert = update = delete = delete_in_batches = aggregate = None  # type: ignore[assignment]
    transaction = current_transaction = lease = now = health = create_storage = close = group = None  # type: ignore[assignment]


class BreakableMemory(Memory):
    """Memory whose store can be broken by a test: a data layer of a third party."""

    def bind(self, info: ResourceInfo) -> Store:
        """Return the store of Memory behind one that can break."""
        return Broken(Memory().bind(info))


ERRORS: list[BaseException] = [
    OSError("disk"),
    ValueError("jti-of-the-victim"),
    sqlite3.OperationalError("locked"),
    Unavailable("down"),
    Timeout("late"),
    KeyError("x"),
    AssertionError(),
    RecursionError(),
    MemoryError(),
    StopIteration(),
    TypeError("unhashable"),
    ExceptionGroup("several", [OSError("a")]),
]


SERVERS = [
    pytest.param(f"{way} {kind}", marks=pytest.mark.slow)
    for kind, way in (
        ("postgresql", "dropped"),
        ("mariadb", "dropped"),
        ("valkey", "wiped"),
        ("postgresql", "missing"),
        ("mariadb", "missing"),
        ("valkey", "missing"),
    )
]


@pytest.fixture(params=["dropped table", "broken file", "no folder", "never created", *SERVERS])
def ruined(request: pytest.FixtureRequest, tmp_path: Any, layers: Any, clock: Any) -> Any:
    """A token resource whose storage is gone, in one of several ways."""
    way, _, kind = request.param.partition(" ")
    if kind in ("postgresql", "mariadb", "valkey"):
        return ruined_on_a_server(layers(kind), kind, request, gone=way != "missing")
    file = tmp_path / "ruined.db"
    if request.param == "no folder":
        layer: DataLayer = SQL(f"sqlite:///{tmp_path}/missing/ruined.db")
    else:
        layer = SQL(f"sqlite:///{file}")
    if request.param == "broken file":
        file.write_bytes(b"this is no database" * 1000)
    resource = declared(layer, "record", storage=request.param == "dropped table")
    if request.param == "dropped table":
        resource.revoke_jti("known")
        with contextlib.closing(sqlite3.connect(file)) as connection, connection:
            connection.execute("DROP TABLE token")
    return resource


def ruined_on_a_server(layer: DataLayer, kind: str, request: pytest.FixtureRequest, *, gone: bool) -> Any:
    """Return a token resource whose table, or whose keys, were never there, or are gone."""
    resource = declared(layer, "record", storage=gone)
    if not gone:
        return resource
    resource.revoke_jti("known")
    if kind == "valkey":
        # As a server does that was restarted without its files: everything of this tag is gone.
        with contextlib.closing(request.getfixturevalue("token_valkey").client()) as client:
            client.flushall()
    else:
        shared(kind).run(f"DROP TABLE {resource.__runtime__.store.table.name}")
    return resource


class TestFailClosed:
    def test_ruined_storage_means_revoked(self, ruined, speak, call_style, forge, caplog):
        """A dropped table, a broken file, no file at all: a real ``True``, logged once a check, and counted."""
        token, before = speak(ruined, call_style), failures()
        with caplog.at_level(logging.ERROR, logger="resourcekit"):
            answers = [token.token_revoked(forge()), token.jti_revoked("one"), token.jti_revoked("one", subject="alice")]

        assert [True, True, True] == answers
        assert {bool} == {type(answer) for answer in answers}
        assert 3 == failures() - before
        assert 3 == len([record for record in caplog.records if "the answer is revoked" in record.getMessage()])

    def test_ruined_storage_fails_everything_else_loudly(self, ruined, speak, call_style, forge):
        """No write pretends, no read invents: a ResourcekitError is raised (promise P4: an acknowledged write is kept)."""
        token = speak(ruined, call_style)
        for use in (
            lambda: token.revoke(forge()),
            lambda: token.revoke_jti("one"),
            lambda: token.revoke_jtis([RevokedJti("one")]),
            lambda: token.store_token(forge()),
            lambda: token.store_confirmation_changes(forge(), {}),
            lambda: token.get_token(jti="one"),
            lambda: token.get_confirmation_changes(jti="one"),
            lambda: token.revoke_all_stored_for_subject("alice"),
            lambda: token.log_out_everywhere("alice"),
            lambda: token.tokens_for_subject("alice"),
            token.read_expired,
            token.expunge_expired,
            lambda: token.explain(jti="one"),
        ):
            with pytest.raises(DataLayerError):
                use()

    @pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
    def test_a_data_layer_that_raises_means_revoked(self, error, speak, call_style, forge, clock, caplog):
        """Whatever a third party's store raises, the checks answer and everything else raises."""
        resource = declared(BreakableMemory(), "record", jwt=JWT(SECRET))
        token, text = speak(resource, call_style), forge(purpose="user")
        live = [token.token_revoked(text), token.jti_revoked("one")]
        before = failures()
        store = resource.__runtime__.store
        store.error = error
        with caplog.at_level(logging.ERROR, logger="resourcekit"):
            dead = [token.token_revoked(text), token.jti_revoked("one")]
        for use in (lambda: token.revoke(text), lambda: token.verify(text), lambda: token.consume(text, purpose="user")):
            with pytest.raises((type(error), RuntimeError)):
                use()
        store.error = None

        assert [False, False] == live
        assert [True, True] == dead
        assert 2 == failures() - before
        assert "jti-of-the-victim" not in caplog.text
        assert token.token_revoked(text) is False

    @pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(1)])
    def test_an_interrupt_is_no_answer(self, error, forge, clock):
        """What ends the program, ends it."""
        resource = declared(BreakableMemory(), "record")
        resource.__runtime__.store.error = error
        with pytest.raises(type(error)):
            resource.token_revoked(forge())

    def test_unavailable_passes_through_verify(self, speak, call_style, forge, clock):
        """So that a web application can answer 503 instead of 401."""
        resource = declared(BreakableMemory(), "record", jwt=JWT(SECRET))
        resource.__runtime__.store.error = Unavailable("down")
        with pytest.raises(Unavailable):
            speak(resource, call_style).verify(forge(purpose="user"))

    def test_keys_that_cannot_be_read_mean_revoked(self, plain, forge, monkeypatch):
        """A callable that raises is a failure like any other: closed for the check, loud for the write."""

        def secret() -> str:
            raise OSError("vault is sealed")

        token = plain(jwt=JWT(secret))

        assert token.token_revoked(forge()) is True
        with pytest.raises((OSError, ResourcekitError)):
            token.revoke(forge())

    @pytest.mark.parametrize("wrong", [{"issued_at": datetime(2030, 1, 1)}, {"issued_at": "x"}, {"family": b"f"}])  # noqa: DTZ001  # that is the point
    def test_wrong_facts_mean_revoked_or_nothing(self, token_resource, wrong):
        """Facts of a wrong type never raise, and never hide a revocation."""
        token = token_resource()
        token.revoke_jti("dead")
        token.log_out_everywhere("alice")

        assert token.jti_revoked("dead", **wrong) is True
        assert token.jti_revoked("other", **{"subject": "alice", **wrong}) is True

    @pytest.mark.parametrize("subject", [7, b"alice", ("alice",)])
    def test_a_subject_that_is_no_text_is_the_callers_mistake(self, token_resource, subject):
        """An outage would be answered "revoked"; this says what to write."""
        with pytest.raises(InvalidArgument, match=r"str\(user\.id\)"):
            token_resource().jti_revoked("other", subject=subject)

    def test_a_deadline_that_has_passed_means_revoked(self, tmp_path, clock, forge):
        """No time left: no waiting, and no "live"."""
        resource = declared(SQL(f"sqlite:///{tmp_path}/late.db"), "record")
        with context(deadline=timedelta(0)):
            answers = [resource.token_revoked(forge()), resource.jti_revoked("one")]

        assert [True, True] == answers

    def test_a_locked_database_is_read_all_the_same(self, tmp_path, forge, clock):
        """A writer that never ends keeps no check waiting; a write fails loudly at its deadline."""
        resource = declared(SQL(f"sqlite:///{tmp_path}/locked.db"), "record")
        resource.revoke_jti("dead")
        other = sqlite3.connect(tmp_path / "locked.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        try:
            answers = [resource.jti_revoked("dead"), resource.jti_revoked("live")]
            with context(deadline=timedelta(milliseconds=50)), pytest.raises(Timeout):
                resource.revoke_jti("other")
        finally:
            other.execute("ROLLBACK")
            other.close()

        assert [True, False] == answers
        assert resource.jti_revoked("other") is False

    def test_checks_from_many_threads_answer_alike(self, plain, forge):
        """No thread sees another answer than the others."""
        token = plain()
        token.revoke(forge("dead"))
        answers: list[tuple[bool, bool]] = []
        texts = forge("dead"), forge("live")

        def ask() -> None:
            answers.append((token.resource.token_revoked(texts[0]), token.resource.jti_revoked("live")))

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert [(True, False)] * 8 == answers


class TestOnlyVerifiedTokensWrite:
    @pytest.mark.parametrize("key", ["another-secret-that-is-long-enough-0123456789-abcdef", SECRET[:-1] + "x"])
    def test_a_forged_token_writes_nothing(self, token_resource, forge, key):
        """Where keys are known, whatever takes a token verifies the signature first."""
        token = token_resource(jwt=JWT(SECRET, default_purpose="refresh"))
        forged = forge("victim", key=key, fam="f1")
        for use in (
            token.revoke,
            token.store_token,
            token.rotate,
            lambda text: token.store_confirmation_changes(text, {"admin": True}),
            lambda text: token.get_token(token=text),
            lambda text: token.consume(text, purpose="refresh"),
            lambda text: token.confirm(text, purpose="refresh"),
        ):
            with pytest.raises(BadSignature):
                use(forged)

        assert 0 == query(token.resource).count()
        assert token.jti_revoked("victim", family="f1") is False

    def test_an_expired_token_may_still_be_revoked(self, token_resource, forge):
        """If it was signed by us."""
        token = token_resource(jwt=JWT(SECRET))

        assert token.revoke(forge("old", hours=-9)).revoked_at is not None

    def test_without_keys_the_caller_vouches(self, token_resource, forge):
        """Any signature will do, and garbage will not."""
        token = token_resource()

        assert token.revoke(forge("one", key="some-key-that-no-resource-here-has-0123456789")).jti == "one"
        with pytest.raises(InvalidToken):
            token.revoke("e30.e30.e30")
