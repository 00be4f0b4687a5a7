"""Conformance tests of transactions: all or nothing, savepoints, ``after_commit``."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from datetime import timedelta
from typing import Any

import pytest

from resourcekit.call_context import CallMode, context, drive
from resourcekit.data_layers.base import Capability, OnConflict
from resourcekit.errors import DataLayerError, MixedCallMode, ResourcekitError, RolledBack, SerializationFailure, Timeout
from resourcekit.expressions.functions import incoming
from resourcekit.expressions.nodes import Field
from resourcekit.results import Outcome
from resourcekit.testing.conformance.harness import ConformanceSuite, Harness, conformance_test, key
from resourcekit.testing.conformance.samples import COMPOSITE, composite, sample

__all__ = ["TransactionSuite"]


class _Planned(Exception):  # raised on purpose
    """The error of these tests."""


async def _seen_beside(harness: Harness, deployment: contextvars.Context) -> Any:
    """Return the view of another thread (or task): its transaction, the row "a", all keys; or the error that it gets."""
    seen: list[Any] = []

    async def look() -> None:
        try:
            seen.append((harness.store.current_transaction(), await harness.find(key == "a"), await harness.keys()))
        except ResourcekitError as error:
            seen.append(error)

    if harness.call_mode is CallMode.ASYNC:
        await asyncio.create_task(look(), context=deployment)
    else:
        thread = threading.Thread(target=deployment.run, args=(lambda: drive(look()),))
        thread.start()
        thread.join()
    return seen[0]


class TransactionSuite(ConformanceSuite):
    """Tests of transactions."""

    @conformance_test(Capability.TRANSACTION)
    async def test_a_committed_transaction_stands(self, harness: Harness) -> None:
        """Writes of the block are there after it."""
        async with harness.store.transaction():
            await harness.add(sample("a"))
            await harness.change(key == "a", number=1)
            await harness.add(sample("b"))
            await harness.remove(key == "b")
        assert [sample("a", number=1)] == await harness.find()

    @conformance_test(Capability.TRANSACTION)
    async def test_a_rolled_back_transaction_leaves_nothing(self, harness: Harness) -> None:
        """After an error nothing of the block is stored, and its ``after_commit`` never runs; the error is passed on
        unchanged.
        """
        ran: list[str] = []
        await harness.add(sample("old", number=1), sample("gone"))
        error = _Planned()
        with pytest.raises(_Planned) as caught:
            async with harness.store.transaction() as transaction:
                transaction.after_commit(lambda: ran.append("x"))
                await harness.add(sample("new"))
                await harness.change(key == "old", number=2)
                await harness.remove(key == "gone")
                raise error

        assert error is caught.value
        assert ["gone", "old"] == await harness.keys()
        assert sample("old", number=1) == await harness.row("old")
        assert [] == ran

    @conformance_test(Capability.TRANSACTION)
    async def test_after_commit_runs_once_the_commit_stands(self, harness: Harness) -> None:
        """``after_commit`` functions run in order after the block, outside of the transaction, and not before."""
        ran: list[Any] = []
        async with harness.store.transaction() as transaction:
            transaction.after_commit(lambda: ran.append(harness.store.current_transaction()))
            transaction.after_commit(lambda: ran.append("second"))
            await harness.add(sample("a"))
            assert [] == ran
        assert [None, "second"] == ran

    @conformance_test(Capability.TRANSACTION)
    async def test_after_commit_awaits_what_can_be_awaited(self, harness: Harness) -> None:
        """An ``after_commit`` function may be a coroutine function, and may use the store."""
        ran: list[Any] = []

        async def send() -> None:
            ran.append(await harness.keys())

        async with harness.store.transaction() as transaction:
            transaction.after_commit(send)
            await harness.add(sample("a"))
        assert [["a"]] == ran

    @conformance_test(Capability.TRANSACTION)
    async def test_a_doomed_transaction_rolls_back_without_an_error(self, harness: Harness) -> None:
        """``doom()`` makes the block end in a rollback, whatever happens next."""
        ran: list[str] = []
        async with harness.store.transaction() as transaction:
            transaction.after_commit(lambda: ran.append("x"))
            await harness.add(sample("a"))
            transaction.doom()
        assert ([], []) == (await harness.keys(), ran)

    @conformance_test(Capability.TRANSACTION)
    async def test_a_transaction_sees_its_own_writes(self, harness: Harness) -> None:
        """Inside a transaction, every read sees its earlier writes: by key, filter, order, aggregate and stream."""
        await harness.add(sample("a", code="x"), sample("b", number=5), sample("c"))
        async with harness.store.transaction():
            await harness.change(key == "a", number=9, code="y")
            await harness.remove(key == "c")
            await harness.add(sample("d", code="x", number=7))
            operation, params = harness.selection(None, Field("number"))
            streamed = [row["id"] async for row in harness.store.stream(harness.store.compile(operation), params)]

            assert (["b", "d", "a"], ["b", "d", "a"]) == (streamed, await harness.keys(None, Field("number")))
            assert (["d"], ["a"]) == (await harness.keys(Field("code") == "x"), await harness.keys(Field("code") == "y"))
            assert ([], ["d"]) == (
                await harness.keys(key == "c"),
                await harness.keys((Field("status") == "open") & (Field("number") == 7)),
            )
            assert (3, 21, True) == (
                await harness.figure("count"),
                await harness.figure("sum", None, "number"),
                await harness.figure("exists", key == "d"),
            )

    @conformance_test(Capability.TRANSACTION)
    async def test_a_refused_row_does_not_abort_the_transaction(self, harness: Harness) -> None:
        """After a violation the transaction continues, with the writes before and after it."""
        await harness.add(sample("a", code="x"))
        async with harness.store.transaction():
            await harness.add(sample("before"))
            result = await harness.add(sample("a"), sample("b", code="x"), sample("good"), sample("n", number=None))
            with pytest.raises(ValueError, match="code"):
                await harness.change(key == "good", code="x")
            await harness.add(sample("after"))

        assert (1, 3) == (result.count, len(result.failures))
        assert ["a", "after", "before", "good"] == await harness.keys()

    @conformance_test(Capability.TRANSACTION, Capability.UPSERT)
    async def test_an_upsert_meets_the_writes_of_its_transaction(self, harness: Harness) -> None:
        """An upsert conflicts with uncommitted rows of its own transaction, too."""
        upsert = OnConflict(("id",), set={"number": incoming("number")})
        async with harness.store.transaction():
            await harness.add(sample("a", number=1))
            result = await harness.add(sample("a", number=2), on_conflict=upsert)
        assert ((Outcome.UPDATED,), 2) == (result.outcomes, (await harness.find())[0]["number"])

    @conformance_test(Capability.SAVEPOINT)
    async def test_a_savepoint_rolls_back_alone(self, harness: Harness) -> None:
        """An error in an inner block rolls back only that block, with its ``after_commit``."""
        ran: list[str] = []
        await harness.add(sample("old"))
        async with harness.store.transaction() as outer:
            outer.after_commit(lambda: ran.append("outer"))
            await harness.add(sample("a"))
            with pytest.raises(_Planned):
                async with harness.store.transaction() as inner:
                    inner.after_commit(lambda: ran.append("inner"))
                    outer.after_commit(lambda: ran.append("outer, named inside"))
                    await harness.add(sample("b"))
                    await harness.change(key == "a", number=1)
                    await harness.remove(key == "old")
                    async with harness.store.transaction() as innermost:
                        innermost.after_commit(lambda: ran.append("innermost"))
                    raise _Planned
            assert [("a", 0), ("old", 0)] == sorted((row["id"], row["number"]) for row in await harness.find())
            async with harness.store.transaction() as kept:
                kept.after_commit(lambda: ran.append("kept"))
                await harness.add(sample("c"))
            assert [] == ran

        assert ["a", "c", "old"] == await harness.keys()
        assert ["outer", "outer, named inside", "kept"] == ran

    @conformance_test(Capability.SAVEPOINT)
    async def test_a_released_savepoint_falls_with_the_whole(self, harness: Harness) -> None:
        """Writes of an inner block are gone if the outer one rolls back, and its ``after_commit`` does not run."""
        ran: list[str] = []
        with pytest.raises(_Planned):
            async with harness.store.transaction():
                async with harness.store.transaction() as inner:
                    inner.after_commit(lambda: ran.append("x"))
                    await harness.add(sample("a"))
                raise _Planned
        assert ([], []) == (await harness.keys(), ran)

    @conformance_test(Capability.SAVEPOINT)
    async def test_a_doomed_savepoint_leaves_nothing(self, harness: Harness) -> None:
        """``doom()`` of an inner block rolls its writes back."""
        async with harness.store.transaction():
            async with harness.store.transaction() as inner:
                await harness.add(sample("b"))
                inner.doom()
            await harness.add(sample("a"))
        assert "b" not in await harness.keys()

    @conformance_test(Capability.TRANSACTION)
    async def test_two_resources_of_one_group_commit_together(self, harness: Harness) -> None:
        """Stores with an equal ``group`` share a transaction: both keep their writes, or neither does."""
        pairs = await harness.sibling(COMPOSITE)
        assert harness.store.group == pairs.store.group
        with pytest.raises(_Planned):
            async with harness.store.transaction():
                await harness.add(sample("a"))
                await pairs.add(composite("t", 1))
                raise _Planned
        assert ([], []) == (await harness.keys(), await pairs.find())
        async with pairs.store.transaction():
            await harness.add(sample("a"))
            await pairs.add(composite("t", 1))
            assert harness.store.current_transaction() is not None
        assert (["a"], [composite("t", 1)]) == (await harness.keys(), await pairs.find())

    @conformance_test(Capability.TRANSACTION)
    async def test_the_open_transaction_is_known(self, harness: Harness) -> None:
        """``current_transaction()`` is the open one inside the block, and ``None`` before and after."""
        before = harness.store.current_transaction()
        async with harness.store.transaction():
            inside = harness.store.current_transaction()
        assert (None, True, None) == (before, inside is not None, harness.store.current_transaction())

    @conformance_test(Capability.TRANSACTION)
    async def test_nobody_else_sees_what_is_not_committed(self, harness: Harness) -> None:
        """Another thread or task, with a context of its own, works outside of the transaction and sees no uncommitted write."""
        await harness.add(sample("a", number=1))
        async with harness.store.transaction():
            await harness.change(key == "a", number=2)
            await harness.add(sample("b"))
            seen = await _seen_beside(harness, contextvars.Context())

        assert (None, [sample("a", number=1)], ["a"]) == seen
        assert ["a", "b"] == await harness.keys()

    @conformance_test(Capability.TRANSACTION)
    async def test_a_copied_context_takes_all_of_the_transaction_along_or_nothing(self, harness: Harness) -> None:
        """A call of another thread or task with a copied context is part of the transaction, refused, or outside of it."""
        await harness.add(sample("a", number=1))
        async with harness.store.transaction():
            await harness.change(key == "a", number=2)
            await harness.add(sample("b"))
            seen = await _seen_beside(harness, contextvars.copy_context())

        if not isinstance(seen, ResourcekitError):
            open_there, found, keys = seen
            expected = (sample("a", number=1), ["a"]) if open_there is None else (sample("a", number=2), ["a", "b"])
            assert expected == (found[0], keys)
        assert ["a", "b"] == await harness.keys()

    @conformance_test(Capability.SAVEPOINT)
    async def test_the_end_of_a_transaction_is_known(self, harness: Harness) -> None:
        """``after_end`` runs outside of the block: with ``None`` after the commit, with the error after a rollback."""
        ends: list[Any] = []

        def note(name: str) -> Any:
            return lambda error: ends.append((name, error, harness.store.current_transaction() is None))

        error = _Planned()
        async with harness.store.transaction():
            if not harness.store.after_end(note("committed")):
                return
            async with harness.store.transaction():
                harness.store.after_end(note("released"))
            with pytest.raises(_Planned):
                async with harness.store.transaction():
                    harness.store.after_end(note("taken back"))
                    raise error
            assert [("taken back", error, False)] == ends
        with pytest.raises(_Planned):
            async with harness.store.transaction():
                harness.store.after_end(note("rolled back"))
                raise error
        async with harness.store.transaction() as doomed:
            harness.store.after_end(note("doomed"))
            doomed.doom()

        assert [("committed", None, True), ("released", None, True), ("rolled back", error, True)] == ends[1:4]
        assert ("doomed", RolledBack, True) == (ends[4][0], type(ends[4][1]), ends[4][2])
        assert not harness.store.after_end(note("never"))

    @conformance_test(Capability.TRANSACTION)
    async def test_a_write_after_a_rollback_stands(self, harness: Harness) -> None:
        """A function that runs after a rollback is in no transaction, and its writes are kept."""

        async def write(error: BaseException | None) -> None:
            await harness.add(sample("after"))

        with pytest.raises(_Planned):
            async with harness.store.transaction():
                await harness.add(sample("a"))
                if not harness.store.after_end(write):
                    return
                raise _Planned

        assert ["after"] == await harness.keys()

    @conformance_test(Capability.TRANSACTION)
    async def test_what_others_have_committed_is_seen_outside(self, harness: Harness) -> None:
        """A transaction with a snapshot offers a read outside of it, which sees later commits of other callers."""
        await harness.add(sample("a", number=1), sample("b", number=1))

        async def write() -> int:
            with context(deadline=timedelta(milliseconds=200)):
                return (await harness.change(key == "a", number=2)).count

        outside, seen = harness.store.outside(), []
        outcome: object = None
        inside = None
        with contextlib.suppress(SerializationFailure):
            async with harness.store.transaction():
                assert sample("a", number=1) == await harness.row("a")
                (outcome,) = await harness.together([write])
                beside = harness.store.outside()
                for _ in range(2):
                    with beside or contextlib.nullcontext():
                        seen.append(await harness.row("a"))
                await harness.change(key == "b", number=3)
                inside = await harness.row("b")

        # If only one transaction may write at a time, the other one times out, and there is nothing to see.
        assert (outcome == 1) or isinstance(outcome, Timeout)
        assert (None, [sample("a", number=2 if outcome == 1 else 1)] * 2) == (outside, seen)
        assert sample("b", number=3) == inside

    @conformance_test(Capability.TRANSACTION)
    async def test_a_call_in_the_other_call_mode_is_refused(self, harness: Harness) -> None:
        """A sync call inside an async transaction raises MixedCallMode, and the transaction can still be rolled back."""
        if harness.call_mode is CallMode.SYNC:
            return  # An async call would need a loop, and none runs here.
        with pytest.raises(MixedCallMode):
            async with harness.store.transaction():
                await harness.add(sample("a"))
                drive(harness.find())
        assert [] == await harness.keys()

    @conformance_test(Capability.TRANSACTION)
    async def test_a_cancelled_task_leaves_nothing(self, harness: Harness) -> None:
        """A task that is cancelled inside its transaction rolls back; the store can be used immediately."""
        if harness.call_mode is CallMode.SYNC:
            return  # Tasks are async.
        inside = asyncio.Event()

        async def work() -> None:
            async with harness.store.transaction():
                await harness.add(sample("a"))
                inside.set()
                await asyncio.Event().wait()

        for _ in range(20):
            task = asyncio.create_task(work())
            await inside.wait()
            inside.clear()
            task.cancel()
            await asyncio.wait({task})
            assert task.cancelled()
        assert [] == await harness.keys()
        assert 1 == (await harness.add(sample("a"))).count

    @conformance_test(Capability.TRANSACTION, Capability.DELETE_IN_BATCHES)
    async def test_a_sweep_inside_a_transaction_is_refused(self, harness: Harness) -> None:
        """``delete_in_batches`` opens transactions of its own, so inside of one it raises and removes nothing."""
        await harness.add(sample("a"))
        async with harness.store.transaction():
            with pytest.raises(DataLayerError):
                async for _ in harness.sweep(None):
                    pass
        assert ["a"] == await harness.keys()
