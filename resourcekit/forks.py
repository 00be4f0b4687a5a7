"""Locks that are free in the child of a fork.

A maintainer uses it for every lock that a thread may hold while another thread forks the process: the thread does not exist in
the child, and would never release it there.
"""

from __future__ import annotations

import os
import weakref
from typing import Any, TypeVar

__all__ = ["free_after_fork"]

L = TypeVar("L")

_locks: weakref.WeakSet[Any] = weakref.WeakSet()


def free_after_fork(lock: L) -> L:
    """Return a lock, an RLock or a Lock, which will be free in the child of a fork.

    An RLock that the forking thread itself holds stays held in the child.
    """
    _locks.add(lock)
    return lock


def _after_fork_in_child() -> None:
    for lock in list(_locks):
        is_owned = getattr(lock, "_is_owned", None)
        if is_owned is None or not is_owned():
            lock._at_fork_reinit()  # noqa: SLF001  # as Python's own threading module does; there is no public way


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
