"""A second process that binds the layer of a conformance test, and that the test may kill."""

from __future__ import annotations

import multiprocessing
import os
import signal
import traceback
import warnings
from collections.abc import Callable, Coroutine
from datetime import timedelta
from multiprocessing.connection import Connection
from typing import Any, Literal

from resourcekit.call_context import CallMode
from resourcekit.data_layers.base import DataLayer
from resourcekit.resource_info import ResourceInfo
from resourcekit.testing.conformance.harness import Harness
from resourcekit.testing.conformance.samples import SAMPLE
from resourcekit.testing.conformance.time_limit import SuiteRunner

__all__ = ["ProcessDied", "SecondProcess", "Send", "Work"]

Send = Callable[[object], None]
"""Sends a value to the first process immediately."""

Work = Callable[..., Coroutine[Any, Any, object]]
"""``async def work(harness, send, *values)`` of a module. The other process gets its name, not the function."""

_LONGEST_LIFE_S = 900
"""Seconds after which a process ends that the test run left behind."""


class ProcessDied(Exception):  # used only between two processes of one test
    """The other process ended without an answer."""


class SecondProcess:
    """A process of its own with the same declaration, bound when its first work begins.

    It must be started before the test opens anything: a fork shares open connections, and drivers do not support that.
    """

    def __init__(self, layer: DataLayer, call_mode: CallMode, start_method: Literal["fork", "spawn"]) -> None:
        processes = multiprocessing.get_context(start_method)
        self._here, there = processes.Pipe()
        arguments = (there, layer, call_mode)
        self._process = processes.Process(target=_serve, args=arguments, daemon=True)  # type: ignore[attr-defined]  # of both methods
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # the other threads hold nothing of the layer
            self._process.start()
        there.close()

    def call(self, work: Work, *values: object) -> Any:
        """Run a function in the other process, and return its result."""
        self.begin(work, *values)
        return self.result()

    def begin(self, work: Work, *values: object) -> None:
        """Start a function in the other process."""
        self._here.send((work, values))

    def received(self) -> Any:
        """Return the next value that the function sends.

        Raises:
            ProcessDied: The process ended.
            AssertionError: The function raised; the text is its traceback.
        """
        try:
            kind, value = self._here.recv()
        except (EOFError, ConnectionError):
            self._process.join()
            raise ProcessDied(self._process.exitcode) from None
        assert kind != "error", f"in the second process:\n{value}"
        return value

    result = received

    def kill(self) -> None:
        """Send SIGKILL, and wait for the end."""
        self._process.kill()
        self._process.join()

    def stop(self) -> None:
        """End the process, even during a function."""
        self.kill()
        self._here.close()
        self._process.close()


def _serve(pipe: Connection, layer: DataLayer, call_mode: CallMode) -> None:
    """Run the functions that the pipe names, until it is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "alarm"):
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(_LONGEST_LIFE_S)
    run = SuiteRunner(call_mode, "the second process", timedelta(0))
    harness: Harness | None = None

    async def bind(info: ResourceInfo) -> Harness:
        return Harness(layer.bind(info), call_mode, run.unlimited, bind)

    try:
        while True:
            work, values = pipe.recv()
            try:
                harness = harness or run.unlimited(bind(SAMPLE))
                answer = "result", run.unlimited(work(harness, lambda value: pipe.send(("sent", value)), *values))
            except BaseException:
                answer = "error", traceback.format_exc()
            pipe.send(answer)
    except (EOFError, OSError):
        pass
    finally:  # exit functions and finalizers of the first process must not run here
        os._exit(0)
