"""Sweeps of a cluster that limits the size of a transaction: a batch that it refuses is halved, down to one row."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from resourcekit import query
from resourcekit.actions.drive import drive_iterator, in_call_mode
from resourcekit.data_layers import Repo
from resourcekit.data_layers.base import DeleteInBatches
from resourcekit.errors import Unavailable
from resourcekit.extending import Field, Param
from tests.support import galera
from tests.support.databases import Database, scratch

_REFUSE = (
    "CREATE TRIGGER refuse BEFORE DELETE ON notes FOR EACH ROW BEGIN "
    "IF NOT (@began <=> now(6)) THEN SET @began = now(6), @deleted = 0; END IF; SET @deleted = @deleted + 1; "
    "IF @deleted > {most} THEN SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = 1180, MESSAGE_TEXT = 'wsrep_max_ws_rows exceeded'; "
    "END IF; END"
)
"""Let the server answer a statement that deletes too many rows with a node's number and text."""


@pytest.fixture
def database(tmp_path) -> Iterator[Database]:
    """An empty database on MariaDB."""
    with scratch("mariadb", tmp_path) as place:
        yield place


def batches(note: Any, size: int | None) -> Any:
    """Sweep all rows whose number is below ten."""
    store = note.__runtime__.store
    return store.delete_in_batches(store.compile(DeleteInBatches(Field("number") < Param("most"))), {"most": 10}, size=size)


def swept(note: Any, size: int | None = None) -> list[int]:
    """Sweep, and return the count of each batch."""
    return [*drive_iterator(batches(note, size))]


def swept_in_a_task(note: Any, size: int | None = None) -> list[int]:
    """Sweep in an event loop, and return the count of each batch."""

    async def sweep() -> list[int]:
        return [count async for count in batches(note, size)]

    return asyncio.run(in_call_mode(sweep()))


def fill(note: Any, count: int) -> None:
    """Write so many rows that match, and one that does not."""
    note.write.bulk([{"key": f"{number:05d}", "number": 1} for number in range(count)])
    note.write(key="zzz", number=50)


@pytest.mark.parametrize("sweep", [swept, swept_in_a_task])
@pytest.mark.parametrize("size", [None, 100])
def test_a_batch_that_the_cluster_refuses_is_halved(database, declare, sweep, size):
    """All rows go, in batches that are at most as large as the cluster takes, and no row is counted twice."""
    note = declare(Repo(database.url))
    fill(note, 120)
    database.run(_REFUSE.format(most=13))
    counts = sweep(note, size)

    assert 120 == sum(counts)
    assert max(counts) <= 13
    assert ["zzz"] == [left.key for left in query(note).all()]


def test_one_row_that_the_cluster_refuses_is_told(database, declare):
    """The error names the settings; the rows stay, and the connection serves the next call."""
    note = declare(Repo(database.url))
    fill(note, 10)
    database.run(_REFUSE.format(most=0))
    with pytest.raises(Unavailable, match=r"raise wsrep_max_ws_rows or wsrep_max_ws_size"):
        swept(note)

    assert 11 == query(note).count()


@pytest.fixture
def node() -> Iterator[galera.Node]:
    """A cluster of one node that the test may configure."""
    try:
        alone = galera.Node()
        alone.join([alone])
        alone.begin()
    except LookupError as missing:
        pytest.skip(f"could not run: {missing}")
    yield alone
    alone.kill()
    alone.remove()


@pytest.mark.slow
@pytest.mark.parametrize("limit", ["wsrep_max_ws_rows = 13", "wsrep_max_ws_size = 4096"])
@pytest.mark.parametrize("sweep", [swept, swept_in_a_task])
def test_a_node_that_takes_small_transactions_is_swept(node, declare: Callable[..., Any], sweep, limit):
    """Refused at the statement, or at the commit: a sweep halves its batches, and removes all rows."""
    note = declare(Repo(node.url))
    fill(note, 500)
    node.query(f"SET GLOBAL {limit}")
    counts = sweep(note)

    assert 500 == sum(counts)
    assert 1 < len(counts)
    assert 1 == query(note).count()
