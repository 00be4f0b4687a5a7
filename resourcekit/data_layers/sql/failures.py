"""Turns what drivers and SQLAlchemy raise into errors of ours. No text of theirs leaves: it could hold a record's values."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import exc

from resourcekit.data_layers.sql.dialect import Room
from resourcekit.data_layers.sql.trouble import Gone, TooLate, Trouble, TroubleKind
from resourcekit.errors import (
    Invalid,
    NotNull,
    OutcomeUnknown,
    ResourcekitError,
    SerializationFailure,
    Timeout,
    Unavailable,
    UniqueViolation,
)
from resourcekit.resource_info import ResourceInfo

__all__ = ["AtCommit", "as_ours", "identity_of", "too_late", "unknown_outcome"]


class AtCommit(Exception):  # wraps a driver's error on its way up, and becomes an error of ours there
    """The driver failed while it committed, or before it told what became of a statement that commits by itself."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error


def too_late() -> Timeout:
    """Return the error for a deadline that has passed."""
    return Timeout("the deadline passed before the database answered")


def unknown_outcome(hint: str = "") -> OutcomeUnknown:
    """Return the error for a commit that was sent and not answered."""
    return OutcomeUnknown(f"the database gave no answer while it committed: the write may stand or not. {hint}".rstrip())


def as_ours(error: Exception, room: Room, table: sa.Table | None = None, info: ResourceInfo | None = None) -> Exception:
    """Return the error to raise instead; errors of ours, and of the user's own code, stay as they are."""
    at_commit = isinstance(error, AtCommit)
    if isinstance(error, AtCommit):
        error = error.error
    if isinstance(error, (exc.TimeoutError, TooLate)):
        return too_late()
    if isinstance(error, Gone):
        return Unavailable("the connection to the database was lost before the commit was sent: nothing was written")
    if isinstance(error, exc.DBAPIError) and isinstance(error.orig, Exception):
        error = error.orig
    if isinstance(error, ResourcekitError) or not isinstance(error, (*room.errors, exc.SQLAlchemyError)):
        return error
    if isinstance(error, exc.SQLAlchemyError):
        return Unavailable("the database could not be reached")
    trouble = room.explain(error, table)
    if at_commit and trouble.kind in room.unsure_at_commit:
        return unknown_outcome(trouble.hint)
    return _told(trouble, info)


def _told(trouble: Trouble, info: ResourceInfo | None) -> Exception:
    name = "" if info is None else info.name
    match trouble.kind:
        case TroubleKind.UNIQUE:
            return UniqueViolation(*identity_of(trouble.columns, info), resource=name)
        case TroubleKind.NOT_NULL:
            return NotNull(trouble.columns[0] if trouble.columns else "", resource=name)
        case TroubleKind.UNSTORABLE:
            return Invalid(trouble.hint or "a value is out of the range of its column", resource=name)
        case TroubleKind.BUSY:
            return Timeout("others kept the database locked until the deadline")
        case TroubleKind.CONFLICT:
            return SerializationFailure("the database gave this transaction up in favour of another one; run it again as a whole")
        case TroubleKind.INTERRUPTED | TroubleKind.SILENT:
            return too_late()
        case TroubleKind.LOST:
            return Unavailable(f"the connection to the database was lost. {trouble.hint}".rstrip())
        case TroubleKind.ENDED:
            return Unavailable(f"the database ended the connection. {trouble.hint}".rstrip())
        case TroubleKind.NO_STORAGE:
            return Unavailable(
                f"the table of {name or 'the resource'}, or a part of it, is missing; call create_storage() for a new table, "
                "or migrate the one that is there"
            )
        case _:
            return Unavailable(f"the database cannot serve. {trouble.hint}".rstrip())


def identity_of(columns: tuple[str, ...], info: ResourceInfo | None) -> tuple[str, tuple[str, ...]]:
    """Return the name and the fields of the identity that is made of these columns; else of the primary key."""
    if info is not None:
        for name, identity in info.identities.items():
            if identity.fields == columns:
                return name, columns
    return "primary_key", columns if info is None else tuple(column for column in columns if column in info.attributes)
