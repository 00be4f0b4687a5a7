"""A cable that is pulled, in a network namespace of the test's own: every call ends in time, and checks fail closed."""

import contextlib
import os
from datetime import timedelta

import pytest

from resourcekit import query
from resourcekit.data_layers import Redis, Repo
from resourcekit.errors import DataLayerError, OutcomeUnknown, Timeout, Unavailable
from tests.support import valkey
from tests.support.cable import Cable
from tests.support.callers import Call, Watch
from tests.support.databases import MISSING
from tests.support.proxy import Proxy

pytestmark = pytest.mark.slow

DEADLINE = timedelta(milliseconds=500)
GRACE = 2.0
"""Seconds of real time that a busy machine may take more."""


@pytest.fixture
def cable():
    """A cable to another network."""
    try:
        made = Cable()
    except LookupError as missing:
        pytest.skip(f"{MISSING}{missing}")
    yield made
    made.remove()


@contextlib.contextmanager
def at_the_far_end(cable, port):
    """Let a server of this machine be reached through the cable only; yield a function that leads a URL there."""
    proxy = Proxy(port, cable.listen())
    try:
        yield proxy.url
    finally:
        proxy.close()


def test_a_pulled_cable_to_a_database(server, cable, call, declare_token, declare_note):
    """Checks say revoked, reads and writes raise, all in time; plugged in again, the next calls are answered."""
    with at_the_far_end(cable, server.port) as through:
        repo = Repo(through(server.url))
        token, note = declare_token(repo), declare_note(repo)
        call(token.revoke_jti, "dead")
        before = call(token.jti_revoked, "live")
        with Watch() as check:
            cable.pull()
            checked = call.within(DEADLINE, token.jti_revoked, "live")
        with Watch() as cold:  # no connection is left, and none can be made
            again = call.within(DEADLINE, token.jti_revoked, "live")
        with Watch() as read, pytest.raises((Timeout, Unavailable)):
            call.within(DEADLINE, query(note).count)
        with Watch() as write, pytest.raises((Timeout, OutcomeUnknown, Unavailable)):
            call.within(DEADLINE, token.revoke_jti, "b")
        cable.plug()
        call(token.revoke_jti, "c")
        after = [call(token.jti_revoked, jti) for jti in ("dead", "c", "live")]

    assert (False, True, True) == (before, checked, again)
    assert max(watch.seconds for watch in (check, cold, read, write)) < DEADLINE.total_seconds() + GRACE
    assert [True, True, False] == after


def test_a_cable_that_is_pulled_in_a_transaction(server, cable, call, declare_note):
    """A commit without an answer is unknown; afterwards all of the block is there, or nothing."""
    with at_the_far_end(cable, server.port) as through:
        note = declare_note(Repo(through(server.url), timeout=timedelta(seconds=2)))
        with Watch() as watch, pytest.raises(OutcomeUnknown):
            call.in_transaction(note, [lambda: Call(note.write, key="a"), lambda: Call(note.write, key="b"), cable.pull])
        cable.plug()
        counted = call(query(note).count)

    assert watch.seconds < 2 * 2 + GRACE
    assert counted in {0, 2}


def test_a_pulled_cable_to_redis(cable, call, declare_token, tmp_path):
    """The same for Valkey."""
    if valkey.binary() is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"{MISSING}a Valkey server")
    server = valkey.Valkey(tmp_path / "valkey").start()
    try:
        with at_the_far_end(cable, server.port) as through:
            token = declare_token(Redis(through(server.url)))
            call(token.revoke_jti, "dead")
            before = call(token.jti_revoked, "live")
            cable.pull()
            with Watch() as check:
                checked = [call.within(DEADLINE, token.jti_revoked, "live") for _ in range(2)]
            with Watch() as write, pytest.raises(DataLayerError):
                call.within(DEADLINE, token.revoke_jti, "b")
            cable.plug()
            call(token.revoke_jti, "c")
            after = [call(token.jti_revoked, jti) for jti in ("dead", "c", "live")]
    finally:
        server.stop()

    assert (False, [True, True]) == (before, checked)
    assert max(check.seconds / 2, write.seconds) < DEADLINE.total_seconds() + GRACE
    assert [True, True, False] == after
