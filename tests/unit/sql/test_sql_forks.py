"""What a fork does to connections: the child never shares its parent's."""

import asyncio

import pytest

from resourcekit import query, transaction
from tests.support.forks import in_children


def test_a_child_works_after_its_parent_did(repo, declare):
    """Both write after the fork, and neither disturbs the other."""
    note = declare(repo)
    note.write(key="before")

    def child():
        note.write(key="child")
        return query(note).count()

    counted = in_children(child)
    note.write(key="after")

    assert [2] == counted
    assert ["after", "before", "child"] == [record.key for record in query(note).sort(note.key).all()]


def test_a_child_of_an_open_transaction_is_outside_of_it(repo, declare):
    """The child sees what is committed, and the end of its block does nothing to its parent's transaction."""
    note = declare(repo)
    note.write(key="committed")

    def child():
        return [record.key for record in query(note).all()]

    with transaction(note):
        note.write(key="open")
        seen = in_children(child)
        note.write(key="later")

    assert [["committed"]] == seen
    assert 3 == query(note).count()


def test_a_child_that_leaves_its_parent_s_block_commits_nothing(repo, declare):
    """A transaction that was open at the fork ends where it began: in the parent."""
    note = declare(repo)

    def child_of(block):
        block.__exit__(None, None, None)
        return query(note).count()

    block = transaction(note)
    block.__enter__()
    note.write(key="open")
    seen = in_children(lambda: child_of(block))
    block.__exit__(ValueError, ValueError(), None)

    assert [0] == seen
    assert 0 == query(note).count()


def test_a_child_of_an_async_program_works(repo, declare):
    """After a loop has run in the parent, the child has one of its own, with connections of its own."""
    note = declare(repo)

    async def work(key):
        await note.write.aio(key=key)
        return await query(note).count.aio()

    asyncio.run(work("parent"))
    counted = in_children(lambda: asyncio.run(work("child")))

    assert [2] == counted
    assert 3 == asyncio.run(work("after"))


def test_eight_children_write_at_once(repo, declare):
    """Nothing is lost and no call is refused: each waits for the others."""
    note = declare(repo)
    note.write(key="counter")

    def child(name):
        for number in range(10):
            note.write(key=f"{name}-{number}")
            note.count_up("counter")
        return "done"

    assert ["done"] * 8 == in_children(*(lambda name=name: child(name) for name in range(8)))
    assert (81, 80) == (query(note).count(), query(note).filter(note.key == "counter").one().number)


def test_eight_children_write_at_once_in_tasks(repo, declare):
    """The same in loops: four tasks in each of eight processes."""
    note = declare(repo)
    note.write(key="counter")

    async def work():
        async def one():
            for _ in range(3):
                async with transaction(note):
                    await note.count_up.aio("counter")

        await asyncio.gather(*(one() for _ in range(4)))
        return "done"

    assert ["done"] * 8 == in_children(*[lambda: asyncio.run(work())] * 8)
    assert 96 == query(note).one().number


@pytest.mark.parametrize("turn", range(3))
def test_storage_is_created_by_eight_children_at_once(database, declare, turn):
    """All of them come through, each time, and the table exists."""
    from resourcekit.data_layers import Repo

    note = declare(Repo(database.url), f"notes_{turn}", storage=False)
    domain = note.__runtime__.ready.__self__

    def child():
        domain.create_storage()
        note.put(key="a")
        return query(note).count()

    assert [1] * 8 == in_children(*[child] * 8)
