"""Calls of tasks and threads that were started inside of a transaction: part of it, or refused, never outside without a word."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine
from contextvars import copy_context
from datetime import timedelta
from typing import Any

import pytest

from resourcekit import context, outside_transaction, query, transaction
from resourcekit.errors import DataLayerError, MixedCallMode, NotInTransaction, Timeout
from resourcekit.extending import runtime_of
from tests.support.notes import declared

Work = Callable[[], Coroutine[Any, Any, Any]]


class _Undone(Exception):
    """What takes a block back."""


@pytest.fixture
def note(any_layer: Callable[[], Any]) -> Any:
    """Notes on each layer."""
    return declared(any_layer())


async def _in_a_group(work: Work) -> Any:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(work())
    return await task


async def _beside(work: Work) -> Any:
    return await asyncio.to_thread(lambda: asyncio.run(work()))


WAYS: dict[str, Callable[[Work], Coroutine[Any, Any, Any]]] = {
    "gather": lambda work: _awaited(asyncio.gather(work())),
    "wait_for": lambda work: asyncio.wait_for(asyncio.ensure_future(work()), 5),
    "create_task": lambda work: _awaited(asyncio.create_task(work())),
    "TaskGroup": _in_a_group,
    "another loop": _beside,
}
"""How a program runs a call in a task of its own."""


async def _awaited(future: Any) -> Any:
    return await future


@pytest.mark.parametrize("way", list(WAYS))
def test_a_task_is_refused_in_an_async_transaction(note: Any, way: str) -> None:
    """It gets NotInTransaction, with the cure; the block's own writes are committed or rolled back with the block."""
    refused: list[BaseException] = []

    async def main() -> int:
        with contextlib.suppress(_Undone):
            async with transaction(note):
                await note.write.aio(key="block")
                try:
                    await WAYS[way](lambda: note.write.aio(key="task"))
                except (NotInTransaction, ExceptionGroup) as error:
                    refused.append(error)
                raise _Undone
        count = await query(note).count.aio()
        await runtime_of(note).store.close()
        return count

    assert 0 == asyncio.run(main())
    error = refused[0].exceptions[0] if isinstance(refused[0], ExceptionGroup) else refused[0]
    assert isinstance(error, NotInTransaction)
    assert "outside_transaction" in str(error)


def test_a_sync_call_of_a_worker_thread_is_refused_in_an_async_transaction(note: Any) -> None:
    """``asyncio.to_thread`` copies the context, and the call would wait for a connection that belongs to the loop."""

    async def main() -> int:
        async with transaction(note):
            with pytest.raises((NotInTransaction, MixedCallMode)):
                await asyncio.to_thread(note.write, key="thread")
        count = await query(note).count.aio()
        await runtime_of(note).store.close()
        return count

    assert 0 == asyncio.run(main())


@pytest.mark.parametrize("undone", [True, False])
def test_a_task_that_outlives_the_transaction_is_refused(note: Any, undone: bool) -> None:
    """It gets an error that its transaction has ended, and writes nothing."""

    async def main() -> Any:
        leave = asyncio.Event()

        async def late() -> None:
            await leave.wait()
            await note.write.aio(key="late")

        with contextlib.suppress(_Undone):
            async with transaction(note):
                task = asyncio.create_task(late())
                if undone:
                    raise _Undone
        leave.set()
        (outcome,) = await asyncio.gather(task, return_exceptions=True)
        count = await query(note).count.aio()
        await runtime_of(note).store.close()
        return outcome, count

    outcome, count = asyncio.run(main())

    assert isinstance(outcome, NotInTransaction)
    assert "has ended" in str(outcome)
    assert 0 == count


@pytest.mark.parametrize("start", ["outside_transaction", "after_commit"])
def test_work_that_is_started_outside_is_its_own(note: Any, start: str) -> None:
    """A task that is started in ``outside_transaction``, or by ``after_commit``, writes for itself."""

    async def main() -> list[str]:
        tasks: list[asyncio.Task[Any]] = []

        def begin() -> None:
            tasks.append(asyncio.create_task(note.write.aio(key="task")))

        async with transaction(note) as opened:
            if start == "after_commit":
                opened.after_commit(begin)
            else:
                with outside_transaction():
                    begin()
            await note.write.aio(key="block")
        await asyncio.gather(*tasks)
        found = [each.key for each in await query(note).sort(note.key).all.aio()]
        await runtime_of(note).store.close()
        return found

    assert ["block", "task"] == asyncio.run(main())


