"""Why a value cannot be given to the database; raised by codecs, and never seen outside of the data layers."""

from __future__ import annotations

__all__ = ["NoneGiven", "Unstorable", "is_whole"]


class Unstorable(Exception):  # becomes Invalid one step up, where the field is known
    """The value cannot be kept; the message completes "this field ..." and never holds the value."""


class NoneGiven(Exception):  # no error: asks for the statement's other shape
    """``None`` where the statement was compiled for a value; ``None`` belongs to the shape of a statement."""


def is_whole(text: str) -> bool:
    """Say whether a text holds no half of a surrogate pair. An answer, not an error: Python's own would carry the text along."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
