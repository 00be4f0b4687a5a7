"""Facts about the columns of tables that exist already, and in which way such a column differs from Python.

A maintainer opens it to add a type of column that others create, or a difference.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import attrs

from resourcekit.declarations.value_type import Kind, ValueType

__all__ = [
    "Difference",
    "StoredColumn",
    "base_type",
    "fits",
    "kind_by_type",
    "length_of",
    "options_of",
    "scale_of",
    "stored_kind",
]


_ESCAPED = {"n": "\n", "r": "\r", "0": "\0"}


@attrs.frozen
class StoredColumn:
    """A column as the database describes it.

    type: its declared type in lower case, besides the values of an enum. collation: ``""`` if it has none. default: the text of its default; ``None`` if it has
    none. filled: ``"identity"`` for a key that the database counts, ``"computed"`` for a generated column, else ``""``.
    options: the values of an enum. made: the name of its type, if CREATE TYPE or CREATE DOMAIN made it; of a domain, ``type`` is the type below it.
    checks: the conditions of a domain.
    """

    name: str
    type: str
    nullable: bool
    key: int = 0
    collation: str = ""
    default: str | None = None
    filled: str = ""
    options: tuple[str, ...] = ()
    made: str = ""
    checks: tuple[str, ...] = ()


@attrs.frozen
class Difference:
    """A difference between the comparisons of a column and those of Python. equality, order: these comparisons are concerned."""

    what: str
    equality: bool = True
    order: bool = True


def base_type(declared: str) -> str:
    """Return a type without its arguments: ``varchar`` for ``varchar(20)``, ``timestamp with time zone`` with a precision too."""
    before, _, after = declared.partition("(")
    return f"{before.strip()} {after.partition(')')[2].strip()}".strip()


def stored_kind(of: ValueType) -> Kind:
    """Return the kind of value that a column of the type has: a Literal or an enum is stored by its values."""
    basic = of.basic.held or of.basic
    return Kind.MAP if basic.kind in (Kind.LIST, Kind.ANY) else basic.kind


def fits(kind: Kind, column: StoredColumn, known: Mapping[Kind, frozenset[str]]) -> bool:
    """Return whether values of a kind can be in a column of its type."""
    return kind not in known or base_type(column.type) in known[kind]


def kind_by_type(column: StoredColumn, known: Mapping[Kind, frozenset[str]]) -> Kind | None:
    """Return the kind of the values of a column by its type; ``None`` for a type that no attribute has."""
    base = base_type(column.type)
    return next((kind for kind, types in known.items() if base in types), None)


def length_of(column: StoredColumn) -> int | None:
    """Return the most characters of a text column; ``None`` if its type has no limit."""
    found = re.search(r"char(?:acter)?(?: varying)?\((\d+)\)", column.type)
    return None if found is None else int(found[1])


def scale_of(column: StoredColumn) -> int | None:
    """Return the digits after the point of a decimal column; ``None`` if its type does not fix them."""
    found = re.search(r"\((\d+)(?:,\s*(\d+))?\)", column.type)
    return None if found is None else int(found[2] or 0)


def options_of(column: StoredColumn) -> tuple[str, ...]:
    """Return the values of a column of an enum; empty for any other type."""
    if column.options:
        return column.options
    if not column.type.startswith("enum("):
        return ()
    found = re.findall(r"'((?:[^']|'')*)'", column.type)
    return tuple(re.sub(r"\\.|''", lambda match: _ESCAPED.get(match[0][1], match[0][1]), each) for each in found)
