"""A server that is restarted: acknowledged writes are kept, and the next call works as before."""

import collections
import secrets
import threading

import pytest

from resourcekit import query
from resourcekit.data_layers import Repo
from resourcekit.errors import DataLayerError, Unavailable
from tests.support.callers import Call

pytestmark = pytest.mark.slow


def stream(note):
    """Return the keys of a stream."""
    return sorted(record.key for record in query(note).stream())


async def stream_in_loop(note):
    """Return the keys of a stream."""
    return sorted([record.key async for record in query(note).stream.aio()])


def test_the_next_call_works_whatever_it_is(server, call, declare_note, declare_token):
    """Each of these finds all kept connections dead; none raises, and a check is no false "revoked"."""
    repo = Repo(server.url)
    note, token = declare_note(repo), declare_token(repo)
    call(note.write, key="a")
    call(token.revoke_jti, "dead")
    assert (True, False) == (call(token.jti_revoked, "dead"), call(token.jti_revoked, "live"))
    server.restart()
    checks = call(token.jti_revoked, "dead"), call(token.jti_revoked, "live")
    server.restart()
    call(note.write, key="b")
    server.restart()
    call.in_transaction(note, [lambda: Call(note.write, key="c")])
    server.restart()
    streamed = call.run(stream_in_loop(note)) if call.is_async else stream(note)

    assert (True, False) == checks
    assert ["a", "b", "c"] == streamed


def test_a_server_that_is_gone_is_unavailable_and_comes_back(server, call, declare_token):
    """While it is away checks say revoked at once, and writes say that nothing was written."""
    token = declare_token(Repo(server.url))
    call(token.revoke_jti, "dead")
    server.stop()
    checked = call(token.jti_revoked, "live")
    with pytest.raises(Unavailable) as gone:
        call(token.revoke_jti, "b")
    server.start()

    assert checked is True
    assert str(server.port) not in str(gone.value)
    assert [True, False] == [call(token.jti_revoked, jti) for jti in ("dead", "b")]


def test_a_transaction_over_a_restart_leaves_nothing(server, call, declare_note):
    """Its server forgot it: the block raises, and the next one works."""
    note = declare_note(Repo(server.url))
    with pytest.raises(Unavailable):
        call.in_transaction(note, [lambda: Call(note.write, key="a"), server.restart, lambda: Call(note.write, key="b")])
    call.in_transaction(note, [lambda: Call(note.write, key="c")])

    assert ["c"] == [record.key for record in call(query(note).all)]


@pytest.mark.parametrize("how", ["restart", "crash"])
def test_what_was_acknowledged_outlives_it(server, declare_note, how):
    """Under writers a server is stopped, or killed: every write that was acknowledged is there once it is back."""
    note = declare_note(Repo(server.url))
    said = {}
    is_over = threading.Event()

    def work(thread):
        while not is_over.is_set():
            key = f"{thread}-{secrets.token_hex(8)}"
            try:
                for failure in note.write.bulk([{"key": f"{key}/0"}, {"key": f"{key}/1"}]).failures:
                    raise failure.error
                said[key] = "written"
            except DataLayerError as error:
                said[key] = type(error)
                is_over.wait(0.02)

    threads = [threading.Thread(target=work, args=(thread,)) for thread in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(2):
            while sum(outcome == "written" for outcome in list(said.values())) < 20:
                is_over.wait(0.01)
            if how == "crash":
                server.kill()
                server.start()
            else:
                server.restart()
    finally:
        is_over.set()
        for thread in threads:
            thread.join()
    there = collections.Counter(record.key.partition("/")[0] for record in query(note).all())

    assert {2} == set(there.values())
    assert {2} == {there[key] for key, outcome in said.items() if outcome == "written"}
    assert {0} >= {there[key] for key, outcome in said.items() if outcome is Unavailable}
