"""Rows as JSON objects, one text each, and what can be kept that way. It knows types and facts, and no store."""

from __future__ import annotations

import json
from typing import Any

from resourcekit.data_layers.base import Row
from resourcekit.data_layers.json_text import from_plain_json, json_encoder
from resourcekit.data_layers.rows.writes import Keep
from resourcekit.data_layers.unstorable import Unstorable
from resourcekit.declarations.value_type import Kind
from resourcekit.errors import FieldFinding, Invalid
from resourcekit.resource_info import ResourceInfo

__all__ = ["JSONKeep", "JSONRows"]

_FREE = frozenset({Kind.LIST, Kind.MAP, Kind.ANY})


class JSONRows:
    """Both ways between a row and its JSON text, one line without a line break. ``None`` is a field that is left out."""

    def __init__(self, info: ResourceInfo) -> None:
        types = {name: attribute.type for name, attribute in info.attributes.items()}
        self._encoders = {name: json_encoder(type_) for name, type_ in types.items()}
        self._decoders = {name: from_plain_json(type_) for name, type_ in types.items()}

    def encode(self, row: Row) -> str:
        """Return the text of a row that ``JSONKeep`` has passed."""
        values = ((name, row[name]) for name in self._encoders)
        parts = (f"{json.dumps(name)}: {self._encoders[name](value)}" for name, value in values if value is not None)
        return f"{{{', '.join(parts)}}}"

    def decode(self, text: str) -> Row:
        """Return the row. Raises ValueError where the text is no such row."""
        given = json.loads(text)
        if not isinstance(given, dict):
            msg = "is no JSON object"
            raise ValueError(msg)  # noqa: TRY004  # the text is wrong, not its type
        try:
            return {
                name: None if (value := given.get(name)) is None else decode(value) for name, decode in self._decoders.items()
            }
        except (TypeError, LookupError, ArithmeticError):
            msg = "holds a value that is not of its attribute's type"
            raise ValueError(msg) from None


class JSONKeep(Keep):
    """Keeps only what JSON can hold too, so that nothing is refused in the middle of a commit."""

    __slots__ = ("_free",)

    def __init__(self, info: ResourceInfo) -> None:
        super().__init__(info)
        kinds = {name: attribute.type for name, attribute in info.attributes.items() if attribute.type.kind in _FREE}
        self._free = {name: json_encoder(type_) for name, type_ in kinds.items()}

    def value(self, field: str, value: Any) -> Any:
        """See Keep."""
        kept = super().value(field, value)
        if kept is not None and field in self._free:
            try:
                self._free[field](kept)
            except Unstorable as refused:
                raise Invalid(FieldFinding(field, str(refused)), resource=self._resource) from None
        return kept
