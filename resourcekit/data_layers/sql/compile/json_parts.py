"""Codecs of parts of JSON, and of the items that lists are searched for."""

from __future__ import annotations

from typing import Any

import attrs
import sqlalchemy as sa

from resourcekit.data_layers.base import UnsupportedExpression
from resourcekit.data_layers.json_text import json_encoder, to_plain_json
from resourcekit.data_layers.sql.compile.parts import Built
from resourcekit.data_layers.sql.dialects.base import Dialect
from resourcekit.data_layers.sql.dialects.columns import FLOAT, INTEGER, STRING, Codec, Family
from resourcekit.declarations.value_type import JSON_VALUE, ValueType
from resourcekit.expressions.measures import At

__all__ = ["item_codec", "length_of", "part_of"]


def part_of(dialect: Dialect, whole: Built, node: At) -> Built:
    """Return a part of a dict, a list or an embedded value."""
    if whole.codec is None or whole.codec.family is not Family.JSON:
        raise UnsupportedExpression("only lists, dicts and embedded values have parts in the database")
    element = dialect.json_at(whole.whole, node.steps, node.form)
    return Built(element, _part_codec(node), nullable=True, field=whole.field)


def _part_codec(node: At) -> Codec:
    if node.form == "text" and isinstance(node.type, ValueType):
        plain = to_plain_json(node.type)

        def encode(value: Any) -> Any:
            return STRING.encode(value if type(value) is str else plain(value))

        return attrs.evolve(STRING, encode=encode)
    if node.form == "number":
        number = to_plain_json(node.type) if isinstance(node.type, ValueType) else None
        return FLOAT if number is None else attrs.evolve(FLOAT, encode=lambda value: FLOAT.encode(number(value)))
    if node.form == "bool":
        return attrs.evolve(INTEGER, encode=lambda value: int(INTEGER.encode(value)), decode=bool)
    return STRING


def item_codec(of: ValueType | None) -> Codec:
    """Return the codec of an item that a list is searched for, as JSON text."""
    return attrs.evolve(STRING, encode=json_encoder(JSON_VALUE if of is None else of))


def length_of(dialect: Dialect, whole: Built) -> Built:
    """Return the number of characters of a text, of bytes, or of items of a list."""
    family = None if whole.codec is None else whole.codec.family
    if family is Family.JSON:
        return Built(dialect.json_length(whole.whole), INTEGER, whole.nullable)
    if family not in (Family.TEXT, Family.BYTES):
        raise UnsupportedExpression("only texts, bytes and lists have a length in the database")
    count = dialect.text_length if family is Family.TEXT else dialect.byte_length
    return Built(getattr(sa.func, count)(whole.element), INTEGER, whole.nullable)
