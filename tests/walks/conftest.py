"""What walks share: processes that work on one file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from racers import Racer


@pytest.fixture
def crew(tmp_path: Path) -> Iterator[Callable[[int], list[Racer]]]:
    """Start processes on one file; they end with the test."""
    started: list[Racer] = []

    def start(count: int) -> list[Racer]:
        new = [Racer(f"{tmp_path}/races.db") for _ in range(count)]
        started.extend(new)
        for racer in new:
            racer.send("ping")
        assert ["won"] * count == [racer.answer() for racer in new]
        return new

    yield start
    for racer in started:
        racer.close()
