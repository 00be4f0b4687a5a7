"""What all tests share: a data layer of each kind, and token resources on it."""

from __future__ import annotations

import gc
import os
import secrets
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from resourcekit import Domain
from resourcekit.data_layers import SQL, Memory, Redis, Repo
from resourcekit_tokens import JWT, TokenRecord, TokenResource
from tests.support import valkey
from tests.support.databases import MISSING, Database, scratch, shared


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Return one worker more than processors for ``-n auto``: many tests wait for a server or a process.

    Long tests start many processes themselves, so they have a worker for each processor.
    """
    return len(os.sched_getaffinity(0)) + (config.option.markexpr != "slow")


# While other tests write millions of rows, a commit may wait for the disk longer than the 5 seconds that a call has by default. A test of
# deadlines gives its own.
assert Repo.__init__.__kwdefaults__ is not None
Repo.__init__.__kwdefaults__["timeout"] = timedelta(seconds=30)

_OFTEN = 250
"""Tests between two freezes."""

_finished = 0


def pytest_collection_finish() -> None:
    """Take the modules and the tests themselves out of garbage collection: they are most of what there is, and they stay."""
    gc.collect()
    gc.freeze()


def pytest_runtest_logfinish() -> None:
    """Take what has lived for long out of garbage collection, too."""
    global _finished  # noqa: PLW0603  # one number for the process
    _finished += 1
    if _finished % _OFTEN == 0:
        gc.collect()
        gc.freeze()


SECRET = "a-secret-for-tests-that-is-long-enough-for-every-hash-there-is-0123456789"


@pytest.fixture(params=["memory", "sqlite"])
def layer(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Any]:
    """A function that makes a data layer; those of one test share their database."""
    tables = iter(range(1000))
    if request.param == "memory":
        return Memory
    return lambda: SQL(f"sqlite:///{tmp_path}/test.db", table=f"table_{next(tables)}")


SERVERS = [pytest.param(name, marks=pytest.mark.slow) for name in ("postgresql", "mariadb")]


@pytest.fixture(params=["memory", "sqlite", *SERVERS])
def any_layer(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Any]:
    """The same on servers, too, where slow tests run."""
    tables = iter(range(1000))
    if request.param == "memory":
        return Memory
    if request.param == "sqlite":
        return lambda: SQL(f"sqlite:///{tmp_path}/test.db", table=f"table_{next(tables)}")
    url, name = shared(request.param).url, secrets.token_hex(6)
    return lambda: SQL(url, table=f"test_{name}_{next(tables)}")


_EVERYWHERE = [*SERVERS, pytest.param("valkey", marks=pytest.mark.slow)]


@pytest.fixture(params=["memory", "sqlite", *_EVERYWHERE])
def every_layer(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Any]:
    """The same on Valkey, too: every layer that there is."""
    tables, name = iter(range(1000)), secrets.token_hex(6)
    if request.param == "memory":
        return Memory
    if request.param == "valkey":
        if valkey.binary() is None:
            pytest.skip(f"{MISSING}Valkey")
        return lambda: Redis(valkey.shared().url, tag=f"test-{name}-{next(tables)}")
    url = f"sqlite:///{tmp_path}/test.db" if request.param == "sqlite" else shared(request.param).url
    return lambda: SQL(url, table=f"test_{name}_{next(tables)}")


@pytest.fixture
def postgresql(tmp_path: Path) -> Iterator[Database]:
    """An empty place on a PostgreSQL server that others use, too."""
    with scratch("postgresql", tmp_path) as place:
        yield place


@pytest.fixture
def mariadb(tmp_path: Path) -> Iterator[Database]:
    """The same on a MariaDB server."""
    with scratch("mariadb", tmp_path) as place:
        yield place


@pytest.fixture
def declare(layer: Callable[[], Any]) -> Callable[..., Any]:
    """A function that declares a token resource with keys (``keys=False``: without), its storage made."""
    return declaring(layer)


@pytest.fixture
def declare_anywhere(any_layer: Callable[[], Any]) -> Callable[..., Any]:
    """The same on servers, too, where slow tests run."""
    return declaring(any_layer)


def declaring(layer: Callable[[], Any]) -> Callable[..., Any]:
    """Return a function that declares token resources, each on a layer of its own."""
    kept: list[Any] = []

    def make(*, keys: bool = True, **options: Any) -> Any:
        domain = Domain(f"tokens {len(kept)}")
        if keys:
            options.setdefault("jwt", JWT(SECRET))

        class Token(TokenRecord, domain=domain, data_layer=layer(), extensions=[TokenResource(**options)]):
            """A token resource of a test."""

        Token.__qualname__ = f"Token{len(kept)}"
        domain.create_storage()
        kept.append((domain, Token))
        return Token

    return make


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say at the end what could not run because a server is missing, and why."""
    missing: defaultdict[str, int] = defaultdict(int)
    for report in terminalreporter.getreports("skipped"):
        reason = report.longrepr[2].removeprefix("Skipped: ") if isinstance(report.longrepr, tuple) else ""
        if reason.startswith(MISSING) or reason.endswith("is missing"):
            missing[reason.removeprefix(MISSING)] += 1
    if missing:
        terminalreporter.section("could not run")
    for reason, count in sorted(missing.items()):
        terminalreporter.line(f"{count} tests: {reason}")
