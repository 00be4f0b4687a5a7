"""The results of a bulk action, gathered input by input."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from operator import le
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
        # Two lists in place of pairs: 10,000 pairs that live on make the garbage collector look at the whole heap more often.
        self._indexes: list[int] = []
        self._records: list[Any] = []
        self.failures: list[BulkFailure] = []

    def add(self, index: int, record: Any) -> None:
        """Add the record of one input."""
        self._indexes.append(index)
        self._records.append(record)

    def add_all(self, indexes: Iterable[int], records: Iterable[Any]) -> None:
        """Add the records of several inputs, one for each index."""
        self._indexes.extend(indexes)
        self._records.extend(records)

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
        assert len(self._indexes) == len(self._records)
        pairs = zip(self._indexes, self._records, strict=True)
        is_in_order = all(map(le, self._indexes, self._indexes[1:]))
        records = self._records if is_in_order else [record for _, record in sorted(pairs, key=lambda pair: pair[0])]
        return BulkResult(self.count, tuple(records), tuple(sorted(self.failures, key=lambda failure: failure.index)))
