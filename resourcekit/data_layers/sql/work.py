"""What is done on a connection, as plain functions over a Link; the same in both colours. It builds no statement."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import attrs

from resourcekit.data_layers.sql.dialect import TroubleKind
from resourcekit.data_layers.sql.failures import AtCommit
from resourcekit.data_layers.sql.link import Link, Stored

__all__ = ["Written", "atomically", "begin", "commit", "rollback", "write_rows"]

T = TypeVar("T")
_SAVEPOINT = "resourcekit_rows"


def begin(link: Link) -> None:
    """Begin a transaction."""
    link.room.begin(link)


def commit(link: Link) -> None:
    """Commit; after a failure the transaction is rolled back, if it still stands."""
    try:
        link.run("COMMIT")
    except link.room.errors as error:
        rollback(link)
        raise AtCommit(error) from None


def rollback(link: Link) -> None:
    """Roll back, unless the database has done so already."""
    if link.room.is_open(link):
        link.run("ROLLBACK")


def atomically(link: Link, work: Callable[[], T], *, nested: bool) -> T:
    """Do work in a transaction of its own, or in a savepoint where one is open."""
    if nested:
        link.run(f"SAVEPOINT {_SAVEPOINT}")
    else:
        begin(link)
    try:
        result = work()
    except Exception:
        if not nested:
            rollback(link)
        elif link.room.is_open(link):
            link.run(f"ROLLBACK TO SAVEPOINT {_SAVEPOINT}")
            link.run(f"RELEASE SAVEPOINT {_SAVEPOINT}")
        raise
    except BaseException:
        # A cancelled task: its connection is thrown away. A sync one is interrupted by a signal: it can be cleaned.
        if not nested and not link.gives_way:
            rollback(link)
        raise
    if nested:
        link.run(f"RELEASE SAVEPOINT {_SAVEPOINT}")
    else:
        commit(link)
    return result


@attrs.frozen
class Written:
    """What became of one row: refused with an error, else how many rows it touched, whether one was there, and the row."""

    error: Exception | None = None
    count: int = 0
    was_update: bool = False
    row: Any = None


def write_rows(link: Link, sql: str, rows: Sequence[Stored], *, returning: bool, plain: bool, nested: bool) -> list[Written]:
    """Insert rows one after the other; what a row violates is noted, and the others are written, all in one transaction.

    plain: the statement has no conflict clause, so all rows can be sent at once, in the hope that none is refused.
    """
    if len(rows) == 1:
        return [_write_row(link, sql, rows[0], returning=returning)]
    if plain:
        try:
            atomically(link, lambda: link.run_many(sql, rows), nested=nested)
        except link.room.errors as error:
            if not _is_refusal(link, error):
                raise
        else:
            return [Written(count=1)] * len(rows)

    def one_by_one(link: Link) -> list[Written]:
        return [_write_row(link, sql, row, returning=returning) for row in rows]

    return atomically(link, lambda: link.at_once(one_by_one), nested=nested)


def _write_row(link: Link, sql: str, row: Stored, *, returning: bool) -> Written:
    try:
        if returning:
            found = link.fetch(sql, row)
            return Written(count=len(found), was_update=link.room.was_update(link), row=found[0] if found else None)
        return Written(count=link.run(sql, row), was_update=link.room.was_update(link))
    except link.room.errors as error:
        link.room.was_update(link)
        if not _is_refusal(link, error):
            raise
        return Written(error=error)


def _is_refusal(link: Link, error: Exception) -> bool:
    kind = link.room.explain(error, None).kind
    return kind in (TroubleKind.UNIQUE, TroubleKind.NOT_NULL, TroubleKind.UNSTORABLE)
