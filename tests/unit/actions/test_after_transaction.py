"""``after_transaction`` hooks: after the outermost commit or failure, never before, with the outcome of the whole."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from resourcekit import Attr, Changeset, Context, Domain, Resource, attribute, create, query, transaction, update
from resourcekit.data_layers import SQL, joined
from resourcekit.errors import RolledBack, UniqueViolation
from resourcekit.extending import runtime_of


class _Undone(Exception):
    """What takes a block back."""


@pytest.fixture
def received() -> list[Any]:
    """The arguments of the hooks, in order."""
    return []


@pytest.fixture
def entry(any_layer: Callable[[], Any], received: list[Any]) -> Any:
    """Entries whose actions note how their transaction ended."""
    from resourcekit import Domain

    domain = Domain("after transaction")

    def tell(changeset: Changeset, context: Context) -> Changeset:
        def hook(_: Changeset, outcome: Any, __: Context) -> None:
            is_open = runtime_of(Entry).store.current_transaction() is not None
            received.append((outcome if isinstance(outcome, BaseException) else outcome.key, is_open))

        return changeset.after_transaction(hook)

    class Entry(Resource, domain=domain, data_layer=any_layer()):
        key: Attr[str] = attribute(primary_key=True, max_length=20)
        text: Attr[str | None] = attribute(default=None, max_length=20)

        write = create(accept=["key"], changes=[tell])
        edit = update(accept=["text"], changes=[tell])

    domain.create_storage()
    Entry.__kept_domain__ = domain  # type: ignore[attr-defined]
    return Entry


def test_it_runs_after_the_outermost_commit(entry: Any, received: list[Any]) -> None:
    """Not after the savepoint of the action, nor after those around it."""
    with transaction(entry):
        with transaction(entry):
            made = entry.write(key="a")
        entry.edit(made, text="x")
        before = list(received)

    assert [] == before
    assert [("a", False), ("a", False)] == received


@pytest.mark.parametrize("savepoint", [True, False])
def test_it_is_told_what_rolled_the_transaction_back(entry: Any, received: list[Any], savepoint: bool) -> None:
    """The action had gone well, and then the block around it failed."""
    error = _Undone()
    with pytest.raises(_Undone), transaction(entry):
        with transaction(entry) if savepoint else contextlib.nullcontext():
            entry.write(key="a")
        raise error

    assert [(error, False)] == received


def test_a_savepoint_that_is_rolled_back_is_not_the_end(entry: Any, received: list[Any]) -> None:
    """The hook runs after the commit of the whole, and learns that its own part was rolled back."""
    error = _Undone()
    with transaction(entry):
        with contextlib.suppress(_Undone), transaction(entry):
            entry.write(key="a")
            raise error
        before = list(received)
        entry.write(key="b")

    assert [] == before
    assert [(error, False), ("b", False)] == received


def test_it_is_told_of_a_rollback_without_an_error(entry: Any, received: list[Any]) -> None:
    """``doom()`` raises nothing: the hook gets RolledBack."""
    with transaction(entry) as opened:
        entry.write(key="a")
        opened.doom()

    assert [(RolledBack, False)] == [(type(outcome), is_open) for outcome, is_open in received]


def test_a_failed_action_is_told_after_the_transaction_around_it(entry: Any, received: list[Any]) -> None:
    """Its hook gets the action's own error, whatever becomes of the rest."""
    entry.write(key="a")
    received.clear()
    with transaction(entry):
        with pytest.raises(UniqueViolation):
            entry.write(key="a")
        before = list(received)
        entry.write(key="b")

    assert [] == before
    assert [UniqueViolation, str] == [type(outcome) for outcome, _ in received]


def test_inputs_of_a_bulk_action_are_told_after_the_whole(entry: Any, received: list[Any]) -> None:
    """Each input's hook waits for the transaction around the bulk action."""
    with transaction(entry):
        result = entry.write.bulk([{"key": "a"}, {"key": "b"}])
        before = list(received)

    assert (2, []) == (result.count, before)
    assert [("a", False), ("b", False)] == received


@pytest.mark.parametrize("undone", [True, False])
def test_so_it_is_in_a_loop(entry: Any, received: list[Any], undone: bool) -> None:
    """An async transaction ends, and then the hooks of its actions run."""
    error = _Undone()

    async def main() -> list[Any]:
        before: list[Any] = []
        with contextlib.suppress(_Undone):
            async with transaction(entry):
                await entry.write.aio(key="a")
                before = list(received)
                if undone:
                    raise error
        await runtime_of(entry).store.close()
        return before

    assert [] == asyncio.run(main())
    assert [(error if undone else "a", False)] == received


def test_a_cancelled_transaction_is_told(entry: Any, received: list[Any]) -> None:
    """A task that is cancelled inside of its transaction rolls back, and the hooks of its actions hear of it."""

    async def main() -> None:
        inside = asyncio.Event()

        async def work() -> None:
            async with transaction(entry):
                await entry.write.aio(key="a")
                inside.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(work())
        await inside.wait()
        task.cancel()
        await asyncio.wait({task})
        await runtime_of(entry).store.close()

    asyncio.run(main())

    assert [asyncio.CancelledError] == [type(outcome) for outcome, _ in received]


@pytest.mark.parametrize("ends", ["commit", "rollback", "savepoint"])
def test_in_a_transaction_of_the_user_s_own_it_runs_after_its_end(tmp_path: Path, ends: str) -> None:
    """In ``joined`` the user commits, after the block: the hook runs then, once, and gets the outcome of the write."""
    found: list[Any] = []

    def tell(changeset: Changeset, context: Context) -> Changeset:
        return changeset.after_transaction(lambda _, outcome, __: found.append(outcome))

    domain = Domain("after a joined transaction")

    class Line(Resource, domain=domain, data_layer=SQL(f"sqlite:///{tmp_path}/lines.db")):
        key: Attr[str] = attribute(primary_key=True, max_length=20)

        write = create(accept=["key"], changes=[tell])

    domain.create_storage()
    engine = sa.create_engine(f"sqlite:///{tmp_path}/lines.db")
    with engine.connect() as connection:
        connection.begin()
        with joined(connection, Line):
            if ends == "savepoint":
                inner = connection.begin_nested()
            Line.write(key="a")
            if ends == "savepoint":
                inner.rollback()
        early = list(found)
        connection.rollback() if ends == "rollback" else connection.commit()
    engine.dispose()

    assert ([], 1) == (early, len(found))
    assert ("a" if ends == "commit" else RolledBack) == (found[0].key if ends == "commit" else type(found[0]))
    assert (ends == "commit") is query(Line).filter(Line.key == "a").exists()
