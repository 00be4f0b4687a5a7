"""Exceptions from outside at any line of a block's begin and end: nothing of the block stays in force after it.

An exception at the very first line of a block's end comes before that end can begin. What the block set is then put back once the
block is dropped, together with the exception.
"""

from __future__ import annotations

import asyncio
import itertools
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from resourcekit import context, get, outside_transaction, query, transaction
from resourcekit.call_context import ambient_context, call_mode
from resourcekit.clock import current_clock
from resourcekit.data_layers import Repo, joined
from resourcekit.data_layers.transactions import Outside, ambient, aside
from resourcekit.errors import DataLayerError, MixedCallMode
from resourcekit.supervisor import Supervisor
from resourcekit.testing import ManualClock, in_memory
from tests.support.interrupts import Interrupted, TimeLimit, at_line, uncollected
from tests.support.notes import declared
from tests.unit.supervisor.supervised import declare, scripted

pytestmark = [
    pytest.mark.parametrize("kind", [Interrupted, TimeLimit]),
    pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture
def note(tmp_path):
    """A resource in an SQLite file."""
    return declared(Repo(f"sqlite:///{tmp_path}/notes.db", timeout=timedelta(seconds=2)), "notes")


def at_every_line(make, kind, check, *, within="", step=1):
    """Make a call once for each of its lines, raise there, and check what holds afterwards."""
    with uncollected():
        for number in itertools.count(1, step):
            where, _ = at_line(number, make, kind, within=within)
            check(where)
            if not where:
                return


def test_a_context_ends_with_its_block(kind):
    """No actor, deadline or metadata of the block is in force after it; the context around it is."""
    with context(actor="outer"):
        outer = ambient_context()

        def block():
            with context(actor="inner", deadline=timedelta(seconds=1), metadata={"a": 1}):
                pass

        at_every_line(block, kind, lambda where: pytest.fail(where) if ambient_context() is not outer else None)


def test_a_context_that_is_kept_can_be_entered_again(kind):
    """One object may be entered several times, also after an interruption."""
    outer, kept = ambient_context(), context(actor="inner")
    for number in range(1, 6):
        with context(actor="guard"):
            at_line(number, kept.__enter__, kind, within="context.__enter__")
            while ambient_context().actor == "inner":
                kept.__exit__(None, None, None)
        with kept:
            assert "inner" == ambient_context().actor
    assert outer is ambient_context()


def test_a_transaction_goes_on_after_a_block_outside_of_it(note, kind):
    """After the block outside, calls are part of the transaction again."""
    with pytest.raises(ZeroDivisionError), transaction(note):
        during, level = ambient.get(), aside.get()

        def block():
            with outside_transaction():
                pass

        def check(where):
            assert (True, level) == (ambient.get() is during, aside.get()), where

        at_every_line(block, kind, check)
        at_every_line(lambda: block_outside(note), kind, check)
        note.write(key="a")
        raise ZeroDivisionError
    assert [] == query(note).all()


def block_outside(note):
    """Enter and leave the block in which checks look past a snapshot."""
    with Outside(note.__runtime__.store.group):
        pass


@pytest.mark.parametrize("step", [pytest.param(5, id="some"), pytest.param(1, id="every", marks=pytest.mark.slow)])
@pytest.mark.parametrize("kept", ["session", "connection"])
def test_a_joined_block_is_left(note, kind, kept, step):
    """Nothing stays ambient, the user's transaction commits what whole calls wrote or rolls back, and the next block works."""
    engine = sa.create_engine(note.__runtime__.store.repo.engine.url)
    numbers = itertools.count()

    def work():
        key = f"key {next(numbers)}"
        with Session(engine) if kept == "session" else engine.connect() as given:
            if kept == "connection":
                given.begin()
            with joined(given, note):
                note.write(key=key)
            given.commit()

    def check(where):
        assert {} == ambient.get(), where
        assert call_mode.get() is None, where
        note.write(key=f"key {next(numbers)}")

    work()
    at_every_line(work, kind, check, within=("joined", "_begin", "_prepare", "OpenTransaction", "TransactionScope"), step=step)
    engine.dispose()


@pytest.mark.parametrize("saved", [False, True], ids=["alone", "savepoint"])
def test_half_a_call_is_not_committed_by_the_user(note, kind, saved):
    """A program that swallows the exception may commit whole calls: a commit after half a call is refused, and rolls back.

    After a rollback to a savepoint from before the call it is accepted.
    """
    engine = sa.create_engine(note.__runtime__.store.repo.engine.url)
    rows = [[{"key": f"{number} {letter}"} for letter in "ab"] for number in range(100)]
    refused = accepted = 0
    for number in itertools.count(1, 9):
        keys = [row["key"] for row in rows[number // 9]]
        is_raised, where, is_refused = False, "", False
        with engine.connect() as given:
            given.begin()
            inner = given.begin_nested() if saved else None
            try:
                with joined(given, note):
                    where, is_raised = at_line(
                        number, lambda keys=keys: note.write.bulk([{"key": key} for key in keys]), kind, within="Connection."
                    )
            except DataLayerError:
                pass
            if inner is not None:
                inner.rollback() if is_raised else inner.commit()
            try:
                given.commit()
                accepted += 1
            except DataLayerError:
                refused, is_refused = refused + 1, True
        found = [query(note).filter(note.key == key).exists() for key in keys]
        assert found == ([False, False] if is_refused or (saved and is_raised) else [True, True]) or (
            not is_raised and len(set(found)) == 1
        ), where
        if not where:
            break
    assert accepted
    assert (refused > 0) is not saved
    engine.dispose()


def test_a_clock_of_a_test_ends_with_its_block(kind):
    """Both kinds of clocks, at each line of their begin and end."""
    before = current_clock()
    for everywhere in (False, True):
        for within in ("ManualClock._leave", "ManualClock.__enter__"):

            def block(everywhere=everywhere):
                with ManualClock(datetime(2030, 1, 1, tzinfo=UTC), everywhere=everywhere):
                    pass

            at_every_line(block, kind, lambda where: pytest.fail(where) if current_clock() is not before else None, within=within)


def test_resources_leave_memory_after_a_block(note, kind):
    """Each resource has its former store and its records, whatever line of the block's begin or end was interrupted."""
    note.write(key="kept")
    store, watchers = note.__runtime__.store, list(note.__info__.options["domain"].watchers)
    for within in ("in_memory.__enter__", "_Moved.", "_find", "in_memory._leave"):

        def block():
            with in_memory(note.__info__.options["domain"]):
                pass

        def check(where):
            assert store is note.__runtime__.store, where
            assert watchers == note.__info__.options["domain"].watchers, where

        at_every_line(block, kind, check, within=within)
    assert ["kept"] == [record.key for record in query(note).all()]


def test_a_run_of_a_service_leaves_no_claim(kind):
    """A service whose run was interrupted runs again at once, and its status does not say that it runs."""
    supervisor = Supervisor(ticket := declare(scripted()), startup_check=False)

    def check(where):
        assert "done" == supervisor.run_now(ticket)["Sweep"], where
        assert {None} == {status.running_since for status in supervisor.status()}, where

    for within in ("Job.", "Supervisor."):
        at_every_line(lambda: supervisor.run_now(ticket), kind, check, within=within)


def test_a_service_that_calls_for_itself_keeps_its_claim(kind):
    """A run that waits for itself is refused, and goes on as the only one."""
    received = []

    def again(_context):
        for _ in range(2):
            with pytest.raises(MixedCallMode):
                supervisor.run_now(ticket)
        received.append(kind)
        return "done"

    supervisor = Supervisor(ticket := declare(scripted(again)), startup_check=False)

    assert ({"Sweep": "done"}, [kind]) == (supervisor.run_now(ticket), received)


def test_shared_reads_of_tasks_go_on_after_an_interruption(note, kind):
    """A read by key is answered in time after the task that answers several was interrupted, at whatever line."""
    note.write(key="a")

    async def ask():
        return (await asyncio.wait_for(get.aio(note, "a"), 1)).key

    async def work(number):
        first = [asyncio.ensure_future(ask()) for _ in range(3)]
        where, _ = at_line(number, lambda: begun(note), kind, within="_Batcher.")
        found = await asyncio.gather(*first, *(ask() for _ in range(5)), return_exceptions=True)
        await note.__runtime__.store.close()
        return where, found

    for number in itertools.count(1):
        where, found = asyncio.run(work(number))
        assert ["a"] * 8 == found, where
        if not where:
            break


def begun(note):
    """Let this task ask by key, up to its first wait."""
    work = get.aio(note, "a")
    try:
        work.send(None)
    finally:
        work.close()
