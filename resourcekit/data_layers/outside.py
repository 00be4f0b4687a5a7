"""A block whose calls are no part of the open transaction. It knows no store."""

from __future__ import annotations

from contextlib import AbstractContextManager
from contextvars import ContextVar
from types import TracebackType
from typing import Generic, TypeVar

__all__ = ["Outside"]

T = TypeVar("T")


class Outside(AbstractContextManager[None], Generic[T]):
    """``with``: the ambient transaction is put aside, and comes back at the end of the block."""

    __slots__ = ("_ambient", "_aside", "_before")

    def __init__(self, ambient: ContextVar[T], aside: T) -> None:
        self._ambient, self._aside = ambient, aside

    def __enter__(self) -> None:
        """Put it aside."""
        self._before = self._ambient.get()
        self._ambient.set(self._aside)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Take it up again."""
        self._ambient.set(self._before)
