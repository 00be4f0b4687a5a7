"""The time limit of a conformance test: a test that hangs fails with its name and the lines at which it waits."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import signal
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Coroutine, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from types import FrameType
from typing import Any, ParamSpec, TypeVar

import pytest

from resourcekit.call_context import CallMode, drive, in_call_mode

__all__ = ["DaemonThreads", "SuiteRunner", "accept_former_name"]

T = TypeVar("T")
P = ParamSpec("P")

_REPEAT_S = 5.0
"""Seconds after which the interruption is repeated, if a layer swallowed it."""

_SHOWN_FRAMES = 8


class DaemonThreads(ThreadPoolExecutor):
    """An executor whose threads do not keep the process alive, so that one that hangs ends with the test run."""

    def __init__(self) -> None:
        super().__init__(1)
        self._work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._idle = threading.Semaphore(0)
        self._started = 0

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run a function in an idle thread, or in a new one."""
        future: Future[T] = Future()

        def run() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(fn(*args, **kwargs))
            except BaseException as error:
                future.set_exception(error)

        self._work.put(run)
        if not self._idle.acquire(blocking=False):
            self._started += 1
            threading.Thread(target=self._serve, name="resourcekit test", daemon=True).start()
        return future

    def _serve(self) -> None:
        while (run := self._work.get()) is not None:
            run()
            self._idle.release()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT002  # the signature of the base
        """End the threads once their work is done, without waiting for them."""
        del wait, cancel_futures
        for _ in range(self._started):
            self._work.put(None)


class SuiteRunner:
    """Runs the coroutines of one test, sync or async, until its time limit.

    The limit uses SIGALRM, so it is enforced only in the main thread of a POSIX system.
    """

    def __init__(self, call_mode: CallMode, name: str, timeout: timedelta) -> None:
        self._call_mode, self._name, self._timeout = call_mode, name, timeout
        # One loop per test: connections belong to the loop in which they were opened.
        self._runner = asyncio.Runner()
        self._runner.get_loop().set_default_executor(DaemonThreads())
        self._ends_at: float | None = None
        self.has_hung = False

    def __call__(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end. Fail with the name of the test once its time is over."""
        with self._limited():
            return self.unlimited(work)

    def unlimited(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end, without a time limit."""
        return drive(work) if self._call_mode is CallMode.SYNC else self._runner.run(in_call_mode(work))

    def close(self) -> None:
        """Close the loop. After a test that hung it stays open: its tasks would hang here too."""
        if not self.has_hung:
            self._runner.close()
        else:
            _abandoned.append(self._runner)

    @contextlib.contextmanager
    def _limited(self) -> Generator[None]:
        if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
            yield
            return
        begun = time.monotonic()
        self._ends_at = self._ends_at or begun + self._timeout.total_seconds()
        former = signal.signal(signal.SIGALRM, self._interrupt)
        left, repeated = signal.setitimer(signal.ITIMER_REAL, max(0.001, self._ends_at - begun), _REPEAT_S)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, former)
            if left:  # another time limit, such as that of pytest-timeout
                signal.setitimer(signal.ITIMER_REAL, max(0.001, left - (time.monotonic() - begun)), repeated)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        del number
        self.has_hung = True
        lines = [f"{self._name} hangs: it has not ended after {self._timeout} (time_limit).", *_where(frame)]
        if self._call_mode is CallMode.ASYNC:
            for task in asyncio.all_tasks(self._runner.get_loop()):
                lines += ["", f"A task of the test waits in, outermost first ({task.get_name()}):", *_awaited(task.get_coro())]
        pytest.fail("\n".join(lines), pytrace=False)


_abandoned: list[asyncio.Runner] = []
"""Loops with a task that hangs. They are kept, so that they are not collected with a pending task."""


def _where(frame: FrameType | None) -> Iterator[str]:
    """Yield the stacks of the main thread and of the threads that the test started."""
    yield "The main thread is in:"
    yield from _lines(frame)
    names = {thread.ident: thread.name for thread in threading.enumerate() if thread is not threading.main_thread()}
    for number, other in sys._current_frames().items():  # noqa: SLF001  # documented, and the only way
        if number in names:
            yield from ("", f"The thread {names[number]!r} is in:")
            yield from _lines(other)


def _lines(frame: FrameType | None) -> list[str]:
    return [line.rstrip() for line in traceback.format_stack(frame)[-_SHOWN_FRAMES:]]


def _awaited(work: Any) -> Iterator[str]:
    """Yield the frames of a coroutine and of all that it awaits."""
    while work is not None:
        frame = getattr(work, "cr_frame", None) or getattr(work, "ag_frame", None)
        if frame is not None:
            yield traceback.format_stack(frame, limit=1)[-1].rstrip()
        work = getattr(work, "cr_await", None) or getattr(work, "ag_await", None)


def accept_former_name(suite: Any) -> None:
    """Take the time limit of a test class from ``law_timeout``, its name before 0.2, and warn."""
    if "law_timeout" in vars(suite):
        warnings.warn(f"{suite.__name__}.law_timeout is now time_limit", DeprecationWarning, stacklevel=3)
        suite.time_limit = suite.law_timeout
