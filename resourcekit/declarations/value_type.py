"""The types that attributes and arguments may have: reads an annotation into a plain value. It knows no store."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import types
import typing
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import attrs

from resourcekit.types import JSON

__all__ = ["ANYTHING", "JSON_VALUE", "Kind", "UnknownType", "ValueType", "read_annotation"]


class Kind(enum.Enum):
    """What a value is, as far as casting and storage care."""

    STRING = "string"
    """``str``: kept exactly, compared by code point; without NUL and lone surrogates."""

    INTEGER = "integer"
    """``int``, or its text (``"12"``); a ``bool`` is refused."""

    FLOAT = "float"
    """``float``, a whole number or its text; finite."""

    BOOLEAN = "boolean"
    """``bool``, or the text ``"true"`` or ``"false"``."""

    DECIMAL = "decimal"
    """``decimal.Decimal``, a whole number or its text; finite, never rounded, and never made of a ``float``."""

    DATETIME = "datetime"
    """``datetime.datetime`` with a time zone, or its ISO text; kept in UTC to the microsecond."""

    DATE = "date"
    """``datetime.date``, or its ISO text; a ``datetime`` is refused."""

    TIME = "time"
    """``datetime.time``, or its ISO text."""

    DURATION = "duration"
    """``datetime.timedelta``, or a text of seconds."""

    UUID = "uuid"
    """``uuid.UUID``, or its text."""

    ENUM = "enum"
    """A subclass of ``enum.Enum``: a member, its value or its name."""

    LITERAL = "literal"
    """``Literal["open", "closed"]``: one of the options, which are all ``str``, all ``int`` or all ``bool``."""

    LIST = "list"
    """``list[...]`` of one of these types, ``list[Any]`` of any JSON value; a tuple is taken, too."""

    MAP = "map"
    """``dict[str, ...]`` with values of one of these types, or ``dict[str, Any]`` for any JSON object."""

    BYTES = "bytes"
    """``bytes``, ``bytearray`` or ``memoryview``."""

    ANY = "any"
    """``Any`` or ``object``: taken as it comes by an argument; an attribute takes what JSON can hold."""


class UnknownType(TypeError):  # becomes a DeclarationError one floor up, where the place is known
    """The annotation names a type that no attribute can have."""


@attrs.frozen
class ValueType:
    """A type, read from its annotation.

    python: the class that values have; for a literal, that of its options.
    allow_none: the annotation is a union with ``None``.
    options: the members of a literal, or of an enum.
    item: the type of a list's items, or of a map's values; ``None`` for any JSON value.
    """

    kind: Kind
    python: Any
    allow_none: bool = False
    options: tuple[Any, ...] = ()
    item: ValueType | None = None

    def __str__(self) -> str:
        """The type as an annotation reads: ``str | None``."""
        name = f"Literal[{', '.join(map(repr, self.options))}]" if self.kind is Kind.LITERAL else self.python.__name__
        if self.item is not None:
            name = f"{name}[{self.item}]" if self.kind is Kind.LIST else f"{name}[str, {self.item}]"
        return f"{name} | None" if self.allow_none and self.kind is not Kind.ANY else name


_PLAIN: dict[Any, Kind] = {
    str: Kind.STRING,
    int: Kind.INTEGER,
    float: Kind.FLOAT,
    bool: Kind.BOOLEAN,
    decimal.Decimal: Kind.DECIMAL,
    dt.datetime: Kind.DATETIME,
    dt.date: Kind.DATE,
    dt.time: Kind.TIME,
    dt.timedelta: Kind.DURATION,
    uuid.UUID: Kind.UUID,
    bytes: Kind.BYTES,
    list: Kind.LIST,
    dict: Kind.MAP,
}
ANYTHING = ValueType(Kind.ANY, object, allow_none=True)
JSON_VALUE = ValueType(Kind.ANY, type("JSON", (), {}), allow_none=True)
"""Any JSON value; there is no class that they all have."""

_UNIONS = (typing.Union, types.UnionType)


def read_annotation(annotation: Any) -> ValueType:
    """Return the type an annotation stands for.

    Raises UnknownType for a union of several types, for a class that is none of those listed in docs, and for what is
    no type at all.
    """
    if annotation is Any or annotation is object:
        return ANYTHING
    if annotation == JSON:
        return JSON_VALUE
    if type(annotation).__name__ == "TypeAliasType":  # of Python 3.12's "type" statement
        return read_annotation(annotation.__value__)
    if isinstance(annotation, typing.NewType):
        return read_annotation(annotation.__supertype__)
    if typing.get_origin(annotation) is not None:
        return _read_generic(annotation, typing.get_origin(annotation), typing.get_args(annotation))
    if isinstance(annotation, type) and annotation in _PLAIN:
        return ValueType(_PLAIN[annotation], annotation)
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return ValueType(Kind.ENUM, annotation, options=tuple(annotation))
    if annotation in (Sequence, Mapping):
        return ValueType(Kind.LIST, list) if annotation is Sequence else ValueType(Kind.MAP, dict)
    raise _unknown(annotation)


def _read_generic(annotation: Any, origin: Any, arguments: tuple[Any, ...]) -> ValueType:
    if origin in _UNIONS:
        return _read_union(annotation, arguments)
    if origin is typing.Annotated:
        return read_annotation(arguments[0])
    if origin is Literal:
        return _read_literal(arguments)
    if origin in (list, Sequence):
        return ValueType(Kind.LIST, list, item=_item(arguments[0]) if arguments else None)
    if origin in (dict, Mapping):
        if arguments and arguments[0] is not str:
            msg = "the keys of a dict must be str"
            raise UnknownType(msg)
        return ValueType(Kind.MAP, dict, item=_item(arguments[1]) if arguments else None)
    raise _unknown(annotation)


def _unknown(annotation: Any) -> UnknownType:
    return UnknownType(f"{getattr(annotation, '__name__', annotation)!s} is no type that a record can hold")


def _item(annotation: Any) -> ValueType | None:
    read = read_annotation(annotation)
    return None if read.kind is Kind.ANY else read


def _read_union(annotation: Any, arguments: tuple[Any, ...]) -> ValueType:
    others = [argument for argument in arguments if argument is not types.NoneType]
    if len(others) != 1:
        msg = f"{annotation} is a union of several types; only a union with None can be kept"
        raise UnknownType(msg)
    return attrs.evolve(read_annotation(others[0]), allow_none=True)


def _read_literal(options: tuple[Any, ...]) -> ValueType:
    values = tuple(option for option in options if option is not None)
    kinds = {type(option) for option in values}
    if len(kinds) != 1 or not kinds <= {str, int, bool}:
        msg = "the options of a Literal must all be str, all int or all bool"
        raise UnknownType(msg)
    return ValueType(Kind.LITERAL, kinds.pop(), allow_none=None in options, options=values)
