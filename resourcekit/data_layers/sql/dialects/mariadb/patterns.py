"""Patterns of ``like`` for MariaDB: their text, and the bounds of the text that they match."""

from __future__ import annotations

import re
from typing import Any

import sqlalchemy as sa

__all__ = ["end", "first", "turned", "turned_column"]

_PARTS = re.compile(r"\\.|\\$|[^\\]", re.DOTALL)
_ESCAPED = frozenset("%_|")
_LAST, _BEFORE_SURROGATES, _AFTER_SURROGATES = "\U0010ffff", "\ud7ff", "\ue000"


def turned(pattern: str) -> str:
    """Return a pattern with ``|`` as its escape, which is an ordinary character in no SQL mode."""
    return "".join(_turned(part) for part in _PARTS.findall(pattern))


def _turned(part: str) -> str:
    if part == "|":
        return "||"
    if len(part) == 1:
        return part
    return f"|{part[1:]}" if part[1:] in _ESCAPED else part[1:]


def first(pattern: str) -> str:
    """Return the lower bound of the text that a pattern matches: all characters before its first wildcard."""
    found = ""
    for part in _PARTS.findall(pattern):
        if part in ("%", "_"):
            break
        found += part if len(part) == 1 else part[1:]
    return found


def end(pattern: str) -> str | None:
    """Return the exclusive upper bound of the text that a pattern matches, in code point order; ``None`` if there is none."""
    prefix = first(pattern).rstrip(_LAST)
    if not prefix:
        return None
    last = prefix[-1]
    return prefix[:-1] + (_AFTER_SURROGATES if last == _BEFORE_SURROGATES else chr(ord(last) + 1))


def turned_column(pattern: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    r"""Return a pattern in a column with ``|`` as its escape. NUL, which no text contains, replaces ``\\`` meanwhile."""
    for old, new in (("\\\\", "\0"), ("\\|", "|"), ("|", "||"), ("\\", "|"), ("\0", "\\")):
        pattern = sa.func.replace(pattern, sa.literal(old), sa.literal(new))
    return pattern
