"""Sync and async calls: what may wait and what may not, transactions of one call mode, and a context that leaks nowhere."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from contextvars import copy_context
from datetime import timedelta
from typing import Any

import pytest

from resourcekit import (
    Attr,
    Changeset,
    Context,
    Domain,
    Query,
    Resource,
    action,
    attribute,
    context,
    create,
    get,
    outside_transaction,
    query,
    read,
    transaction,
    update,
)
from resourcekit.call_context import call_mode
from resourcekit.data_layers import SQL
from resourcekit.errors import InvalidArgument, MixedCallMode, ResourcekitError, Timeout
from resourcekit.extending import ambient_context


async def waits(changeset: Changeset, context: Context) -> Changeset:
    """Change after having waited."""
    await asyncio.sleep(0)
    return changeset.set(name="waited")


async def swallows(changeset: Changeset, context: Context) -> Changeset:
    """Try to go on where waiting is refused."""
    try:
        await asyncio.sleep(0)
    except Exception:
        return changeset.set(name="swallowed")
    return changeset


async def swallows_all(changeset: Changeset, context: Context) -> Changeset:
    """Go on whatever happens."""
    with contextlib.suppress(BaseException):
        await asyncio.sleep(0)
    return changeset.set(name="swallowed")


@pytest.fixture
def note(layer: Callable[[], Any]) -> Any:
    """A resource with actions that wait, and others that call others."""
    domain = Domain("notes")

    async def write_and_wait(changeset: Changeset, context: Context) -> None:
        await Note.write.aio(id=100)
        await asyncio.sleep(0)

    def writes_first(changeset: Changeset, context: Context) -> Changeset:
        return changeset.before_action(write_and_wait)

    class Note(Resource, domain=domain, data_layer=layer()):
        id: Attr[int] = attribute(primary_key=True)
        name: Attr[str] = attribute(default="new")
        write = create(accept=["id", "name"])
        wait = create(accept=["id"], changes=[waits])
        swallow = create(accept=["id"], changes=[swallows])
        swallow_all = create(accept=["id"], changes=[swallows_all])
        write_twice = create(accept=["id"], changes=[writes_first])
        rename = update(accept=["name"])

        @read
        @staticmethod
        async def slow(query: Query[Note]) -> Query[Note]:
            await asyncio.sleep(0)
            return query

        @action
        @staticmethod
        async def write_through(number: int) -> str:
            made = await Note.write.aio(id=number)
            found = await get.aio(Note, number)
            async with transaction(Note):
                await made.rename.aio(name=f"{call_mode.get().value}")  # type: ignore[union-attr]
            return (await query(Note).filter(Note.id == found.id).one.aio()).name

        @action
        @staticmethod
        async def sync_inside(number: int) -> int:
            return Note.write(id=number).id

        @action(transaction=True)
        @staticmethod
        async def sync_inside_transaction(number: int) -> int:
            return Note.write(id=number).id

        @action
        @staticmethod
        def who(context: Context) -> Any:
            return context.actor, ambient_context().actor

    domain.create_storage()
    return Note


@pytest.mark.parametrize("name", ["wait", "swallow", "swallow_all"])
def test_a_sync_call_that_would_have_to_wait(note: Any, name: str) -> None:
    """It is MixedCallMode, names ``.aio``, cannot be swallowed, and nothing is written."""
    with pytest.raises(MixedCallMode, match=r"\.aio") as caught:
        getattr(note, name)(id=1)

    assert isinstance(caught.value, ResourcekitError)
    assert query(note).count() == 0
    assert 1 == asyncio.run(getattr(note, name).aio(id=1)).id
    assert call_mode.get() is None


def test_a_sync_read_that_would_have_to_wait(note: Any) -> None:
    """Reads too; awaited, they find."""
    note.write(id=1)

    with pytest.raises(MixedCallMode):
        note.slow()
    assert [1] == [each.id for each in asyncio.run(note.slow.aio())]


def test_what_was_written_before_the_wait_is_rolled_back(note: Any) -> None:
    """The transaction of the action goes with it."""
    with pytest.raises(MixedCallMode):
        note.write_twice(id=1)
    assert query(note).count() == 0

    asyncio.run(note.write_twice.aio(id=1))
    assert query(note).count() == 2


def test_awaits_inside_a_sync_call_stay_sync(note: Any) -> None:
    """A user's ``await x.aio()`` uses the driver of the call that it is part of."""
    assert "sync" == note.write_through(1)
    assert "async" == asyncio.run(note.write_through.aio(2))


