"""What walks share: places, and processes that work there."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from places import Place, somewhere
from racers import race
from workers import Worker

from tests.support import valkey


@pytest.fixture(scope="session")
def valkeys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], tuple[str, ...]]]:
    """Return a function that gives the URLs of a Valkey server, or of a cluster, of this run; started when first asked for."""
    running: dict[str, list[valkey.Valkey]] = {}

    def give(kind: str) -> tuple[str, ...]:
        if kind not in running:
            if valkey.binary() is None:
                (pytest.fail if os.environ.get("CI") else pytest.skip)("a Valkey server is missing")
            folder = tmp_path_factory.mktemp(kind)
            running[kind] = valkey.cluster(folder) if kind == "cluster" else [valkey.Valkey(folder).start()]
        return tuple(node.url for node in running[kind])

    yield give
    for nodes in running.values():
        for node in nodes:
            node.stop()


@pytest.fixture
def settle(tmp_path: Path, valkeys: Any) -> Iterator[Callable[[str], Place]]:
    """A function that gives an empty place of a kind."""
    with ExitStack() as stack:
        yield lambda kind: stack.enter_context(somewhere(kind, tmp_path, valkeys))


@pytest.fixture
def place(request: pytest.FixtureRequest, settle: Callable[[str], Place]) -> Place:
    """An empty place; its kind is given by the test."""
    return settle(request.param)


@pytest.fixture
def workers(place: Place) -> Iterator[Callable[[int], list[Worker]]]:
    """Start processes that race there; they end with the test."""
    started: list[Worker] = []

    def start(count: int) -> list[Worker]:
        new = [Worker(race, place) for _ in range(count)]
        started.extend(new)
        for racer in new:
            racer.send("ping:")
        assert ["won"] * count == [racer.answer() for racer in new]
        return new

    yield start
    for racer in started:
        racer.close()
