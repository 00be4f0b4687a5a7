"""``database is locked``: eight processes on one SQLite file, and another program that keeps its lock."""

import asyncio
import contextlib
import os
import subprocess
import sys
import threading
from datetime import timedelta

import pytest

from resourcekit import context, query, transaction
from resourcekit.data_layers import Repo
from resourcekit.errors import OutcomeUnknown, Timeout
from tests.support.forks import in_children

PROCESSES, ROUNDS = 8, 6


@pytest.fixture
def url(tmp_path):
    """A database file."""
    return f"sqlite:///{tmp_path}/test.db"


AGAIN_AND_AGAIN = """
import select, sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)
print("there", flush=True)
while not select.select([sys.stdin], [], [], 0)[0]:
    connection.execute("BEGIN EXCLUSIVE")
    time.sleep(0.01)  # the lock is held in real time
    connection.execute("COMMIT")
    time.sleep(0.02)
"""

FOR_GOOD = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("there", flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def rival(url, program):
    """Let another program lock the file. It is a process of its own, because SQLite's locks belong to a process."""
    words = [sys.executable, "-c", program, url.removeprefix("sqlite:///")]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert b"there\n" == process.stdout.readline()
        yield
        process.stdin.close()
        assert 0 == process.wait(60)


def write_all(note, name):
    """Write in each way, sync."""
    for number in range(ROUNDS):
        note.write(key=f"{name}/{number}")
        note.write.bulk([{"key": f"{name}/{number}/{each}"} for each in range(5)])
        with transaction(note):
            note.count_up("counter")
            note.count_up("counter")
    return "done"


async def write_all_in_loop(note, name):
    """Do the same in a task."""
    for number in range(ROUNDS):
        await note.write.aio(key=f"{name}/{number}")
        await note.write.bulk.aio([{"key": f"{name}/{number}/{each}"} for each in range(5)])
        async with transaction(note):
            await note.count_up.aio("counter")
            await note.count_up.aio("counter")
    return "done"


def both_at_once(note):
    """Write from a thread, sync, and from a loop, at once."""
    received = []
    thread = threading.Thread(target=lambda: received.append(write_all(note, f"thread-{os.getpid()}")))
    thread.start()
    received.append(asyncio.run(write_all_in_loop(note, f"loop-{os.getpid()}")))
    thread.join()
    return received


@pytest.mark.slow
def test_eight_processes_and_a_rival_all_come_through(url, declare_note):
    """No call is refused because the file is locked, each write is kept, and each increment counts."""
    note = declare_note(Repo(url, timeout=timedelta(seconds=60)))
    note.write(key="counter")
    with rival(url, AGAIN_AND_AGAIN):
        received = in_children(*[lambda: both_at_once(note)] * PROCESSES)

    assert [["done", "done"]] * PROCESSES == received
    assert 1 + PROCESSES * 2 * ROUNDS * 6 == query(note).count()
    assert PROCESSES * 2 * ROUNDS * 2 == query(note).filter(note.key == "counter").one().number


@pytest.mark.parametrize("way", ["sync", "async"])
def test_a_file_that_stays_locked_is_told_to_all_eight(url, declare_note, way):
    """Each call raises Timeout by its deadline, nothing is written, and readers are served meanwhile."""
    note = declare_note(Repo(url))
    note.write(key="there")

    def child():
        counted = query(note).count()
        try:
            with context(deadline=timedelta(milliseconds=300)):
                asyncio.run(note.write.aio(key=f"{os.getpid()}")) if way == "async" else note.write(key=f"{os.getpid()}")
        except (Timeout, OutcomeUnknown):  # a task that gives up while SQLite is at work does not know
            return counted, "late"
        return counted, "written"

    with rival(url, FOR_GOOD):
        received = in_children(*[child] * PROCESSES)
    note.write(key="afterwards")

    assert [(1, "late")] * PROCESSES == received
    assert ["afterwards", "there"] == sorted(record.key for record in query(note).all())


def test_a_check_is_served_while_the_file_is_locked(url, call, declare_token):
    """A locked file is no reason to say revoked: readers do not wait for writers."""
    token = declare_token(url)
    call(token.revoke_jti, "dead")
    with rival(url, FOR_GOOD):
        answers = [call(token.jti_revoked, jti) for jti in ("dead", "live")]

    assert [True, False] == answers
