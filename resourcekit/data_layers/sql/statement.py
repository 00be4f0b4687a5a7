"""A statement compiled once: its text, where its values come from, and how its rows are read. It builds nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from resourcekit.data_layers.base import Params, Row
from resourcekit.data_layers.sql.columns import Codec
from resourcekit.data_layers.sql.expressions import NOW, Bind
from resourcekit.data_layers.unstorable import Unstorable
from resourcekit.errors import FieldFinding, Invalid
from resourcekit.flow.clock import utc_now

__all__ = ["Statement"]


class Statement:
    """SQL text with placeholders, for one dialect.

    returned: how each field of its rows is kept, in the order of its columns. returns: it returns rows at all.
    """

    __slots__ = ("_binds", "_decoders", "_fields", "_has_now", "_resource", "_simple", "returns", "sql")

    def __init__(
        self,
        built: Any,
        dialect: sa.Dialect,
        binds: Mapping[str, Bind],
        resource: str,
        returned: Mapping[str, Codec] | None = None,
        *,
        returns: bool = True,
    ) -> None:
        compiled = built.compile(dialect=dialect)
        self.returns = returns
        self.sql = str(compiled)
        constants: Mapping[str, Any] = compiled.params
        names: Sequence[str] = compiled.positiontup or ()
        self._binds = tuple(binds[name] if name in binds else Bind("", str, constant=constants[name]) for name in names)
        self._simple = tuple((bind.param, bind.encode) for bind in self._binds)
        self._has_now = any(bind.param in ("", NOW) or bind.index is not None for bind in self._binds)
        self._resource = resource
        self._fields = tuple(returned or ())
        self._decoders = tuple((name, codec.decode) for name, codec in (returned or {}).items() if codec.decode is not None)

    def values(self, params: Params) -> list[Any]:
        """Return the stored forms for the placeholders, in order.

        Raises Invalid for a value that cannot be kept, and NoneGiven where another shape of the statement is needed.
        """
        try:
            if self._has_now:
                now = utc_now()
                return [self._one(bind, params, now) for bind in self._binds]
            return [encode(params[name]) for name, encode in self._simple]
        except Unstorable:
            raise self._invalid(params) from None

    @staticmethod
    def _one(bind: Bind, params: Params, now: Any) -> Any:
        if not bind.param:
            return bind.constant
        value = now if bind.param == NOW else params[bind.param]
        return bind.encode(value if bind.index is None else value[bind.index])

    def _invalid(self, params: Params) -> Invalid:
        now = utc_now()
        for bind in self._binds:
            try:
                self._one(bind, params, now)
            except Unstorable as refused:
                return Invalid(FieldFinding(bind.field, str(refused)), resource=self._resource)
        return Invalid("a value cannot be kept", resource=self._resource)

    def rows(self, stored: Sequence[Sequence[Any]]) -> list[Row]:
        """Make rows of what the driver returned."""
        fields, decoders = self._fields, self._decoders
        rows = [dict(zip(fields, each, strict=False)) for each in stored]
        for name, decode in decoders:
            for row in rows:
                if (value := row[name]) is not None:
                    row[name] = decode(value)
        return rows

    @property
    def placeholders(self) -> int:
        """How many values it takes."""
        return len(self._binds)
