"""A server that is frozen: every call ends in time, checks answer "revoked", and afterwards all works."""

import asyncio
import time
from datetime import timedelta

import pytest

from resourcekit import context, query
from resourcekit.data_layers import Repo
from resourcekit.errors import OutcomeUnknown, Timeout
from tests.support.callers import Call, Watch

pytestmark = pytest.mark.slow

DEADLINE = timedelta(milliseconds=400)
GRACE = 2.0
"""Seconds of real time that a busy machine may take more; without a deadline a call would hang until the test fails."""


def in_time(*watches):
    """Return whether none of these blocks took longer than a call may."""
    return all(watch.seconds < DEADLINE.total_seconds() + GRACE for watch in watches)


def test_every_call_ends_in_time(server, call, declare_token):
    """Checks say revoked, reads raise Timeout, writes that they do not know; thawed, the next calls are answered."""
    token = declare_token(Repo(server.url))
    call(token.revoke_jti, "dead")
    issued = call(token.issue, "alice").token
    assert call(token.token_revoked, issued) is False
    server.freeze()
    try:
        with Watch() as check:
            checked = call.within(DEADLINE, token.jti_revoked, "live")
        with Watch() as second:
            checked_token = call.within(DEADLINE, token.token_revoked, issued)
        with Watch() as read, pytest.raises(Timeout):
            call.within(DEADLINE, query(token).count)
        with Watch() as write, pytest.raises((Timeout, OutcomeUnknown)):
            call.within(DEADLINE, token.revoke_jti, "b")
    finally:
        server.thaw()

    assert (True, True) == (checked, checked_token)
    assert in_time(check, second, read, write)
    assert (True, False) == (call(token.jti_revoked, "dead"), call(token.token_revoked, issued))
    assert "b" == call(token.revoke_jti, "b").jti


def test_a_write_on_its_way_is_unknown_and_a_read_is_not(server, call, declare_note):
    """Only what may have reached the server is unknown: a statement that was sent on a kept connection."""
    note = declare_note(Repo(server.url, timeout=timedelta(seconds=1)))
    call(note.write, key="kept")
    server.freeze()
    try:
        with pytest.raises(OutcomeUnknown):
            call(note.write, key="a")
        with pytest.raises(Timeout):  # the only connection was given up, and no new one could be opened
            call(note.write, key="b")
    finally:
        server.thaw()
    kept = {record.key for record in call(query(note).all)}

    assert {"kept", "a"} >= kept
    assert "kept" in kept


def test_a_transaction_ends_in_time(server, call, declare_note):
    """A block whose server freezes in the middle leaves nothing, and its connection is not used again."""
    note = declare_note(Repo(server.url))
    late = note.write.using(deadline=DEADLINE)
    with Watch() as block, pytest.raises(Timeout):
        call.in_transaction(note, [lambda: Call(note.write, key="a"), server.freeze, lambda: Call(late, key="b")])
    server.thaw()

    assert in_time(block)
    assert 0 == call(query(note).count)


def test_a_large_write_ends_in_time(server, call, declare_note):
    """What no longer fits between here and there waits neither to be sent nor to be closed."""
    note = declare_note(Repo(server.url))
    call(query(note).count)
    server.freeze()
    try:
        with Watch() as watch, pytest.raises((Timeout, OutcomeUnknown)):
            call.within(DEADLINE, note.write, key="large", body="x" * 12_000_000)
    finally:
        server.thaw()

    assert in_time(watch)
    call(note.write, key="next")


def test_the_loop_goes_on(server, declare_token):
    """While a hundred checks wait for a frozen server, another task of the loop runs; each check says revoked."""
    token = declare_token(Repo(server.url))

    async def beat(turns):
        while True:
            turns.append(time.monotonic())
            await asyncio.sleep(0.01)

    async def work():
        assert await token.jti_revoked.aio("live") is False
        turns = []
        beating = asyncio.create_task(beat(turns))
        server.freeze()
        try:
            with Watch() as watch, context(deadline=DEADLINE):
                answers = await asyncio.gather(*(token.jti_revoked.aio("live") for _ in range(100)))
        finally:
            server.thaw()
            beating.cancel()
        again = await asyncio.gather(*(token.jti_revoked.aio("live") for _ in range(100)))
        return answers, watch, turns, again

    answers, watch, turns, again = asyncio.run(work())

    assert [True] * 100 == answers
    assert in_time(watch)
    assert len(turns) > 5
    assert [False] * 100 == again
