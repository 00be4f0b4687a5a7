"""The results of a bulk action, gathered input by input."""

from __future__ import annotations

from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any

from resourcekit.results import BulkFailure, BulkResult
from resourcekit.signals import require_no_signal

__all__ = ["Accumulator"]


class _Failing(AbstractContextManager[None]):
    """``with``: notes an error as the failure of one input. A class: an exception from outside would break a generator."""

    __slots__ = ("_but", "_failures", "_index")

    def __init__(self, failures: list[BulkFailure], index: int, but: type[Exception] | tuple[()]) -> None:
        self._failures, self._index, self._but = failures, index, but

    def __enter__(self) -> None:
        """Do nothing."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> bool:
        """Note an error."""
        if not isinstance(error, Exception) or isinstance(error, self._but):
            return False
        require_no_signal(error)
        self._failures.append(BulkFailure(self._index, error))
        return True


class Accumulator:
    """The results of a bulk action so far: count, records, failures."""

    def __init__(self) -> None:
        self.count = 0
        self.records: list[tuple[int, Any]] = []
        self.failures: list[BulkFailure] = []

    def failing(self, index: int, *, but: type[Exception] | tuple[()] = ()) -> AbstractContextManager[None]:
        """Record an error that is raised inside as the failure of one input, as the input alone would raise it.

        but: errors that are raised on, because they are not of this input only.
        """
        return _Failing(self.failures, index, but)

    def has_failed(self, index: int) -> bool:
        """Return whether an input failed."""
        return any(failure.index == index for failure in reversed(self.failures))

    def result(self) -> BulkResult[Any]:
        """Return the result for the caller, in the order of the inputs."""
        records = tuple(record for _, record in sorted(self.records, key=lambda pair: pair[0]))
        return BulkResult(self.count, records, tuple(sorted(self.failures, key=lambda failure: failure.index)))