def test_a_sync_call_inside_an_async_one(note: Any) -> None:
    """It works by itself; inside the async transaction of the same store it is refused, and all is rolled back."""
    assert 1 == asyncio.run(note.sync_inside.aio(1))
    with pytest.raises(MixedCallMode):
        asyncio.run(note.sync_inside_transaction.aio(2))
    assert 3 == note.sync_inside_transaction(3)

    assert [1, 3] == [each.id for each in query(note).sort("id").all()]


def test_call_modes_do_not_mix_in_a_transaction(note: Any) -> None:
    """A sync call in an async block is refused, an async one in a sync block too; both blocks can go on."""

    async def run() -> None:
        async with transaction(note):
            await note.write.aio(id=1)
            with pytest.raises(MixedCallMode):
                note.write(id=2)
            with pytest.raises(MixedCallMode), transaction(note):
                pass
            await note.write.aio(id=3)
        with transaction(note):
            note.write(id=4)
            with pytest.raises(MixedCallMode):
                await note.write.aio(id=5)

    asyncio.run(run())

    assert [1, 3, 4] == [each.id for each in query(note).sort("id").all()]


def test_transactions_nest_as_savepoints(note: Any) -> None:
    """An inner block that fails takes back its own writes only; functions after the commit follow."""
    noted: list[str] = []
    with transaction(note) as outer:
        note.write(id=1)
        with pytest.raises(ZeroDivisionError), transaction(note) as inner:
            note.write(id=2)
            inner.after_commit(lambda: noted.append("inner"))
            raise ZeroDivisionError
        with transaction(note) as kept:
            note.write(id=3)
            kept.after_commit(lambda: noted.append("kept"))
        outer.after_commit(lambda: noted.append("outer"))
        assert [1, 3] == [each.id for each in query(note).sort("id").all()]

    assert ["kept", "outer"] == noted
    assert [1, 3] == [each.id for each in query(note).sort("id").all()]


def test_after_commit_may_be_async(note: Any) -> None:
    """A coroutine function is awaited after the commit."""
    noted: list[int] = []

    async def tell() -> None:
        await asyncio.sleep(0)
        noted.append(await query(note).count.aio())

    async def run() -> None:
        async with transaction(note) as tx:
            await note.write.aio(id=1)
            tx.after_commit(tell)

    asyncio.run(run())

    assert [1] == noted


def test_stores_that_cannot_share_a_transaction(note: Any, tmp_path: Any) -> None:
    """Resources of different stores are refused before anything begins, with both names."""

    class Elsewhere(Resource, domain=Domain("elsewhere"), data_layer=SQL(f"sqlite:///{tmp_path}/elsewhere.db")):
        id: Attr[int] = attribute(primary_key=True)

    with pytest.raises(InvalidArgument, match=r"Note and Elsewhere are kept in different stores"), transaction(note, Elsewhere):
        note.write(id=1)
    with pytest.raises(InvalidArgument, match="name the resources"):
        transaction()
    with pytest.raises(InvalidArgument, match="is no resource class"), transaction(int):
        pass
    assert query(note).count() == 0


