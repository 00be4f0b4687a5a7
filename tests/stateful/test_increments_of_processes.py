"""Processes that increment one record at the same time lose no step, in whatever way they write, on every store they can share."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from counters import WAYS, count_up, declare
from places import SHARED, Place
from workers import Worker

from resourcekit import get


@pytest.fixture(params=SHARED)
def place(request: pytest.FixtureRequest, settle: Callable[[str], Place]) -> Place:
    """A store that processes can share."""
    return settle(request.param)


@pytest.fixture
def counters(place: Place) -> Iterator[list[Worker]]:
    """Three processes at that place."""
    declare(place).add(id=1)
    started = [Worker(count_up, place) for _ in range(3)]
    assert ["ready"] * 3 == [each.answer() for each in started]
    yield started
    for each in started:
        each.close()


def test_no_increment_of_a_process_is_lost(place: Place, counters: list[Worker]) -> None:
    """Three processes write side by side, first all in one way, then each in another one; the record counts each step once."""
    times, counter = 40, declare(place)
    ways = [*([way] * 3 for way in WAYS), ["audited", "bulk", "upsert"], ["async audited", "audited bulk", "update"]]
    for number, several in enumerate(ways, 1):
        for worker, way in zip(counters, several, strict=True):
            worker.send(f"{way} {times}")

        assert ["done"] * 3 == [worker.answer() for worker in counters], several
        assert number * 3 * times == get(counter, 1).count, several
