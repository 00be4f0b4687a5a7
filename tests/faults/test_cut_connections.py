"""Connections that are cut, stalled or deafened at a chosen moment, by a proxy of the tests' own."""

import contextlib
import time
from datetime import timedelta

import pytest

from resourcekit import query
from resourcekit.data_layers import Repo
from resourcekit.errors import OutcomeUnknown, Timeout, Unavailable
from tests.support.callers import Call, Watch
from tests.support.notes import declared
from tests.support.proxy import proxied

DEADLINE = timedelta(milliseconds=500)
GRACE = 2.0
"""Seconds of real time that a busy machine may take more."""


@pytest.fixture
def way(database):
    """A proxy before the database, and the URL that leads through it."""
    with proxied(database.url) as (proxy, url):
        yield proxy, url


def keys_of(note, call):
    """Return the keys of all records, in order."""
    return sorted(record.key for record in call(query(note).all))


def test_an_idle_connection_that_was_cut_costs_no_call(way, call, declare_note):
    """Reads, writes, streams and transactions each find their kept connection gone, and work."""
    proxy, url = way
    note = declare_note(Repo(url))
    calls = [
        lambda: call(note.write, key="a"),
        lambda: call(query(note).count),
        lambda: call.in_transaction(note, [lambda: Call(note.write, key="b")]),
        lambda: call(note.write.bulk, [{"key": "c"}, {"key": "d"}]),
    ]
    for each in calls:
        proxy.cut()
        each()

    assert ["a", "b", "c", "d"] == keys_of(note, call)


def test_a_connection_that_is_lost_before_commit_leaves_nothing(way, call, declare_note):
    """The server takes back what it had; the error says that nothing was written, and the next call works."""
    proxy, url = way
    note = declare_note(Repo(url))
    with pytest.raises(Unavailable):
        call.in_transaction(note, [lambda: Call(note.write, key="a"), proxy.cut])
    call(note.write, key="b")

    assert ["b"] == keys_of(note, call)


def test_a_connection_that_is_lost_between_two_writes_leaves_nothing(way, call, declare_note):
    """The second write raises; the block is over, and nothing is written outside of it by mistake."""
    proxy, url = way
    note = declare_note(Repo(url))
    with pytest.raises(Unavailable):
        call.in_transaction(note, [lambda: Call(note.write, key="a"), proxy.cut, lambda: Call(note.write, key="b")])
    call(note.write, key="c")

    assert ["c"] == keys_of(note, call)


@pytest.mark.parametrize(("moment", "kept"), [("cut before", []), ("cut after", ["a", "b"])])
def test_a_commit_without_an_answer_is_unknown(way, call, declare_note, moment, kept):
    """A lost write and a lost answer look alike: the error is OutcomeUnknown, and either all or nothing was written."""
    proxy, url = way
    note = declare_note(Repo(url))
    call(query(note).count)  # a connection is kept from here on
    proxy.when_sent(b"COMMIT", moment)
    with pytest.raises(OutcomeUnknown):
        call.in_transaction(note, [lambda: Call(note.write, key="a"), lambda: Call(note.write, key="b")])

    assert proxy.has_happened
    assert kept == keys_of(note, call)


@pytest.mark.parametrize(("moment", "kept"), [("cut before", []), ("cut after", ["a", "b", "c"])])
def test_a_bulk_write_without_an_answer_to_its_commit_is_unknown(way, call, declare_note, moment, kept):
    """The write may have been committed, so it is not repeated."""
    proxy, url = way
    note = declare_note(Repo(url))
    call(query(note).count)  # a connection is kept from here on
    proxy.when_sent(b"COMMIT", moment)
    result = call(note.write.bulk, [{"key": key} for key in "abc"])

    assert (0, {OutcomeUnknown}) == (result.count, {type(failure.error) for failure in result.failures})
    assert kept == keys_of(note, call)


def test_a_bulk_write_that_is_cut_before_its_commit_is_made_again(way, call, declare_note):
    """Nothing can have been committed, so it is sent once more on another connection."""
    proxy, url = way
    note = declare_note(Repo(url))
    call(query(note).count)  # a connection is kept from here on
    proxy.when_sent(b"INSERT", "cut before")
    result = call(note.write.bulk, [{"key": key} for key in "abc"])

    assert proxy.has_happened
    assert (3, ["a", "b", "c"]) == (result.count, keys_of(note, call))


