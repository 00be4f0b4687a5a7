"""What is done on a connection, as plain functions over a Link; the same in both colours. It builds no statement."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

import attrs

from resourcekit.data_layers.sql.failures import AtCommit
from resourcekit.data_layers.sql.link import Link, Stored
from resourcekit.data_layers.sql.trouble import Gone, TroubleKind
from resourcekit.flow.result import Outcome

__all__ = ["Written", "atomically", "begin", "change", "commit", "rollback", "write_rows"]

T = TypeVar("T")
_SAVEPOINT, _PART = "resourcekit_rows", "resourcekit_part"
"""Names of savepoints around all rows of a call, and around some of them."""


def change(link: Link, sql: str, values: Stored, returning: bool, nested: bool) -> Any:  # passed through run_sync
    """Run a statement that writes, so that its error does not spoil an open transaction; return rows, or their count."""
    statement: Callable[[str, Stored], Any] = link.fetch if returning else link.run
    if nested and link.room.spoils:
        return atomically(link, lambda: statement(sql, values), nested=True)
    return statement(sql, values)


def begin(link: Link) -> None:
    """Begin a transaction."""
    link.at_stake = False
    link.room.begin(link)
    link.gauge.in_transaction = True


def commit(link: Link) -> None:
    """Commit; after a failure the transaction is rolled back, if it still stands. Raises Gone where nothing was sent."""
    if link.room.is_gone(link):
        raise Gone
    link.at_stake = True
    try:
        link.run("COMMIT")
    except link.room.errors as error:
        rollback(link)
        raise AtCommit(error) from None
    link.gauge.in_transaction = False


def rollback(link: Link) -> None:
    """Roll back, unless the database has done so already; a connection on which that fails is left open, to be closed."""
    if link.room.is_broken(link) or not link.room.is_open(link):
        return
    link.grace()
    with contextlib.suppress(Exception):  # why it is rolled back says more
        link.run("ROLLBACK")
        link.gauge.in_transaction = False


def atomically(link: Link, work: Callable[[], T], *, nested: bool) -> T:
    """Do work in a transaction of its own, or in a savepoint where one is open.

    Nothing is rolled back where a task was cancelled, or a signal came: the connection is thrown away with all of it.
    """
    if nested:
        return _in_savepoint(link, work, _SAVEPOINT)
    begin(link)
    try:
        result = work()
    except Exception:
        rollback(link)
        raise
    commit(link)
    return result


def _in_savepoint(link: Link, work: Callable[[], T], name: str) -> T:
    """Do work in a savepoint; one inside another needs another name, because MariaDB forgets the outer one else."""
    link.run(f"SAVEPOINT {name}")
    try:
        result = work()
    except Exception:
        if not link.room.is_broken(link) and link.room.is_open(link):
            link.grace()
            with contextlib.suppress(Exception):  # why it is taken back says more; the transaction shows that it is spoilt
                link.run(f"ROLLBACK TO SAVEPOINT {name}")
                link.run(f"RELEASE SAVEPOINT {name}")
        raise
    link.run(f"RELEASE SAVEPOINT {name}")
    return result


@attrs.frozen
class Written:
    """What became of one row: refused with an error, else the outcome, and the row where the statement gave it back."""

    outcome: Outcome
    row: Any = None
    error: Exception | None = None


class Writes(Protocol):
    """What inserts rows needs to know of its statement; ``inserts.RowWriter`` is one.

    returns: the statement gives rows back. is_plain: it has no conflict clause, so all rows can be sent at once, in the
    hope that none is refused.
    """

    returns: bool
    is_plain: bool

    def judge(self, link: Link, count: int, row: Any) -> Written:
        """Say what became of a row that was not refused."""
        ...


def write_rows(link: Link, writer: Writes, sql: str, rows: Sequence[Stored], nested: bool) -> list[Written]:
    """Insert rows; what a row violates is noted, and the others are written, all in one transaction."""
    if len(rows) == 1:
        return [_write_row(link, writer, sql, rows[0], guarded=nested and link.room.spoils)]
    if not writer.is_plain and not link.room.sends_many:

        def write(link: Link) -> list[Written]:
            return [_write_row(link, writer, sql, row, guarded=link.room.spoils) for row in rows]

        return atomically(link, lambda: link.at_once(write), nested=nested)
    try:
        return atomically(link, lambda: _write_at_once(link, writer, sql, rows), nested=nested)
    except link.room.errors as error:
        if not _is_refusal(link, error):
            raise
    return atomically(link, lambda: link.at_once(lambda inside: _write_in_parts(inside, writer, sql, rows)), nested=nested)


def _write_at_once(link: Link, writer: Writes, sql: str, rows: Sequence[Stored]) -> list[Written]:
    """Send all rows in one go; fails as a whole if one of them is refused."""
    if writer.is_plain:
        link.run_many(sql, rows)
        return [Written(Outcome.INSERTED)] * len(rows)
    found = link.room.send_many(link, sql, rows, returns=writer.returns)
    return [writer.judge(link, count, returned[0] if returned else None) for count, returned in found]


def _write_in_parts(link: Link, writer: Writes, sql: str, rows: Sequence[Stored]) -> list[Written]:
    """Send parts of the rows in one go each: a quarter of the size after a refusal, twice the size after a success.

    So a single bad row is found in few steps, and many of them cost no more than rows sent one by one.
    """
    written: list[Written] = []
    size = len(rows) // 4
    while len(written) < len(rows):
        part = rows[len(written) : len(written) + max(size, 1)]
        if len(part) == 1:
            written.append(_write_row(link, writer, sql, part[0], guarded=True))
            size = 1 if written[-1].error else 2
            continue
        try:
            written += _in_savepoint(link, lambda part=part: _write_at_once(link, writer, sql, part), _PART)  # type: ignore[misc]  # bound now
            size *= 2
        except link.room.errors as error:
            if not _is_refusal(link, error):
                raise
            size //= 4
    return written


def _write_row(link: Link, writer: Writes, sql: str, row: Stored, *, guarded: bool) -> Written:
    def write() -> Written:
        if writer.returns:
            found = link.fetch(sql, row)
            return writer.judge(link, len(found), found[0] if found else None)
        return writer.judge(link, link.run(sql, row), None)

    try:
        return _in_savepoint(link, write, _PART) if guarded else write()
    except link.room.errors as error:
        writer.judge(link, 0, None)
        if not _is_refusal(link, error):
            raise
        return Written(Outcome.FAILED, error=error)


def _is_refusal(link: Link, error: Exception) -> bool:
    kind = link.room.explain(error, None).kind
    return kind in (TroubleKind.UNIQUE, TroubleKind.NOT_NULL, TroubleKind.UNSTORABLE)
