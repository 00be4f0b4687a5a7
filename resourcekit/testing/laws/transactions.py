"""Laws of transactions: all or nothing, savepoints, honest after_commit. It knows the port only."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from datetime import timedelta
from typing import Any

import pytest

from resourcekit.data_layers.base import Capability, OnConflict
from resourcekit.engine.drive import drive
from resourcekit.errors import DataLayerError, SerializationFailure, Timeout, WrongColour
from resourcekit.flow.context import Colour, context
from resourcekit.flow.expression import Field, incoming
from resourcekit.flow.result import Outcome
from resourcekit.testing.laws.ledger import LawBook, Ledger, key, law
from resourcekit.testing.laws.samples import COMPOSITE, composite, sample

__all__ = ["TransactionLaws"]


class _Planned(Exception):  # an accident on purpose
    """What goes wrong in these laws."""


class TransactionLaws(LawBook):
    """What a layer's transactions keep."""

    @law(Capability.TRANSACTION)
    async def test_a_committed_transaction_stands(self, ledger: Ledger) -> None:
        """What was written in the block is there after it."""
        async with ledger.store.transaction():
            await ledger.add(sample("a"))
            await ledger.change(key == "a", number=1)
            await ledger.add(sample("b"))
            await ledger.remove(key == "b")
        assert [sample("a", number=1)] == await ledger.find()

    @law(Capability.TRANSACTION)
    async def test_a_rolled_back_transaction_leaves_nothing(self, ledger: Ledger) -> None:
        """After an error nothing of the block is left, and its ``after_commit`` never runs; the error goes on unchanged."""
        ran: list[str] = []
        await ledger.add(sample("old", number=1), sample("gone"))
        error = _Planned()
        with pytest.raises(_Planned) as caught:
            async with ledger.store.transaction() as transaction:
                transaction.after_commit(lambda: ran.append("x"))
                await ledger.add(sample("new"))
                await ledger.change(key == "old", number=2)
                await ledger.remove(key == "gone")
                raise error

        assert error is caught.value
        assert ["gone", "old"] == await ledger.keys()
        assert sample("old", number=1) == await ledger.row("old")
        assert [] == ran

    @law(Capability.TRANSACTION)
    async def test_after_commit_runs_once_the_commit_stands(self, ledger: Ledger) -> None:
        """Functions run in order after the block, outside of the transaction, and not before."""
        ran: list[Any] = []
        async with ledger.store.transaction() as transaction:
            transaction.after_commit(lambda: ran.append(ledger.store.current_transaction()))
            transaction.after_commit(lambda: ran.append("second"))
            await ledger.add(sample("a"))
            assert [] == ran
        assert [None, "second"] == ran

    @law(Capability.TRANSACTION)
    async def test_after_commit_awaits_what_can_be_awaited(self, ledger: Ledger) -> None:
        """A function may be a coroutine function; it may use the store."""
        ran: list[Any] = []

        async def tell() -> None:
            ran.append(await ledger.keys())

        async with ledger.store.transaction() as transaction:
            transaction.after_commit(tell)
            await ledger.add(sample("a"))
        assert [["a"]] == ran

    @law(Capability.TRANSACTION)
    async def test_a_doomed_transaction_rolls_back_without_an_error(self, ledger: Ledger) -> None:
        """``doom()`` ends the block in a rollback, whatever happens next."""
        ran: list[str] = []
        async with ledger.store.transaction() as transaction:
            transaction.after_commit(lambda: ran.append("x"))
            await ledger.add(sample("a"))
            transaction.doom()
        assert ([], []) == (await ledger.keys(), ran)

    @law(Capability.TRANSACTION)
    async def test_a_transaction_sees_its_own_writes(self, ledger: Ledger) -> None:
        """Inside, every way of reading sees what was written before: by key, filter, order, figure and stream."""
        await ledger.add(sample("a", code="x"), sample("b", number=5), sample("c"))
        async with ledger.store.transaction():
            await ledger.change(key == "a", number=9, code="y")
            await ledger.remove(key == "c")
            await ledger.add(sample("d", code="x", number=7))
            operation, params = ledger.selection(None, Field("number"))
            streamed = [row["id"] async for row in ledger.store.stream(ledger.store.compile(operation), params)]

            assert (["b", "d", "a"], ["b", "d", "a"]) == (streamed, await ledger.keys(None, Field("number")))
            assert (["d"], ["a"]) == (await ledger.keys(Field("code") == "x"), await ledger.keys(Field("code") == "y"))
            assert ([], ["d"]) == (
                await ledger.keys(key == "c"),
                await ledger.keys((Field("status") == "open") & (Field("number") == 7)),
            )
            assert (3, 21, True) == (
                await ledger.figure("count"),
                await ledger.figure("sum", None, "number"),
                await ledger.figure("exists", key == "d"),
            )

    @law(Capability.TRANSACTION)
    async def test_a_refused_row_does_not_spoil_the_transaction(self, ledger: Ledger) -> None:
        """After a violation the transaction goes on, with what was written before and after."""
        await ledger.add(sample("a", code="x"))
        async with ledger.store.transaction():
            await ledger.add(sample("before"))
            result = await ledger.add(sample("a"), sample("b", code="x"), sample("good"), sample("n", number=None))
            with pytest.raises(ValueError, match="code"):
                await ledger.change(key == "good", code="x")
            await ledger.add(sample("after"))

        assert (1, 3) == (result.count, len(result.failures))
        assert ["a", "after", "before", "good"] == await ledger.keys()

    @law(Capability.TRANSACTION, Capability.UPSERT)
    async def test_an_upsert_meets_the_writes_of_its_transaction(self, ledger: Ledger) -> None:
        """Conflicts are found among uncommitted rows of the same transaction, too."""
        upsert = OnConflict(("id",), set={"number": incoming("number")})
        async with ledger.store.transaction():
            await ledger.add(sample("a", number=1))
            result = await ledger.add(sample("a", number=2), on_conflict=upsert)
        assert ((Outcome.UPDATED,), 2) == (result.outcomes, (await ledger.find())[0]["number"])

    @law(Capability.SAVEPOINT)
    async def test_a_savepoint_rolls_back_alone(self, ledger: Ledger) -> None:
        """An error in an inner block takes back that block only, and what was to run after it."""
        ran: list[str] = []
        await ledger.add(sample("old"))
        async with ledger.store.transaction() as outer:
            outer.after_commit(lambda: ran.append("outer"))
            await ledger.add(sample("a"))
            with pytest.raises(_Planned):
                async with ledger.store.transaction() as inner:
                    inner.after_commit(lambda: ran.append("inner"))
                    outer.after_commit(lambda: ran.append("outer, named inside"))
                    await ledger.add(sample("b"))
                    await ledger.change(key == "a", number=1)
                    await ledger.remove(key == "old")
                    async with ledger.store.transaction() as innermost:
                        innermost.after_commit(lambda: ran.append("innermost"))
                    raise _Planned
            assert [("a", 0), ("old", 0)] == sorted((row["id"], row["number"]) for row in await ledger.find())
            async with ledger.store.transaction() as kept:
                kept.after_commit(lambda: ran.append("kept"))
                await ledger.add(sample("c"))
            assert [] == ran

        assert ["a", "c", "old"] == await ledger.keys()
        assert ["outer", "outer, named inside", "kept"] == ran

    @law(Capability.SAVEPOINT)
    async def test_a_released_savepoint_falls_with_the_whole(self, ledger: Ledger) -> None:
        """What an inner block wrote is gone when the outer one rolls back, and its ``after_commit`` does not run."""
        ran: list[str] = []
        with pytest.raises(_Planned):
            async with ledger.store.transaction():
                async with ledger.store.transaction() as inner:
                    inner.after_commit(lambda: ran.append("x"))
                    await ledger.add(sample("a"))
                raise _Planned
        assert ([], []) == (await ledger.keys(), ran)

    @law(Capability.SAVEPOINT)
    async def test_a_doomed_savepoint_leaves_nothing(self, ledger: Ledger) -> None:
        """``doom()`` of an inner block takes back what it wrote."""
        async with ledger.store.transaction():
            async with ledger.store.transaction() as inner:
                await ledger.add(sample("b"))
                inner.doom()
            await ledger.add(sample("a"))
        assert "b" not in await ledger.keys()

    @law(Capability.TRANSACTION)
    async def test_two_resources_of_one_group_commit_together(self, ledger: Ledger) -> None:
        """Stores whose ``group`` is equal share a transaction: both keep their writes, or none does."""
        pairs = await ledger.sibling(COMPOSITE)
        assert ledger.store.group == pairs.store.group
        with pytest.raises(_Planned):
            async with ledger.store.transaction():
                await ledger.add(sample("a"))
                await pairs.add(composite("t", 1))
                raise _Planned
        assert ([], []) == (await ledger.keys(), await pairs.find())
        async with pairs.store.transaction():
            await ledger.add(sample("a"))
            await pairs.add(composite("t", 1))
            assert ledger.store.current_transaction() is not None
        assert (["a"], [composite("t", 1)]) == (await ledger.keys(), await pairs.find())

    @law(Capability.TRANSACTION)
    async def test_the_open_transaction_is_known(self, ledger: Ledger) -> None:
        """``current_transaction()`` is the open one inside the block, and ``None`` before and after."""
        before = ledger.store.current_transaction()
        async with ledger.store.transaction():
            inside = ledger.store.current_transaction()
        assert (None, True, None) == (before, inside is not None, ledger.store.current_transaction())

    @law(Capability.TRANSACTION)
    async def test_nobody_else_sees_what_is_not_committed(self, ledger: Ledger) -> None:
        """Another thread or task, even one that copied the context, works outside of the transaction."""
        await ledger.add(sample("a", number=1))
        seen: list[Any] = []

        async def look() -> None:
            seen.append((ledger.store.current_transaction(), await ledger.find(key == "a"), await ledger.keys()))

        async with ledger.store.transaction():
            await ledger.change(key == "a", number=2)
            await ledger.add(sample("b"))
            if ledger.colour is Colour.ASYNC:
                await asyncio.create_task(look())
            else:
                thread = threading.Thread(target=contextvars.copy_context().run, args=(lambda: drive(look()),))
                thread.start()
                thread.join()

        assert [(None, [sample("a", number=1)], ["a"])] == seen
        assert ["a", "b"] == await ledger.keys()

    @law(Capability.TRANSACTION)
    async def test_what_others_have_committed_is_seen_outside(self, ledger: Ledger) -> None:
        """A transaction that looks at one moment gives a way out; what others have written since is seen there."""
        await ledger.add(sample("a", number=1), sample("b", number=1))

        async def write() -> int:
            with context(deadline=timedelta(milliseconds=200)):
                return (await ledger.change(key == "a", number=2)).count

        outside, seen = ledger.store.outside(), []
        told: object = None
        inside = None
        with contextlib.suppress(SerializationFailure):
            async with ledger.store.transaction():
                assert sample("a", number=1) == await ledger.row("a")
                (told,) = await ledger.together([write])
                beside = ledger.store.outside()
                for _ in range(2):
                    with beside or contextlib.nullcontext():
                        seen.append(await ledger.row("a"))
                await ledger.change(key == "b", number=3)
                inside = await ledger.row("b")

        # Where only one may write at a time, the other one waits in vain, and there is nothing to be seen.
        assert (told == 1) or isinstance(told, Timeout)
        assert (None, [sample("a", number=2 if told == 1 else 1)] * 2) == (outside, seen)
        assert sample("b", number=3) == inside

    @law(Capability.TRANSACTION)
    async def test_a_call_of_the_other_colour_is_refused(self, ledger: Ledger) -> None:
        """A sync call inside an async transaction raises WrongColour, and the transaction can still be rolled back."""
        if ledger.colour is Colour.SYNC:
            return  # An async call would need a loop, and none runs here.
        with pytest.raises(WrongColour):
            async with ledger.store.transaction():
                await ledger.add(sample("a"))
                drive(ledger.find())
        assert [] == await ledger.keys()

    @law(Capability.TRANSACTION)
    async def test_a_cancelled_task_leaves_nothing(self, ledger: Ledger) -> None:
        """A task that is cancelled inside its transaction rolls back; the store can be used at once."""
        if ledger.colour is Colour.SYNC:
            return  # Tasks are async.
        inside = asyncio.Event()

        async def work() -> None:
            async with ledger.store.transaction():
                await ledger.add(sample("a"))
                inside.set()
                await asyncio.Event().wait()

        for _ in range(20):
            task = asyncio.create_task(work())
            await inside.wait()
            inside.clear()
            task.cancel()
            await asyncio.wait({task})
            assert task.cancelled()
        assert [] == await ledger.keys()
        assert 1 == (await ledger.add(sample("a"))).count

    @law(Capability.TRANSACTION, Capability.DELETE_IN_BATCHES)
    async def test_a_sweep_inside_a_transaction_is_refused(self, ledger: Ledger) -> None:
        """``delete_in_batches`` makes transactions of its own, so inside of one it raises and removes nothing."""
        await ledger.add(sample("a"))
        async with ledger.store.transaction():
            with pytest.raises(DataLayerError):
                async for _ in ledger.sweep(None):
                    pass
        assert ["a"] == await ledger.keys()
