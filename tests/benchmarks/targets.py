"""Where a sweep is measured: a kind of database, and how its tables come to hold a million rows that are due."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

import blacklist
import peers
import server_databases as servers
from plan import Run

__all__ = ["MariaTarget", "PostgresTarget", "SQLiteTarget", "Target", "command"]

_PROGRAM = Path(__file__).with_name("sweeping.py")

_ROWS = (
    "INSERT INTO tokens (jti, subject, purpose, expires_at, revoked_at, revocation_reason, created_at, updated_at) "
    "SELECT md5({text}), concat('user-', {number} % 200000 * 7919 % 200000, '@example.com'), 'revocation', "
    "CASE WHEN {number} <= {expired} THEN {now} + interval {past} ELSE {now} + interval {future} END, {now}, 'revoked', {now}, {now} "
    "FROM {numbers} ORDER BY {order}"
)
"""Expired and live rows, and the subjects, lie scattered over the table, as they do after a year in production."""


def command(side: str, url: str) -> dict[str, Any]:
    """Return how one side is run in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return {"args": [sys.executable, str(_PROGRAM), side, url], "env": environment, "text": True}


def _make_storage(side: str, url: str) -> None:
    """Make tables in a process that leaves no connection open."""
    subprocess.run(**command(side, url), check=True, stdout=subprocess.PIPE)


class Target(ABC):
    """A kind of database. Each sweep finds tables that hold the same."""

    name: str

    def __init__(self, run: Run) -> None:
        self.run = run

    @abstractmethod
    def ours(self) -> AbstractContextManager[str]:
        """Return a block with the URL of a database that holds a filled table of a token resource."""

    def theirs(self) -> AbstractContextManager[str]:
        """Return a block with the URL of a database that holds a blacklist of as many tokens."""
        raise NotImplementedError

    def settle(self, url: str) -> None:  # noqa: B027  # nothing to do, unless a target says otherwise
        """Let the database write what filling it has left to be written, before others are watched."""


class SQLiteTarget(Target):
    """Files, copied from ones that are made once."""

    name = "SQLite"

    def ours(self) -> AbstractContextManager[str]:
        sizes = self.run.sizes
        made = self.run.made("swept.db", lambda path: peers.make_tables(path, peers.jtis(sizes.swept), expired=sizes.expired))
        return _copied(made)

    def theirs(self) -> AbstractContextManager[str]:
        blacklist.use(self.run)
        sizes = self.run.sizes
        revoked = peers.jtis(sizes.swept)
        return _copied(self.run.made("flushed.db", lambda path: blacklist.make_tables(path, revoked, expired=sizes.expired)))


@contextmanager
def _copied(template: Path) -> Iterator[str]:
    path = template.with_name(f"copy-of-{template.name}")
    _remove(path)
    shutil.copyfile(template, path)
    with path.open("rb") as file:  # the copy's own pages must not be written to the disk while something is timed
        os.fsync(file.fileno())
    yield f"sqlite:///{path}"
    _remove(path)


def _remove(path: Path) -> None:
    for left in path.parent.glob(f"{path.name}*"):
        left.unlink()


class PostgresTarget(Target):
    """Databases copied from one that is filled once, by the server itself."""

    name = "PostgreSQL"

    def __init__(self, run: Run, stack: ExitStack) -> None:
        super().__init__(run)
        self._template = stack.enter_context(servers.empty("postgresql"))
        _make_storage("storage", self._template)
        moments = {"now": "now()", "past": "'-1 day'", "future": "'14 days'"}
        numbers = f"generate_series(1, {run.sizes.swept}) AS n"
        rows = _ROWS.format(
            text="n::text", number="n", expired=run.sizes.expired, numbers=numbers, order="md5(n::text)", **moments
        )
        servers.run_sql(self._template, rows, "VACUUM ANALYZE")  # as autovacuum leaves it sooner or later

    def ours(self) -> AbstractContextManager[str]:
        return servers.empty("postgresql", self._template)

    def settle(self, url: str) -> None:
        servers.run_sql(url, "CHECKPOINT")

    @contextmanager
    def theirs(self) -> Iterator[str]:
        sizes = self.run.sizes
        with servers.empty("postgresql") as url:
            _make_storage("migrate", url)
            into = "INSERT INTO token_blacklist_"
            servers.run_sql(
                url,
                f"{into}outstandingtoken (id, jti, token, created_at, expires_at) SELECT n, md5(n::text), '{peers.a_token()}', now(), "
                f"now() + CASE WHEN n <= {sizes.expired} THEN interval '-1 day' ELSE interval '14 days' END "
                f"FROM generate_series(1, {sizes.swept}) AS n",
                f"{into}blacklistedtoken (id, token_id, blacklisted_at) "
                f"SELECT n, n, now() FROM generate_series(1, {sizes.swept}) AS n",
                "VACUUM ANALYZE",
            )
            yield url


class MariaTarget(Target):
    """A database that is filled for each sweep, by the server itself, in the order of the key."""

    name = "MariaDB"

    @contextmanager
    def ours(self) -> Iterator[str]:
        sizes = self.run.sizes
        with servers.empty("mariadb") as url:
            _make_storage("storage", url)
            moments = {"now": "utc_timestamp(6)", "past": "-1 DAY", "future": "14 DAY"}
            numbers = f"seq_1_to_{sizes.swept}"
            rows = _ROWS.format(text="seq", number="seq", expired=sizes.expired, numbers=numbers, order="1", **moments)
            indexes = ("subject", "family")
            servers.run_sql(
                url,
                "ALTER TABLE tokens " + ", ".join(f"DROP INDEX tokens_by_{each}" for each in indexes),
                rows,
                # Made at the end, as a restored dump has them: row by row it would take ten times as long.
                "ALTER TABLE tokens " + ", ".join(f"ADD INDEX tokens_by_{each} ({each}(191))" for each in indexes),
            )
            yield url