@pytest.mark.parametrize(("moment", "kept"), [("cut before", []), ("cut after", ["a"])])
def test_a_write_that_commits_by_itself_is_unknown_once_it_was_sent(way, call, declare_note, moment, kept):
    """The statement is its own commit."""
    proxy, url = way
    note = declare_note(Repo(url))
    call(query(note).count)  # a connection is kept from here on
    proxy.when_sent(b"INSERT", moment)
    with pytest.raises(OutcomeUnknown):
        call(note.write, key="a")

    assert kept == keys_of(note, call)


@pytest.mark.parametrize("moment", ["cut before", "cut after"])
def test_a_read_is_made_again(way, call, declare_note, moment):
    """A read whose connection is lost in the middle is answered."""
    proxy, url = way
    note = declare_note(Repo(url))
    call(note.write, key="a")
    proxy.when_sent(b"SELECT", moment)

    assert ["a"] == keys_of(note, call)
    assert proxy.has_happened


@pytest.mark.parametrize("deadline", [timedelta(seconds=60), timedelta(seconds=1)])
def test_telling_the_server_a_deadline_is_no_write(way, call, declare_note, deadline):
    """A connection that is lost while its timeout is set has sent nothing that could be committed."""
    proxy, url = way
    note = declare_note(Repo(url))
    call(note.write, key="a")
    proxy.when_sent(b"statement_t", "cut before")
    call_with = note.write.using(deadline=deadline)
    call(call_with, key="b")

    assert ["a", "b"] == keys_of(note, call)


@pytest.mark.slow
def test_a_first_connection_that_is_forgotten_halfway_holds_nobody_up(way, call, declare_note):
    """While the first connection is still being opened, the network is cut: later calls end in time and do not wait for it."""
    proxy, url = way
    table = declare_note(Repo(url)).__runtime__.store.table.name
    note = declared(Repo(url, timeout=timedelta(seconds=1)), table, storage=False)
    proxy.when_sent(b"SELECT", "forget")
    with pytest.raises(Timeout):
        call(query(note).count)
    counted = None
    with Watch() as watch:
        while counted is None and time.monotonic() < watch.began + 10:
            with contextlib.suppress(Timeout):
                counted = call(query(note).count)

    assert proxy.has_happened
    assert 0 == counted


@pytest.mark.slow
def test_a_way_that_stalls_ends_each_call_in_time(way, call, declare_token):
    """A firewall that forgot us: no answer, no error. Checks say revoked, writes do not know, and all is well afterwards."""
    proxy, url = way
    token = declare_token(Repo(url, timeout=DEADLINE))
    call(token.revoke_jti, "dead")
    proxy.stall()
    with Watch() as first:
        checked = call(token.jti_revoked, "live")
    with Watch() as second, pytest.raises((Timeout, OutcomeUnknown)):
        call(token.revoke_jti, "b")
    proxy.heal()

    assert checked is True
    assert max(first.seconds, second.seconds) < DEADLINE.total_seconds() + GRACE
    assert (False, True) == (call(token.jti_revoked, "live"), call(token.jti_revoked, "dead"))


@pytest.mark.slow
def test_answers_that_come_crumb_by_crumb_end_in_time(way, call, declare_token):
    """Each crumb comes soon enough, all of them together do not: the deadline is for the whole call."""
    proxy, url = way
    token = declare_token(Repo(url, timeout=DEADLINE))
    assert call(token.jti_revoked, "live") is False
    proxy.crumble(0.2)
    with Watch() as watch:
        answers = [call(token.jti_revoked, "live"), call(token.jti_revoked, "live")]
    proxy.heal()

    assert [True, True] == answers
    assert watch.seconds < 2 * DEADLINE.total_seconds() + GRACE


@pytest.mark.slow
def test_a_transaction_whose_commit_is_not_answered_in_time_is_unknown(way, call, declare_note):
    """The commit arrives, its answer does not."""
    proxy, url = way
    note = declare_note(Repo(url, timeout=DEADLINE))
    with Watch() as watch, pytest.raises(OutcomeUnknown):
        call.in_transaction(note, [lambda: Call(note.write, key="a"), proxy.deafen])
    proxy.heal()
    proxy.cut()

    assert watch.seconds < DEADLINE.total_seconds() + GRACE
    assert ["a"] == keys_of(note, call)
