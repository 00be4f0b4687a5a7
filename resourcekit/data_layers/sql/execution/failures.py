"""Translates errors of drivers and SQLAlchemy into errors of resourcekit. Their text is dropped, because it may contain
values."""

from __future__ import annotations

import attrs
import sqlalchemy as sa
from sqlalchemy import exc

from resourcekit.data_layers.sql.dialects.base import Dialect
from resourcekit.data_layers.sql.dialects.error_info import (
    AtCommit,
    ConnectionLost,
    ErrorInfo,
    ErrorKind,
    Refused,
    TooLarge,
    TooLate,
)
from resourcekit.errors import (
    FieldFinding,
    ForeignKeyViolation,
    Invalid,
    NotNull,
    OutcomeUnknown,
    ResourcekitError,
    SerializationFailure,
    Timeout,
    Unavailable,
    UniqueViolation,
    UnreadableValue,
)
from resourcekit.resource_info import ResourceInfo
from resourcekit.signals import raised_by_signal

__all__ = ["LATE", "AtCommit", "as_ours", "identity_of", "storage_missing", "too_late", "unknown_outcome"]


_REFUSALS = frozenset({ErrorKind.UNIQUE, ErrorKind.NOT_NULL, ErrorKind.FOREIGN_KEY, ErrorKind.UNSTORABLE})
"""What a statement is answered, whatever the driver met."""

LATE = "the deadline passed before the database answered"
"""Message of a Timeout."""


def too_late() -> Timeout:
    """Return the error for a deadline that has passed."""
    return Timeout(LATE)


MOVED = "the database file was replaced or removed while the transaction was open; leave the block, and run it again as a whole"
"""The text of an Unavailable."""


def written_elsewhere() -> OutcomeUnknown:
    """Return the error for a write into a file that was replaced or removed during the write."""
    return OutcomeUnknown(
        "the database file was replaced or removed during the write, which may be in the old file only; repeat it"
    )


def unknown_outcome(hint: str = "") -> OutcomeUnknown:
    """Return the error for a commit that was sent and not answered."""
    return OutcomeUnknown(f"the database gave no answer while it committed: the write may be committed or not. {hint}".rstrip())


def as_ours(error: Exception, dialect: Dialect, table: sa.Table | None = None, info: ResourceInfo | None = None) -> Exception:
    """Return the error to raise instead. Errors of resourcekit and of the user's own code are returned unchanged."""
    at_commit = isinstance(error, AtCommit)
    if isinstance(error, AtCommit):
        error = error.error
    if isinstance(error, (exc.TimeoutError, TooLate)):
        return too_late()
    if isinstance(error, TooLarge):
        name = "" if info is None else info.name
        what = f"has {error.size:,} bytes, and the server takes {error.most:,} in a whole statement (max_allowed_packet)"
        return Invalid(FieldFinding(error.field, what if error.field else f"the largest value {what}"), resource=name)
    if isinstance(error, ConnectionLost):
        return Unavailable("the connection to the database was lost before the commit was sent: nothing was written")
    if isinstance(error, Refused):
        return Unavailable(f"the database cannot serve. {error.hint}")
    if isinstance(error, exc.DBAPIError) and isinstance(error.orig, Exception):
        error = error.orig
    if isinstance(error, ResourcekitError) or not isinstance(error, (*dialect.errors, exc.SQLAlchemyError)):
        return error
    error_info = None if isinstance(error, exc.SQLAlchemyError) else dialect.explain(error, table)
    if error_info is not None and table is not None:
        error_info = attrs.evolve(error_info, columns=_keys(error_info.columns or _checked(error_info, table), table))
    if error_info is None or error_info.kind not in _REFUSALS:
        # Drivers put errors of their own in the place of an OSError, and the handler of a signal may have raised that.
        outside = raised_by_signal(error)
        if isinstance(outside, Exception):
            return outside
    if error_info is None:
        return Unavailable("the database could not be reached")
    if at_commit and error_info.kind in dialect.unsure_at_commit:
        return unknown_outcome(error_info.hint)
    return _with_text(_error_of(error_info, info), error_info)


def _with_text(error: Exception, error_info: ErrorInfo) -> Exception:
    if isinstance(error, Unavailable):
        error.said, error.about = error_info.said, error_info.about
    return error


def _keys(columns: tuple[str, ...], table: sa.Table) -> tuple[str, ...]:
    """Return the attributes of columns; a column that has none stays as it is."""
    keys = {column.name: column.key for column in table.columns}
    return tuple(keys.get(column, column) for column in columns)


def _checked(error_info: ErrorInfo, table: sa.Table) -> tuple[str, ...]:
    """Return the columns that a violated check is about, if resourcekit made it."""
    checks = [each for each in table.constraints if isinstance(each, sa.CheckConstraint)]
    return tuple(column.name for check in checks if check.name == error_info.constraint for column in check.columns)


def _why_refused(check: str) -> str:
    if check:
        return f"violates the check {check} of the table; if the value is right, migrate the table"
    return "a value is out of the range of its column"


def _error_of(error_info: ErrorInfo, info: ResourceInfo | None) -> Exception:
    name = "" if info is None else info.name
    match error_info.kind:
        case ErrorKind.UNIQUE:
            return UniqueViolation(*identity_of(error_info.columns, info), resource=name)
        case ErrorKind.NOT_NULL:
            return NotNull(error_info.columns[0] if error_info.columns else "", resource=name)
        case ErrorKind.FOREIGN_KEY:
            return ForeignKeyViolation(error_info.constraint, resource=name)  # the store puts the relationship in its place
        case ErrorKind.UNSTORABLE:
            what = error_info.hint or _why_refused(error_info.constraint)
            return Invalid([FieldFinding(field, what) for field in _fields(error_info.columns, info)], resource=name)
        case ErrorKind.UNREADABLE:
            what = "a stored value that the query compares or computes with does not fit its type; resourcekit doctor --data finds it"
            return UnreadableValue(what, resource=name)
        case ErrorKind.BUSY:
            return Timeout("others kept the database locked until the deadline")
        case ErrorKind.CONFLICT:
            return SerializationFailure("the database gave this transaction up in favour of another one; run it again as a whole")
        case ErrorKind.INTERRUPTED | ErrorKind.SILENT:
            return too_late()
        case ErrorKind.LOST:
            return Unavailable(f"the connection to the database was lost. {error_info.hint}".rstrip())
        case ErrorKind.ENDED:
            return Unavailable(f"the database ended the connection. {error_info.hint}".rstrip())
        case ErrorKind.NO_STORAGE:
            return storage_missing(name)
        case _:
            return Unavailable(f"the database cannot serve. {error_info.hint}".rstrip())


def storage_missing(name: str) -> Unavailable:
    """Return the error for a table that is missing. name: its resource; may be empty."""
    gone = Unavailable(
        f"the table of {name or 'the resource'}, or a part of it, is missing; call create_storage() for a new table, "
        "or migrate the one that is there"
    )
    gone.is_storage_missing = True
    return gone


def _fields(columns: tuple[str, ...], info: ResourceInfo | None) -> tuple[str, ...]:
    """Return the columns of an error that are attributes; one empty name if there are none."""
    return tuple(column for column in columns if info is None or column in info.attributes) or ("",)


def identity_of(columns: tuple[str, ...], info: ResourceInfo | None) -> tuple[str, tuple[str, ...]]:
    """Return name and fields of the identity with these columns; those of the primary key if there is no such identity."""
    if info is not None:
        for name, identity in info.identities.items():
            if identity.fields == columns:
                return name, columns
    return "primary_key", columns if info is None else tuple(column for column in columns if column in info.attributes)