def test_resources_of_one_store_share_a_transaction(layer: Callable[[], Any]) -> None:
    """One block over two resources is all or nothing."""
    domain = Domain("shared")

    class One(Resource, domain=domain, data_layer=layer()):
        id: Attr[int] = attribute(primary_key=True)
        write = create(accept=["id"])

    class Two(Resource, domain=domain, data_layer=layer()):
        id: Attr[int] = attribute(primary_key=True)
        write = create(accept=["id"])

    domain.create_storage()
    with pytest.raises(ZeroDivisionError), transaction(One, Two):
        One.write(id=1)
        Two.write(id=1)
        raise ZeroDivisionError
    with transaction(One, Two):
        One.write(id=2)
        Two.write(id=2)

    assert [[2], [2]] == [[each.id for each in query(resource).all()] for resource in (One, Two)]


def test_facts_of_a_call_end_with_it(note: Any) -> None:
    """``using`` holds for its call, ``context`` for its block; the inner one wins, and nothing leaks, errors included."""
    assert (None, None) == note.who()
    with context(actor="outer"):
        assert ("outer", "outer") == note.who()
        assert ("inner", "inner") == note.who.using(actor="inner")()
        with context(deadline=timedelta(seconds=1)), pytest.raises(ZeroDivisionError), context(actor="failing"):
            raise ZeroDivisionError
        assert ("outer", "outer") == note.who()
        assert (None, None) == note.who.using(actor=None)()
    assert (None, None) == note.who()
    assert ("kept", "kept") == note.who.using(actor="lost").using(deadline=timedelta(seconds=1)).using(actor="kept")()


def test_one_context_value_may_be_entered_again(note: Any) -> None:
    """Also inside itself."""
    mine = context(actor="me")
    with mine:
        with mine:
            assert ("me", "me") == note.who()
        assert ("me", "me") == note.who()
    assert (None, None) == note.who()


@pytest.mark.parametrize("facts", [{"acter": 1}, {"deadline": 2}, {"metadata": 5}])
def test_wrong_facts_are_refused_where_they_are_given(note: Any, facts: dict[str, Any]) -> None:
    """Unknown facts get a suggestion, wrong types are reported, before any call."""
    with pytest.raises(InvalidArgument):
        note.write.using(**facts)
    with pytest.raises(InvalidArgument):
        context(**facts)


def test_tasks_and_threads_do_not_share_their_deployment(note: Any) -> None:
    """Each task has its actor; a thread that is started outside of the transaction works outside of it."""

    async def one(actor: str) -> tuple[Any, Any]:
        with context(actor=actor):
            await asyncio.sleep(0)
            return await note.who.aio()

    async def run() -> list[Any]:
        return await asyncio.gather(*(one(str(number)) for number in range(3)))

    seen: list[int] = []
    with context(actor="me"), transaction(note):
        note.write(id=1)
        with outside_transaction():
            thread = threading.Thread(target=copy_context().run, args=(lambda: seen.append(query(note).count()),))
        thread.start()
        thread.join()

    assert [("0", "0"), ("1", "1"), ("2", "2")] == asyncio.run(run())
    assert [0] == seen
    assert [None, None] == [call_mode.get(), ambient_context().actor]


def test_a_record_s_action_takes_facts_too(note: Any) -> None:
    """``ticket.close.using(actor=...)()`` is ``Ticket.close.using(actor=...)(ticket)``."""
    made = note.write(id=1)

    assert "x" == made.rename.using(actor="me")(name="x").name
    assert "y" == asyncio.run(made.rename.using(actor="me").aio(name="y")).name


def test_a_deadline_that_is_over(note: Any) -> None:
    """A call that has no time left is a Timeout, which is a TimeoutError, and writes nothing."""
    with pytest.raises(Timeout) as caught:
        note.write.using(deadline=timedelta(0))(id=1)

    assert isinstance(caught.value, TimeoutError)
    assert query(note).count() == 0
    with context(deadline=timedelta(0)):
        for call in (
            lambda: note.write.using(deadline=timedelta(hours=1))(id=1),
            lambda: note.write.bulk([{"id": 1}]),
            lambda: query(note).all(),
            lambda: get(note, 1),
        ):
            with pytest.raises(Timeout):
                call()
    assert query(note).count() == 0
