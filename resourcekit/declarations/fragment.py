"""Declares a fragment: a value whose SQL the application writes, for one database."""

from __future__ import annotations

import re
from typing import Any

from resourcekit.declarations.value_type import Kind, UnknownType, ValueType, read_annotation
from resourcekit.errors import FieldFinding, InvalidArgument
from resourcekit.expressions.calls import checked_call
from resourcekit.expressions.nodes import Expression, Fragment, as_expression

__all__ = ["fragment"]

_PLACES = re.compile(r"\?\?|\?")
_KINDS = frozenset({Kind.STRING, Kind.INTEGER, Kind.FLOAT, Kind.BOOLEAN, Kind.DECIMAL, Kind.DATETIME, Kind.DATE, Kind.UUID})


@checked_call("fragment", 'write fragment("soundex(?)", [Author.name], str)')
def fragment(sql: str, args: object, type: Any) -> Expression:  # noqa: A002  # the design's word
    """A value that a text of SQL computes: ``fragment("soundex(?)", [Author.name], str)``. For one SQL database.

    The text becomes a part of the statement as it is written, so it must be a constant of the program; values belong in ``args``.
    Another data layer refuses it: a calculation when its domain is sealed, all else when it is used.

    Args:
        sql: The text. Each ``?`` is the place of one of the arguments; ``??`` is a question mark.
        args: A list or tuple of attributes, expressions and values; a single one needs no list.
        type: The Python type of the value: str, int, float, bool, Decimal, datetime, date or UUID. The text must return the value
            in the form of a column of this type. It may return NULL.

    Raises:
        InvalidArgument: The text is empty, has another number of ``?``, or the type is none of these.
    """
    parts = tuple(map(as_expression, args if isinstance(args, (list, tuple)) else (args,)))
    if not isinstance(sql, str) or not sql.strip():  # type: ignore[redundant-expr]  # callers without a type checker
        raise InvalidArgument(FieldFinding("fragment", f"takes a text of SQL, not {sql!r}"))
    texts, last = list[str](), ""
    end = 0
    for found in _PLACES.finditer(sql):
        last += sql[end : found.start()]
        end = found.end()
        if found.group() == "??":
            last += "?"
        else:
            texts.append(last)
            last = ""
    texts.append(last + sql[end:])
    if len(texts) - 1 != len(parts):
        what = f"has {len(texts) - 1} places (?) and {len(parts)} arguments; write ?? for a question mark of the SQL"
        raise InvalidArgument(FieldFinding("fragment", what))
    return Fragment(tuple(texts), parts, _type(type))


def _type(annotation: object) -> ValueType:
    try:
        found = read_annotation(annotation)
    except UnknownType:
        found = None
    if found is None or found.kind not in _KINDS:
        what = f"has no type {annotation!r}; give str, int, float, bool, Decimal, datetime, date or UUID"
        raise InvalidArgument(FieldFinding("fragment", what))
    return found
