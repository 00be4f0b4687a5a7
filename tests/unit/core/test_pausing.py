"""Pauses: who waits, in which call mode."""

from __future__ import annotations

import asyncio
import time

import pytest

from resourcekit.actions.drive import drive, in_call_mode
from resourcekit.call_context import pause


@pytest.fixture
def waited(monkeypatch):
    """The waits that were asked for, and their lengths; none really waits."""
    found = []

    async def sleep(seconds):
        found.append(("task", seconds))

    monkeypatch.setattr(time, "sleep", lambda seconds: found.append(("thread", seconds)))
    monkeypatch.setattr(asyncio, "sleep", sleep)
    return found


def test_in_a_sync_call_the_thread_waits(waited):
    """It must not suspend, so it blocks."""
    drive(pause(0.25))

    assert [("thread", 0.25)] == waited


def test_in_an_async_call_the_task_waits(waited):
    """The loop goes on with others meanwhile."""
    asyncio.run(in_call_mode(pause(0.25)))

    assert [("task", 0.25)] == waited


@pytest.mark.parametrize("seconds", [0.0, -1.0])
def test_no_time_is_no_pause(waited, seconds):
    """Without contention there is no pause."""
    drive(pause(seconds))
    asyncio.run(in_call_mode(pause(seconds)))

    assert [] == waited
