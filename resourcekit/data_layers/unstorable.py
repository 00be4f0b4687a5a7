"""Why a value cannot be given to the database; raised by codecs, and never seen outside of the data layers."""

from __future__ import annotations

__all__ = ["NoneGiven", "Unstorable"]


class Unstorable(Exception):  # becomes Invalid one step up, where the field is known
    """The value cannot be kept; the message completes "this field ..." and never holds the value."""


class NoneGiven(Exception):  # no error: asks for the statement's other shape
    """``None`` where the statement was compiled for a value; ``None`` belongs to the shape of a statement."""
