"""The results of writes, and the notification that a notifier receives after a commit, as plain values."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, Literal, NoReturn, TypeVar

import attrs

from resourcekit.errors import Misuse
from resourcekit.known_names import KnownNames

__all__ = ["BulkFailure", "BulkResult", "Notification", "Outcome", "Page", "WriteFailure", "WriteResult", "Written"]

R_co = TypeVar("R_co", covariant=True)


class Outcome(enum.Enum):
    """The outcome of one row of an insert."""

    INSERTED = "inserted"
    UPDATED = "updated"
    SKIPPED = "skipped"
    FAILED = "failed"


@attrs.frozen
class WriteFailure:
    """A row that a data layer refused: its index in the input (from 0) and the error."""

    index: int
    error: Exception


@attrs.frozen
class WriteResult:
    """The result of a write of a data layer.

    count: rows inserted, updated or deleted, without skipped and failed ones.
    rows: the rows after the write, if the plan requested them; for an insert in the order of the input, without skipped and
        failed ones.
    outcomes: for an insert, one per row of the input.
    failures: rows that were refused; the others are written.
    """

    count: int
    rows: tuple[dict[str, Any], ...] = ()
    outcomes: tuple[Outcome, ...] = ()
    failures: tuple[WriteFailure, ...] = ()


@attrs.frozen
class Written(KnownNames, Generic[R_co]):
    """The result of an action that may update a stored record.

    record: the record as it is stored now; the existing one if the write was skipped.
    outcome: "skipped" if the record exists and the action leaves it unchanged.
    """

    record: R_co
    outcome: Literal["inserted", "updated", "skipped"]


@attrs.frozen
class BulkFailure(KnownNames):
    """One input of a bulk action that was not written: its index (from 0) and the error that it would raise on its own."""

    index: int
    error: Exception


@attrs.frozen
class BulkResult(KnownNames, Generic[R_co]):
    """The result of a bulk action.

    count: the number of records written.
    records: the records after the write, if the caller requested them, in the order of the input.
    failures: one entry for each input that was not written.
    """

    count: int
    records: tuple[R_co, ...] = ()
    failures: tuple[BulkFailure, ...] = ()


@attrs.frozen
class Page(KnownNames, Generic[R_co]):
    """A part of the records of a query, in its order.

    records: at most ``limit`` of them.
    has_next, has_previous: whether the query has records after, or before, those of this page, when it was read.
    start_cursor, end_cursor: for ``before=`` and ``after=`` of another page; ``None`` if the page is empty. A page by ``offset``
        has none if the order uses attributes that cursors may not show.
    count: the number of records of the whole query, if the caller asked for it.
    """

    records: tuple[R_co, ...]
    has_next: bool = attrs.field(kw_only=True)
    has_previous: bool = attrs.field(kw_only=True)
    start_cursor: str | None = attrs.field(default=None, kw_only=True)
    end_cursor: str | None = attrs.field(default=None, kw_only=True)
    count: int | None = attrs.field(default=None, kw_only=True)

    if not TYPE_CHECKING:  # type checkers refuse these anyway

        def _refused(self, *_: object) -> NoReturn:
            raise Misuse("a page is no list; its records are page.records, and the next page is page(..., after=page.end_cursor)")

        __iter__ = __getitem__ = __contains__ = _refused


@attrs.frozen(kw_only=True)
class Notification(KnownNames):
    """One action was committed.

    resource: the resource class.
    action: the name of the action.
    kind: ``"create"``, ``"update"`` or ``"destroy"``.
    record: the record as written; for a destroy, its last state.
    actor: the actor of the call.
    at: the time of the action, in UTC.
    """

    resource: Any
    action: str
    kind: str
    record: Any
    actor: Any
    at: datetime
    metadata: Mapping[str, object] = attrs.field(factory=dict)
