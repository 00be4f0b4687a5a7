"""Children of a fork, for tests: each runs a function and returns its result or its error."""

from __future__ import annotations

import os
import pickle
import signal
import traceback
import warnings
from collections.abc import Callable, Sequence
from typing import Any

__all__ = ["in_children"]

_TIME_LIMIT = 120
"""Seconds of real time after which a child ends itself."""


def in_children(*works: Callable[[], Any]) -> list[Any]:
    """Run each function in a child of its own, all at once, and return what they return; an error becomes its text."""
    children = [_fork(work) for work in works]
    results = []
    for pid, reader in children:
        with os.fdopen(reader, "rb") as pipe:
            result = pipe.read()
        os.waitpid(pid, 0)
        results.append(pickle.loads(result) if result else "the child died")
    return results


def _fork(work: Callable[[], Any]) -> tuple[int, int]:
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # a fork of a process with threads is what is tested
        pid = os.fork()
    if pid:
        os.close(writer)
        return pid, reader
    try:  # in the child: nothing may get past the end of this block
        signal.alarm(_TIME_LIMIT)
        os.close(reader)
        try:
            result: Any = work()
        except BaseException:
            result = traceback.format_exc()
        with os.fdopen(writer, "wb") as pipe:
            pickle.dump(result, pipe)
    finally:
        os._exit(0)


def all_done(results: Sequence[Any]) -> bool:
    """Return whether no child failed."""
    return not any(isinstance(result, str) for result in results)