def in_thread(work: Callable[[], Any]) -> list[Any]:
    """Run something in a thread that has a copy of the context; return what it returned or raised."""
    thread, outcome = started(work)
    thread.join(30)
    return outcome


def started(work: Callable[[], Any]) -> tuple[threading.Thread, list[Any]]:
    """Start a thread that has a copy of the context."""
    outcome: list[Any] = []

    def run() -> None:
        try:
            outcome.append(work())
        except Exception as error:  # the test looks at it
            outcome.append(error)

    thread = threading.Thread(target=copy_context().run, args=(run,))
    thread.start()
    return thread, outcome


@pytest.mark.parametrize("undone", [True, False])
def test_a_thread_with_a_copied_context_takes_part_in_a_sync_transaction(note: Any, undone: bool) -> None:
    """It sees the block's writes, and its own writes are committed or rolled back with the block, nested blocks included."""

    def write() -> int:
        note.write(key="thread")
        with contextlib.suppress(_Undone), transaction(note):
            note.write(key="taken back")
            raise _Undone
        with transaction(note):
            note.write(key="nested")
        return query(note).count()

    seen: list[Any] = []
    with contextlib.suppress(_Undone), transaction(note):
        note.write(key="block")
        seen = in_thread(write)
        if undone:
            raise _Undone

    assert [3] == seen
    assert ([] if undone else ["block", "nested", "thread"]) == [each.key for each in query(note).sort(note.key).all()]


def test_threads_of_one_transaction_take_turns(note: Any) -> None:
    """Many threads at once, each with a nested block that half of them take back: no write gets into another one's block."""

    def write(number: int) -> None:
        with contextlib.suppress(_Undone), transaction(note):
            note.write(key=f"first {number}")
            note.write(key=f"second {number}")
            if number % 2:
                raise _Undone

    with transaction(note):
        threads = [started(lambda number=number: write(number)) for number in range(8)]
        for thread, _ in threads:
            thread.join(30)

    assert [[None]] * 8 == [outcome for _, outcome in threads]
    expected = sorted(f"{word} {number}" for number in range(0, 8, 2) for word in ("first", "second"))
    assert expected == sorted(each.key for each in query(note).all())


def test_a_call_waits_for_the_block_of_another_thread_until_its_deadline(note: Any) -> None:
    """A thread has opened a block inside: a call from around it would be written into that block."""
    inside, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction(note):
            inside.set()
            leave.wait(30)

    with transaction(note):
        thread, outcome = started(hold)
        inside.wait(30)
        with pytest.raises(Timeout), context(deadline=timedelta(milliseconds=50)):
            note.write(key="a")
        leave.set()
        thread.join(30)
        note.write(key="b")

    assert [None] == outcome
    assert ["b"] == [each.key for each in query(note).all()]


def test_a_thread_that_outlives_the_transaction_is_refused(note: Any) -> None:
    """Its next call says that the transaction has ended."""
    leave = threading.Event()

    def late() -> None:
        leave.wait(30)
        note.write(key="late")

    with transaction(note):
        thread, outcome = started(late)
    leave.set()
    thread.join(30)

    assert isinstance(outcome[0], NotInTransaction)
    assert 0 == query(note).count()


def test_a_block_does_not_commit_half_of_a_thread_s_block(note: Any) -> None:
    """A thread is still inside of a block of its own: everything is rolled back, and both get an error."""
    inside, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction(note):
            note.write(key="half")
            inside.set()
            leave.wait(30)
            note.write(key="other half")

    with pytest.raises(DataLayerError, match="wait for threads"), transaction(note):
        note.write(key="block")
        thread, outcome = started(hold)
        inside.wait(30)
    leave.set()
    thread.join(30)

    assert isinstance(outcome[0], NotInTransaction)
    assert 0 == query(note).count()
