"""SQLite's write-ahead log: durability of commits, and checkpoints during a sweep.

A maintainer opens it when the log file grows, or when writers wait for a sweep.
"""

from __future__ import annotations

import time

from resourcekit.data_layers.sql.dialects.base import ConnectionLike

__all__ = ["await_disk", "shorten", "spare_disk", "use"]

_PAGE = 8192
"""Page size in bytes of new database files. A row of a table without rowid is stored in a page of its key, and SQLite's
documentation recommends that twenty rows fit into a page (withoutrowid.html); twice the default size is enough for token
records. A sweep writes each page twice, so larger pages also save it half of the system calls."""

_USUAL_PAGE = 4096

_LONGEST = 16 * 1024 * 1024
"""Bytes of log at which a commit runs a checkpoint, four times SQLite's default. A batch of a sweep must fit in; otherwise the
next commit of another connection would do the sweep's checkpoint, and wait for it."""

_MOST_LOGS = 4
"""The multiple of ``_LONGEST`` to which the log may grow while readers keep it from being reset, before a sweep waits for
them."""

_READERS_WAIT_S = 0.25
"""Seconds that a sweep waits for readers at a time; others may write meanwhile."""

_CHECKPOINT_BUSY_MS = 20
"""Milliseconds that a checkpoint waits for writers and readers."""

_CONTENDED_S = 0.001
"""Seconds that the lock may be held before it is assumed that another connection waited for it."""

_MIN_LOCK_RELEASE_S = 0.005
"""Least time in seconds between two batches during which the lock is free; a waiting Connection retries more often than that."""


def use(connection: ConnectionLike) -> None:
    """Switch to the write-ahead log with durable commits. A file that has pages already keeps its page size."""
    if connection.fetch("PRAGMA journal_mode")[0][0] != "wal":
        if connection.fetch("PRAGMA page_size")[0][0] == _USUAL_PAGE:  # any other size is the user's choice, or the file's
            connection.run(f"PRAGMA page_size={_PAGE}")
        connection.fetch("PRAGMA journal_mode=WAL")
    await_disk(connection)


def await_disk(connection: ConnectionLike) -> None:
    """Make commits wait until they are on the disk.

    The setting is FULL: with WAL, NORMAL may lose acknowledged commits at a power failure, and a lost revocation would make a
    token valid again (promise P1: a revoked token stays revoked).
    """
    connection.run(f"PRAGMA wal_autocheckpoint={_pages(connection)}")
    connection.run("PRAGMA synchronous=FULL")


def spare_disk(connection: ConnectionLike) -> None:
    """Leave writing to the disk to the next durable commit, or to the next checkpoint."""
    connection.run("PRAGMA synchronous=NORMAL")
    connection.run("PRAGMA wal_autocheckpoint=0")


def shorten(connection: ConnectionLike) -> tuple[float, bool]:
    """Copy the log into the database, so that the log can start again from its beginning.

    A passive checkpoint blocks no other connection. But while others write, something is left, and the log grows. So the rest,
    usually nothing, is copied under the lock, which others may wait for some milliseconds. If much is left, because a reader
    still uses an old snapshot, nothing is done under the lock.

    Return how many seconds the lock should still be left alone, so that waiting connections find it free, and whether to call
    this again, because readers let the log grow too long.
    """
    free_since = time.perf_counter()
    most = _pages(connection)
    _, pages, copied = connection.fetch("PRAGMA wal_checkpoint(PASSIVE)")[0]
    is_begun_anew = pages <= most // 4
    if not is_begun_anew and pages - copied <= most // 8:
        held_since = time.perf_counter()
        connection.run(f"PRAGMA busy_timeout={_CHECKPOINT_BUSY_MS}")
        is_begun_anew = connection.fetch("PRAGMA wal_checkpoint(RESTART)")[0][0] == 0
        connection.run("PRAGMA busy_timeout=0")
        if (now := time.perf_counter()) - held_since > _CONTENDED_S:
            free_since = now
    if pages > _MOST_LOGS * most and not is_begun_anew:
        return _READERS_WAIT_S, True
    return _MIN_LOCK_RELEASE_S - (time.perf_counter() - free_since), False


def _pages(connection: ConnectionLike) -> int:
    """Return the number of pages of this file that fit into ``_LONGEST``."""
    size: int = connection.fetch("PRAGMA page_size")[0][0]
    return _LONGEST // size
