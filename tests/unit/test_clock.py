"""The system's clock on a machine that sleeps, and what that does to waits."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from resourcekit.clock import Clock
from resourcekit.testing import ManualClock

HOUR = 3600.0


class Laptop(Clock):
    """The clock of a machine that sleeps for an hour in the first wait; ``awake`` is the time that its waits count by."""

    def __init__(self) -> None:
        self.awake = self.asleep = 0.0

    def monotonic(self) -> float:
        """Seconds, awake or asleep."""
        return self.awake + self.asleep

    def stay_awake(self, seconds: float) -> None:
        """Let a wait of the system's pass, in which the lid is closed once."""
        self.awake += seconds
        self.asleep = HOUR


class Event(threading.Event):
    """An event that is never set, whose waits pass on a laptop."""

    def __init__(self, laptop: Laptop) -> None:
        super().__init__()
        self.laptop = laptop

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self.laptop.stay_awake(timeout)
        return self.is_set()


class Loop(asyncio.SelectorEventLoop):
    """A loop that lives on a laptop: it never waits in real time, and counts as loops do, awake."""

    def __init__(self, laptop: Laptop) -> None:
        super().__init__()
        select = self._selector.select

        def pass_time(timeout: float | None) -> object:
            if timeout:
                laptop.stay_awake(timeout)
            return select(0)

        self.time, self._selector.select = lambda: laptop.awake, pass_time


def wait_in_a_thread(laptop: Laptop, moment: float) -> bool:
    """Wait until then by an event of a thread."""
    return laptop.wait_until(Event(laptop), moment)


def wait_in_a_task(laptop: Laptop, moment: float) -> bool:
    """Wait until then by an event of a task."""
    with asyncio.Runner(loop_factory=lambda: Loop(laptop)) as runner:
        return runner.run(laptop.wait_until_async(asyncio.Event(), moment))


@pytest.mark.parametrize("wait", [wait_in_a_thread, wait_in_a_task])
def test_a_wait_ends_soon_after_the_machine_woke_past_its_moment(wait):
    """Waits of the system do not count sleep; a wait of one hour that is slept through takes half a minute more at most."""
    laptop = Laptop()

    assert not wait(laptop, HOUR)
    assert laptop.awake <= 30.0


@pytest.mark.parametrize("wait", [wait_in_a_thread, wait_in_a_task])
def test_a_wait_is_as_long_as_it_should_be(wait):
    """Many looks, and the last one ends at the moment, not later."""
    laptop = Laptop()
    wait(laptop, 2 * HOUR + 10)

    assert 2 * HOUR + 10 == pytest.approx(laptop.monotonic())


def test_an_event_ends_a_wait_at_once():
    """Set before or meanwhile, in a thread and in a task; the longest wait there is can be asked for."""

    async def wait() -> bool:
        event = asyncio.Event()
        asyncio.get_running_loop().call_soon(event.set)
        return await Clock().wait_until_async(event, float("inf"))

    event = threading.Event()
    threading.Timer(0.01, event.set).start()

    assert Clock().wait_until(event, float("inf"))
    assert asyncio.run(wait())


@pytest.mark.skipif(not hasattr(time, "CLOCK_BOOTTIME"), reason="this system has no CLOCK_BOOTTIME")
def test_monotonic_time_counts_sleep():
    """On Linux it is the clock that goes on in sleep, which time.monotonic() does not."""
    before = time.clock_gettime(time.CLOCK_BOOTTIME)

    assert before <= Clock().monotonic() <= time.clock_gettime(time.CLOCK_BOOTTIME)


def test_a_clock_moved_by_hand_goes_on_from_the_system_s():
    """What was begun before it came into force lies in its past."""
    before = Clock().monotonic()

    assert before <= ManualClock().monotonic() <= Clock().monotonic()
