"""A process that is forked while another of its threads writes, or holds a lock: the child reads and writes on its own."""

import asyncio
import threading
from datetime import timedelta

import pytest

from resourcekit import Domain, context, get, query, transaction
from resourcekit.actions.drive import drive
from resourcekit.data_layers import Memory, Repo
from resourcekit.data_layers.memory.lease import Lease
from resourcekit.data_layers.rows import table
from resourcekit.forks import free_after_fork
from resourcekit.plugins import plugins
from tests.support.databases import KINDS, scratch
from tests.support.forks import in_children
from tests.support.notes import declared
from tests.support.setups import declare_tokens


@pytest.fixture(params=("memory", *KINDS))
def place(request, tmp_path):
    """A layer or the URL of an empty database, of each kind."""
    if request.param == "memory":
        yield Memory()
        return
    with scratch(request.param, tmp_path) as database:
        yield database.url


class Beside:
    """``with``: another thread calls a function with an event that ends it, and is inside of it."""

    def __init__(self, work):
        self._is_inside, self._is_over, self._errors = threading.Event(), threading.Event(), []
        self._thread = threading.Thread(target=self._run, args=(work,))

    def _run(self, work):
        try:
            work(self._is_inside, self._is_over)
        except BaseException as error:
            self._errors.append(error)
            self._is_inside.set()

    def __enter__(self):
        self._thread.start()
        assert self._is_inside.wait(10)
        return self

    def fork_and_go_on(self, child):
        """Fork while the thread is inside, end it a moment later, and return what the child returns."""
        end = threading.Timer(0.05, self._is_over.set)
        end.start()
        received = in_children(child)
        end.join()
        return received

    def __exit__(self, *_):
        self._is_over.set()
        self._thread.join()
        assert [] == self._errors


def test_a_child_writes_although_a_thread_of_its_parent_had_a_transaction(place):
    """The thread holds the lock of an SQLite file, or a row. Once it has committed, the child writes; the file stays sound."""
    note = declared(place)
    note.write(key="first")
    is_memory = isinstance(place, Memory)

    def hold(is_inside, is_over):
        with transaction(note):
            note.write(key="parent")
            is_inside.set()
            is_over.wait(10)

    def child():
        with context(deadline=timedelta(seconds=20)):
            for number in range(20):
                note.write(key=f"child {number}")
            with transaction(note):
                note.edit("first", number=1)
        return get(note, "child 19").key

    with Beside(hold) as beside:
        received = beside.fork_and_go_on(child)
    note.write(key="later")

    assert ["child 19"] == received
    assert (3 if is_memory else 23) == query(note).count()
    if not is_memory:
        assert 1 == get(note, "first").number


def test_children_of_a_process_with_busy_threads_all_write(place):
    """Two threads write all the time; each child writes, and reads what it has written."""
    note = declared(place)

    def write(is_inside, is_over):
        number = 0
        while not is_over.is_set():
            note.put(key=f"{threading.get_ident()} {number % 50}")
            number += 1
            is_inside.set()

    def child_of(name):
        with context(deadline=timedelta(seconds=20)):
            note.put(key=name)
            return get(note, name).key

    with Beside(write), Beside(write):
        received = [in_children(lambda name=f"child {number}": child_of(name))[0] for number in range(5)]

    assert [f"child {number}" for number in range(5)] == received
    if not isinstance(place, Memory):
        assert 5 == query(note).filter(note.key.in_(received)).count()


def test_a_child_of_a_process_with_a_busy_loop_writes(place):
    """The same beside an event loop in another thread, inside of a transaction; both calling modes work in the child."""
    note = declared(place)

    async def hold(is_inside, is_over):
        async with transaction(note):
            await note.write.aio(key="parent")
            is_inside.set()
            await asyncio.to_thread(is_over.wait, 10)

    async def write(key):
        await note.write.aio(key=key)

    def child():
        with context(deadline=timedelta(seconds=20)):
            note.write(key="sync")
            asyncio.run(write("async"))
        return query(note).count()

    with Beside(lambda *events: asyncio.run(hold(*events))) as beside:
        received = beside.fork_and_go_on(child)

    assert received[0] in (2, 3)


def test_a_child_of_a_child_writes(tmp_path):
    """Each generation is forked beside a transaction of the former one."""
    note = declared(Repo(f"sqlite:///{tmp_path}/notes.db"))

    def hold(is_inside, is_over):
        with transaction(note):
            note.put(key="held")
            is_inside.set()
            is_over.wait(10)

    def child_of(generation):
        note.put(key=f"generation {generation}")
        if generation == 3:
            return [query(note).count()]
        with Beside(hold) as beside:
            return beside.fork_and_go_on(lambda: child_of(generation + 1))[0]

    assert [4] == child_of(1)
    assert 4 == query(note).count()


def test_the_lock_of_records_in_memory_is_free_in_a_child(monkeypatch):
    """A thread never releases it: the fork waits for a limited time, and the child writes."""
    monkeypatch.setattr(table, "_MOST", 0.05)
    note = declared(Memory())

    def hold(is_inside, is_over):
        with table.LOCK:
            is_inside.set()
            is_over.wait(10)

    def child():
        note.write(key="child")
        return query(note).count()

    with Beside(hold):
        received = in_children(child)

    assert [1] == received


def test_a_lease_in_memory_of_another_thread_is_free_in_a_child():
    """The thread that would release it does not exist there; one of the forking thread is kept."""

    def hold(is_inside, is_over):
        assert drive(Lease("theirs", timedelta(hours=1)).__aenter__())
        is_inside.set()
        is_over.wait(10)

    def child():
        return [drive(Lease(name, timedelta(hours=1)).__aenter__()) for name in ("theirs", "ours")]

    ours = Lease("ours", timedelta(hours=1))
    drive(ours.__aenter__())
    with Beside(hold):
        received = in_children(child)
    drive(ours.__aexit__(None, None, None))

    assert [[True, False]] == received


def test_locks_of_declarations_and_plugins_are_free_in_a_child():
    """A thread holds the lock under which a domain is sealed, and others that are made with free_after_fork."""
    token = declare_tokens(Memory())
    domain = Domain("beside forks")
    locks = [free_after_fork(lock) for lock in (threading.Lock(), threading.RLock())]

    def hold(is_inside, is_over):
        with domain._lock, locks[0], locks[1]:
            is_inside.set()
            is_over.wait(10)

    def child():
        free = [lock.acquire(blocking=False) for lock in locks]
        return free, domain._lock.acquire(blocking=False), len(plugins()) >= 0, token.jti_revoked("a")

    with Beside(hold):
        received = in_children(child)

    assert [([True, True], True, True, False)] == received


def test_a_lock_that_the_forking_thread_holds_stays_held():
    """Its block ends in the child as it does in the parent."""
    lock = free_after_fork(threading.RLock())

    def child():
        before = lock._is_owned()
        lock.release()
        return before, lock._is_owned()

    with lock:
        received = in_children(child)

    assert [(True, False)] == received
