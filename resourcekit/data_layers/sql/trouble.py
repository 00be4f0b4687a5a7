"""What goes wrong with databases, in words that are the same for all of them. It knows no driver and no connection."""

from __future__ import annotations

import enum

import attrs

__all__ = ["Gone", "TooLate", "Trouble", "TroubleKind"]


class TooLate(Exception):  # becomes Timeout where the call is known
    """The deadline passed before a statement was sent."""


class Gone(Exception):  # becomes Unavailable where the call is known
    """The server had left before a commit was sent to it."""


class TroubleKind(enum.Enum):
    """What a driver's error means to us."""

    BUSY = "others hold the lock, and nothing was done"
    CONFLICT = "given up in favour of another transaction, and nothing was done"
    INTERRUPTED = "stopped by its deadline"
    UNIQUE = "a unique value is taken"
    NOT_NULL = "a value is missing"
    UNSTORABLE = "a value does not fit its column"
    NO_STORAGE = "a table or a column is missing"
    SILENT = "no answer came by the deadline"
    LOST = "the connection ended before an answer came"
    ENDED = "the server ended the connection, and took back what it had not committed"
    UNFIT = "this connection cannot do it, and nothing was done; another one may"
    DOWN = "the database cannot serve"


@attrs.frozen
class Trouble:
    """A driver's error, read. columns: of the constraint that was hit. hint: the next step, without any value."""

    kind: TroubleKind
    columns: tuple[str, ...] = ()
    hint: str = ""
