from __future__ import annotations

from collections.abc import Iterator
from queue import Queue

import pytest
from supervised import START

from resourcekit.supervisor import ServiceStatus
from resourcekit.testing.clock import ManualClock


@pytest.fixture
def clock() -> Iterator[ManualClock]:
    """A clock that the test moves by hand."""
    with ManualClock(START) as moved:
        yield moved


@pytest.fixture
def runs() -> Queue[ServiceStatus]:
    """The runs that ended, as ``on_run`` gets them."""
    return Queue()
