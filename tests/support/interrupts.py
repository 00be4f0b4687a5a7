"""Exceptions from outside, for tests: raised at any line of a call, or thrown into a task at any of its waits."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import sys
from collections.abc import Callable, Coroutine, Generator
from pathlib import Path
from types import FrameType
from typing import Any

import resourcekit
import resourcekit_tokens

__all__ = ["Interrupted", "TimeLimit", "at_line", "at_wait", "uncollected"]


class Interrupted(BaseException):
    """Comes from outside, as KeyboardInterrupt does."""


class TimeLimit(Exception):
    """Comes from outside, as the time limit of a job queue does, which is an ordinary exception."""


_DRIVERS = ("pymysql", "psycopg", "aiosqlite", "asyncmy", "redis")
_OURS = tuple(f"{Path(package.__file__).parent}/" for package in (resourcekit, resourcekit_tokens) if package.__file__)


def _traced() -> tuple[str, ...]:
    found = [getattr(sys.modules.get(name), "__file__", None) for name in _DRIVERS]
    return (*_OURS, *(f"{Path(file).parent}/" for file in found if file))


def at_line(
    number: int, call: Callable[[], Any], kind: type[BaseException] = Interrupted, *, within: str | tuple[str, ...] = ""
) -> tuple[str, bool]:
    """Make a call, and raise at its n-th line in the code of resourcekit or of a driver.

    within: count lines only in functions whose qualified names begin with this, or with one of these.

    Return where that was, nothing if the call has fewer lines, and whether the call itself raised it.
    """
    left, where, files = number, "", _traced()

    def trace(frame: FrameType, event: str, _argument: object) -> Any:
        nonlocal left, where
        if event == "call":
            return trace if frame.f_code.co_filename.startswith(files) else None
        if event == "line" and left > 0 and frame.f_code.co_qualname.startswith(within):
            left -= 1
            if left == 0:
                where = f"{frame.f_code.co_filename}:{frame.f_lineno} ({frame.f_code.co_qualname})"
                raise kind(where)
        return trace

    former, is_raised = sys.gettrace(), False
    try:
        sys.settrace(trace)
        call()
    except kind:
        is_raised = True
    finally:
        sys.settrace(former)
    return where, is_raised


@contextlib.contextmanager
def uncollected() -> Generator[None]:
    """Run a block without the garbage collector: what only it would let go of is held until the end of the block."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


class _Waits:
    """Awaits a coroutine, and cancels the task that does at its n-th wait."""

    def __init__(self, number: int, work: Coroutine[Any, Any, Any]) -> None:
        self._left, self._work = number, work

    def __await__(self) -> Generator[Any, Any, Any]:
        """Pass on all waits."""
        inner = self._work.__await__()
        value: Any = None
        while True:
            try:
                waited = inner.send(value)
            except StopIteration as stop:
                return stop.value
            self._left -= 1
            if self._left == 0:
                task = asyncio.current_task()
                assert task is not None
                task.cancel()
            try:
                value = yield waited
            except BaseException as error:
                try:
                    waited = inner.throw(error)
                except StopIteration as stop:
                    return stop.value
                value = yield from self._rest(inner, waited)
                return value

    def _rest(self, inner: Generator[Any, Any, Any], waited: Any) -> Generator[Any, Any, Any]:
        """Go on after an exception was thrown in."""
        while True:
            try:
                value = yield waited
            except GeneratorExit:
                inner.close()
                raise
            except BaseException as error:
                resume, given = inner.throw, error
            else:
                resume, given = inner.send, value
            try:
                waited = resume(given)
            except StopIteration as stop:
                return stop.value


async def at_wait(number: int, call: Callable[[], Coroutine[Any, Any, Any]]) -> bool:
    """Make a call in a task of its own that is cancelled at its n-th wait; return whether it came that far."""
    waits = _Waits(number, call())

    async def run() -> None:
        await waits

    await asyncio.gather(asyncio.create_task(run()), return_exceptions=True)
    return waits._left <= 0  # one module, one idea
