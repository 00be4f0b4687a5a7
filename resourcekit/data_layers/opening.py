"""A connection that one thread opens while another thread waits for it.

A maintainer opens it to change how a deadline limits connecting. Drivers accept connect timeouts of whole seconds only, and
none of them limits the time of a name lookup.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextvars import copy_context
from typing import Generic, TypeVar

from resourcekit.call_context import Deadline
from resourcekit.errors import Timeout

__all__ = ["Opening"]

T = TypeVar("T")


class Opening(Generic[T]):
    """Run ``work`` in a thread of its own, and hand its result to the waiting thread.

    unclaimed: called once if the waiting thread does not use the result: with the result if it came too late, else with ``None``.
    """

    def __init__(self, work: Callable[[], T], unclaimed: Callable[[T | None], object]) -> None:
        self._work, self._unclaimed = work, unclaimed
        self._context = copy_context()
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._is_given_up = False
        self._result: T | None = None
        self._error: BaseException | None = None
        threading.Thread(target=self._run, name="resourcekit connects", daemon=True).start()

    def _run(self) -> None:
        try:
            self._result = self._context.run(self._work)
        except BaseException as error:  # raised in the waiting thread
            self._error = error
        with self._lock:
            self._done.set()
            is_given_up = self._is_given_up
        if is_given_up:
            self._unclaimed(self._result)

    def wait(self, deadline: Deadline, message: str) -> T:
        """Return the result. Raise the error of the other thread, or Timeout with this message at the deadline."""
        try:
            self._done.wait(deadline.remaining())
        except BaseException:  # raised from outside, as by a signal
            if not self._give_up():
                self._unclaimed(self._result)
            raise
        if self._give_up():
            raise Timeout(message)
        if self._error is not None or self._result is None:
            self._unclaimed(None)
            raise self._error or Timeout(message)
        return self._result

    def _give_up(self) -> bool:
        """Stop waiting. Return true if the other thread has no result yet; it will then pass its result to ``unclaimed``."""
        with self._lock:
            self._is_given_up = not self._done.is_set()
            return self._is_given_up
