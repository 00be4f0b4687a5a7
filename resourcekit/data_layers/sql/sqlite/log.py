"""The write-ahead log: how durable commits are, and how a sweep keeps it short. It knows no table."""

from __future__ import annotations

import time

from resourcekit.data_layers.sql.dialect import Wire

__all__ = ["await_disk", "shorten", "spare_disk", "use"]

_PAGE = 8192
"""Bytes of a page of files that are made here. A row of a table without rowid lies in a page of its key, and SQLite's
documentation wants twenty of them to fit into one (withoutrowid.html); twice its usual size is enough for ours. A sweep writes
each page twice, so larger ones also spare it half of the calls."""

_USUAL_PAGE = 4096

_LONGEST = 16 * 1024 * 1024
"""Bytes of log at which a commit copies it, four times SQLite's own. A batch of a sweep must fit in: else somebody's commit
just after it would do the sweep's work, and wait."""

_TOO_LONG = 4
"""How many times its length the log may become, because readers keep it from being begun anew, before a sweep waits for them."""

_PATIENCE = 0.25
"""Seconds for which a sweep waits for readers at a time; others may write."""

_MOMENT = 20
"""Milliseconds for which a checkpoint waits for writers and readers to let it finish."""

_BLINK = 0.001
"""Seconds for which the lock may be held without anybody having waited for it."""

_BREATH = 0.005
"""Seconds that the lock is free before the next batch, at the least; a link that waits for it looks more often."""


def use(link: Wire) -> None:
    """Let a connection write to the log, durably. A file that has its pages already keeps their size."""
    if link.fetch("PRAGMA journal_mode")[0][0] != "wal":
        if link.fetch("PRAGMA page_size")[0][0] == _USUAL_PAGE:  # another one is somebody's choice, or that of the file
            link.run(f"PRAGMA page_size={_PAGE}")
        link.fetch("PRAGMA journal_mode=WAL")
    await_disk(link)


def await_disk(link: Wire) -> None:
    """Let commits wait until they are on the disk.

    FULL: with WAL, NORMAL may lose acknowledged commits at a power loss, and a lost revoke revives a token.
    """
    link.run(f"PRAGMA wal_autocheckpoint={_pages(link)}")
    link.run("PRAGMA synchronous=FULL")


def spare_disk(link: Wire) -> None:
    """Leave writing to the disk to the next commit that must stand, or to whoever copies the log."""
    link.run("PRAGMA synchronous=NORMAL")
    link.run("PRAGMA wal_autocheckpoint=0")


def shorten(link: Wire) -> tuple[float, bool]:
    """Copy the log into the database, so that it is written from its beginning again.

    A passive checkpoint stops nobody. But as long as others write meanwhile something is left, and the log grows: so the rest,
    mostly nothing, is copied under the lock, for which others may wait some milliseconds. Where much is left, a reader looks
    at an old moment, and nothing is done under the lock.

    Returns for how many seconds the lock should still be left alone, so that whoever waits for it has seen it free; and
    whether to come again, because readers made the log too long.
    """
    free_since = time.perf_counter()
    most = _pages(link)
    _, pages, copied = link.fetch("PRAGMA wal_checkpoint(PASSIVE)")[0]
    is_begun_anew = pages <= most // 4
    if not is_begun_anew and pages - copied <= most // 8:
        held_since = time.perf_counter()
        link.run(f"PRAGMA busy_timeout={_MOMENT}")
        is_begun_anew = link.fetch("PRAGMA wal_checkpoint(RESTART)")[0][0] == 0
        link.run("PRAGMA busy_timeout=0")
        if (now := time.perf_counter()) - held_since > _BLINK:
            free_since = now
    if pages > _TOO_LONG * most and not is_begun_anew:
        return _PATIENCE, True
    return _BREATH - (time.perf_counter() - free_since), False


def _pages(link: Wire) -> int:
    """Return how many pages of this file the longest log has."""
    size: int = link.fetch("PRAGMA page_size")[0][0]
    return _LONGEST // size
