"""Moments and durations that Python's types cannot hold, for comparisons: the year 10000, a million years."""

from __future__ import annotations

import operator
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs

__all__ = ["Far", "far_result"]

_START = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_SUMS: dict[str, Callable[[int, int], int]] = {"+": operator.add, "-": operator.sub}


def far_result(op: str, one: Any, other: Any) -> Far:
    """Return the sum or difference of two moments or durations. Raise OverflowError for other values."""
    if op not in _SUMS or not all(isinstance(each, (datetime, timedelta, Far)) for each in (one, other)):
        raise OverflowError
    moments = [_is_moment(one), _is_moment(other)]
    return Far(_SUMS[op](_microseconds(one), _microseconds(other)), is_moment=moments in ([True, False], [False, True]))


def _is_moment(value: Any) -> bool:
    return value.is_moment if isinstance(value, Far) else isinstance(value, datetime)


def _microseconds(value: Any) -> int:
    if isinstance(value, Far):
        return value.microseconds
    return int((value - _START if isinstance(value, datetime) else value) // _MICROSECOND)


@attrs.frozen(eq=False)
class Far:
    """A moment (counted from 1970) or a duration. It is compared with datetimes and timedeltas, and cannot be stored."""

    microseconds: int
    is_moment: bool = attrs.field(kw_only=True)

    def __eq__(self, other: object) -> bool:
        """Compare by the number of microseconds."""
        return isinstance(other, (Far, datetime, timedelta)) and self.microseconds == _microseconds(other)

    def __hash__(self) -> int:
        """Hash by the number of microseconds."""
        return hash(self.microseconds)

    def __lt__(self, other: Any) -> bool:
        """Compare by the number of microseconds."""
        return self.microseconds < _microseconds(other)

    def __le__(self, other: Any) -> bool:
        """Compare by the number of microseconds."""
        return self.microseconds <= _microseconds(other)

    def __gt__(self, other: Any) -> bool:
        """Compare by the number of microseconds."""
        return self.microseconds > _microseconds(other)

    def __ge__(self, other: Any) -> bool:
        """Compare by the number of microseconds."""
        return self.microseconds >= _microseconds(other)

    def __add__(self, other: Any) -> Far:
        """Return the sum."""
        return far_result("+", self, other)

    def __radd__(self, other: Any) -> Far:
        """Return the sum."""
        return far_result("+", other, self)

    def __sub__(self, other: Any) -> Far:
        """Return the difference."""
        return far_result("-", self, other)

    def __rsub__(self, other: Any) -> Far:
        """Return the difference."""
        return far_result("-", other, self)
