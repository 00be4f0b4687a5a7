"""Errors of databases in terms that are the same for all databases.

A maintainer opens it to add a kind of error that callers must distinguish.
"""

from __future__ import annotations

import enum

import attrs

__all__ = ["AtCommit", "ConnectionLost", "ErrorInfo", "ErrorKind", "Refused", "TooLarge", "TooLate"]


class AtCommit(Exception):  # wraps a driver's error on its way up, and becomes an error of resourcekit there
    """The driver failed while it committed, or before it answered what became of a statement that commits by itself."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error


class TooLate(Exception):  # becomes Timeout in the caller, which knows the call
    """The deadline passed before a statement was sent."""


class ConnectionLost(Exception):  # becomes Unavailable in the caller, which knows the call
    """The server closed the connection before a commit was sent."""


class TooLarge(Exception):  # becomes Invalid in the caller, which knows the call
    """A statement is longer than the server accepts. Nothing was written, and a retry would fail again.

    position: position of the largest value among the values of the statement.
    size: size of that value in bytes.
    most: the most bytes that the server accepts in a whole statement.
    field: the attribute of that value; empty if it is not known.
    """

    def __init__(self, position: int, size: int, most: int) -> None:
        super().__init__(position, size, most)
        self.position, self.size, self.most = position, size, most
        self.field = ""


class Refused(Exception):  # becomes Unavailable in the caller, which knows the call
    """A server must not be used, because its reads may be stale. hint: the kind of server, and the next step."""

    def __init__(self, hint: str) -> None:
        super().__init__(hint)
        self.hint = hint


class ErrorKind(enum.Enum):
    """The meaning of a driver's error."""

    BUSY = "others hold the lock, and nothing was done"
    CONFLICT = "given up in favour of another transaction, and nothing was done"
    INTERRUPTED = "stopped by its deadline"
    UNIQUE = "a unique value is taken"
    NOT_NULL = "a value is missing"
    FOREIGN_KEY = "a key refers to no row, or a row is referred to"
    UNSTORABLE = "a value does not fit its column"
    UNREADABLE = "a stored value does not fit the type of its attribute"
    NO_STORAGE = "a table or a column is missing"
    SILENT = "no answer came by the deadline"
    LOST = "the connection ended before an answer came"
    ENDED = "the server ended the connection, and took back what it had not committed"
    OVERSIZED = "the transaction changes more than the server accepts, and nothing was done"
    NOT_USABLE = "this connection cannot do it, and nothing was done; another one may"
    DOWN = "the database cannot serve"


@attrs.frozen
class ErrorInfo:
    """The meaning of one driver error.

    kind: the kind of error.
    columns: the columns of the violated constraint.
    hint: the next step for the user; it contains no value.
    constraint: the name of the violated foreign key, or check, if the database names it.
    said: what the database said about the text of the statement; it contains no value.
    about: the name in that text that it does not know, if it is about one.
    """

    kind: ErrorKind
    columns: tuple[str, ...] = ()
    hint: str = ""
    constraint: str = ""
    said: str = ""
    about: str = ""
