"""Rows as JSON objects, for stores that keep each row as a line of text."""

from __future__ import annotations

import json
from typing import Any

from resourcekit.data_layers.base import Row
from resourcekit.data_layers.json_text import from_plain_json, json_encoder
from resourcekit.data_layers.rows.missing_values import MissingValues
from resourcekit.data_layers.rows.writes import Keep
from resourcekit.data_layers.unstorable import Unstorable
from resourcekit.declarations.value_type import Kind
from resourcekit.errors import FieldFinding, Invalid
from resourcekit.resource_info import ResourceInfo

__all__ = ["JSONKeep", "JSONRows"]

_FREE = frozenset({Kind.LIST, Kind.MAP, Kind.ANY})


class JSONRows:
    """Conversion between a row and its JSON text, which has no line break. A field with ``None`` is omitted.

    A record from before an attribute was declared lacks its field, too, and gets the attribute's static default. If that default
    is not ``None``, a ``None`` is written as ``null``.
    """

    def __init__(self, info: ResourceInfo) -> None:
        types = {name: attribute.type for name, attribute in info.attributes.items()}
        self._missing_values = MissingValues(info)
        self._encoders = {name: json_encoder(type_) for name, type_ in types.items()}
        self._decoders = {name: from_plain_json(type_) for name, type_ in types.items()}

    def encode(self, row: Row) -> str:
        """Return the text of a row that ``JSONKeep`` has accepted."""
        values = ((name, row[name]) for name in self._encoders)
        stored_none = self._missing_values.stored_none
        parts = (
            f"{json.dumps(name)}: {'null' if value is None else self._encoders[name](value)}"
            for name, value in values
            if value is not None or name in stored_none
        )
        return f"{{{', '.join(parts)}}}"

    def decode(self, text: str) -> Row:
        """Return the row. Raise ValueError if the text is not such a row."""
        given = json.loads(text)
        if not isinstance(given, dict):
            msg = "is no JSON object"
            raise ValueError(msg)  # noqa: TRY004  # the text is wrong, not its type
        row: Row = {}
        wrong = ""
        for name, decode in self._decoders.items():
            try:
                if name in given:
                    row[name] = decode(given[name])
                else:
                    row[name] = self._missing_values.value(name)
            except (TypeError, ValueError, LookupError, ArithmeticError, AttributeError):
                wrong = name  # raised below: the decoder's error may contain the value
                break
        if wrong:
            msg = f"holds a value of {wrong} that is not of its attribute's type"
            raise ValueError(msg)
        return row


class JSONKeep(Keep):
    """Accepts only values that JSON can represent, so that nothing is refused in the middle of a commit."""

    __slots__ = ("_free",)

    def __init__(self, info: ResourceInfo) -> None:
        super().__init__(info)
        kinds = {name: attribute.type for name, attribute in info.attributes.items() if attribute.type.kind in _FREE}
        self._free = {name: json_encoder(type_) for name, type_ in kinds.items()}

    def value(self, field: str, value: Any) -> Any:
        kept = super().value(field, value)
        if kept is not None and field in self._free:
            try:
                self._free[field](kept)
            except Unstorable as refused:
                raise Invalid(FieldFinding(field, str(refused)), resource=self._resource) from None
        return kept
