"""Turns what drivers and SQLAlchemy raise into errors of ours. No text of theirs leaves: it could hold a record's values."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import exc

from resourcekit.data_layers.sql.dialect import Room, Trouble, TroubleKind
from resourcekit.errors import Invalid, NotNull, OutcomeUnknown, ResourcekitError, Timeout, Unavailable, UniqueViolation
from resourcekit.resource_info import ResourceInfo

__all__ = ["AtCommit", "as_ours", "too_late"]


class AtCommit(Exception):  # wraps a driver's error on its way up, and becomes an error of ours there
    """The driver failed while it committed."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error


def too_late() -> Timeout:
    """Return the error for a deadline that has passed."""
    return Timeout("the deadline passed before the database answered")


def as_ours(error: Exception, room: Room, table: sa.Table | None = None, info: ResourceInfo | None = None) -> Exception:
    """Return the error to raise instead; errors of ours, and of the user's own code, stay as they are."""
    at_commit = isinstance(error, AtCommit)
    if isinstance(error, AtCommit):
        error = error.error
    if isinstance(error, exc.TimeoutError):
        return too_late()
    if isinstance(error, exc.DBAPIError) and isinstance(error.orig, Exception):
        error = error.orig
    if isinstance(error, ResourcekitError) or not isinstance(error, (*room.errors, exc.SQLAlchemyError)):
        return error
    if isinstance(error, exc.SQLAlchemyError):
        return Unavailable("the database could not be reached")
    trouble = room.explain(error, table)
    if at_commit and trouble.kind is TroubleKind.DOWN:
        return OutcomeUnknown(f"the database failed while it committed: the write may stand or not. {trouble.hint}".rstrip())
    return _told(trouble, info)


def _told(trouble: Trouble, info: ResourceInfo | None) -> Exception:
    name = "" if info is None else info.name
    match trouble.kind:
        case TroubleKind.UNIQUE:
            return UniqueViolation(*_identity(trouble.columns, info), resource=name)
        case TroubleKind.NOT_NULL:
            return NotNull(trouble.columns[0] if trouble.columns else "", resource=name)
        case TroubleKind.UNSTORABLE:
            return Invalid("a value is out of the range of its column", resource=name)
        case TroubleKind.BUSY:
            return Timeout("others kept the database locked until the deadline")
        case TroubleKind.INTERRUPTED:
            return too_late()
        case TroubleKind.NO_STORAGE:
            return Unavailable(
                f"the table of {name or 'the resource'}, or a part of it, is missing; call create_storage(), or migrate"
            )
        case _:
            return Unavailable(f"the database cannot serve. {trouble.hint}".rstrip())


def _identity(columns: tuple[str, ...], info: ResourceInfo | None) -> tuple[str, tuple[str, ...]]:
    if info is not None:
        for name, identity in info.identities.items():
            if identity.fields == columns:
                return name, columns
    return "primary_key", columns
