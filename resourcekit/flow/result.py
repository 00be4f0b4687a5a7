"""What comes back from a write of many, as plain values; they know nobody."""

from __future__ import annotations

import enum
from typing import Any, Generic, TypeVar

import attrs

__all__ = ["BulkFailure", "BulkResult", "Outcome", "WriteFailure", "WriteResult"]

R_co = TypeVar("R_co", covariant=True)


class Outcome(enum.Enum):
    """What became of one row of an insert."""

    INSERTED = "inserted"
    UPDATED = "updated"
    SKIPPED = "skipped"
    FAILED = "failed"


@attrs.frozen
class WriteFailure:
    """A row that a data layer refused: its index in the input (from 0) and why."""

    index: int
    error: Exception


@attrs.frozen
class WriteResult:
    """What a data layer did.

    count: rows inserted, updated or deleted; skipped and failed ones do not count.
    rows: the rows as they stand now, where the plan asked for them; for an insert in the order of the input, without
        skipped and failed ones.
    outcomes: for an insert, one a row of the input.
    failures: rows that were refused; the others are written.
    """

    count: int
    rows: tuple[dict[str, Any], ...] = ()
    outcomes: tuple[Outcome, ...] = ()
    failures: tuple[WriteFailure, ...] = ()


@attrs.frozen
class BulkFailure:
    """One input of a bulk action that was not written: its index (from 0) and the error it would have raised alone."""

    index: int
    error: Exception


@attrs.frozen
class BulkResult(Generic[R_co]):
    """What a bulk action did.

    count: records written, and only those.
    records: the records as they stand now, where the caller asked for them, in the order of the input.
    failures: one entry for each input that was not written.
    """

    count: int
    records: tuple[R_co, ...] = ()
    failures: tuple[BulkFailure, ...] = ()
