"""A COMMIT that is killed on MariaDB: the server may report it after it has committed, so the outcome is unknown."""

from __future__ import annotations

import threading
from contextlib import closing

import pytest

from resourcekit import query
from resourcekit.data_layers import Repo
from resourcekit.errors import OutcomeUnknown
from tests.support.callers import Call, Caller
from tests.support.databases import connect

WAITS = "SELECT id FROM information_schema.processlist WHERE info = 'COMMIT' AND state LIKE 'Waiting for%'"


@pytest.fixture
def holder(own_mariadb):
    """A server on which no COMMIT comes to its end while this connection holds its lock."""
    server = own_mariadb()
    with closing(connect(server.url)) as connection:
        yield server.url, connection.cursor()


@pytest.mark.slow
@pytest.mark.parametrize("call_mode", ["sync", "async"])
@pytest.mark.parametrize("how", ["KILL QUERY", "KILL CONNECTION"])
def test_a_commit_that_is_stopped_is_unknown(holder, declare_note, call_mode, how):
    """It is neither said to have failed nor made again."""
    url, cursor = holder
    note = declare_note(Repo(f"{url}test" if url.endswith("/") else url))
    found = []

    def stop():
        while not found:
            cursor.execute(WAITS)
            found.extend(cursor.fetchall())
        cursor.execute(f"{how} {found[0][0]}")
        cursor.execute("UNLOCK TABLES")

    killer = threading.Thread(target=stop)
    call = Caller(call_mode)
    steps = [
        lambda: Call(note.write, key="a"),
        lambda: cursor.execute("FLUSH TABLES WITH READ LOCK"),
        killer.start,
    ]
    with pytest.raises(OutcomeUnknown):
        call.in_transaction(note, steps)
    killer.join()
    call.close()

    assert 1 >= query(note).count()
    note.write(key="b")
