"""Values in statements of MariaDB: types of columns, their lengths in unique indexes, and moments as microseconds."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import attrs
import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from resourcekit.data_layers.sql.dialects.base import Place
from resourcekit.data_layers.sql.dialects.columns import Codec, Family, Form
from resourcekit.data_layers.sql.dialects.mariadb.codecs import DIGITS
from resourcekit.data_layers.sql.dialects.mariadb.parameters import CHARSET
from resourcekit.data_layers.sql.dialects.mariadb.sessions import COLLATION

__all__ = [
    "CHARACTER",
    "KEY_BYTES",
    "MariaValues",
    "column_type",
    "fitted",
]

Element = sa.ColumnElement[Any]


class _JSON(mysql.JSON):
    """The type ``json``, which MariaDB stores as text of this collation."""

    collation = "utf8mb4_bin"


_MOMENT = mysql.DATETIME(fsp=6)
_EPOCH: Element = sa.literal_column("TIMESTAMP'1970-01-01 00:00:00.000000'", _MOMENT)
_TYPES: Mapping[Form, Any] = {
    Form.INTEGER: mysql.BIGINT,
    Form.REAL: mysql.DOUBLE,
    Form.BOOLEAN: functools.partial(mysql.TINYINT, 1),
    Form.UUID: functools.partial(mysql.CHAR, 36, charset="ascii", collation="ascii_nopad_bin"),
    Form.MOMENT: functools.partial(mysql.DATETIME, fsp=6),
    Form.DATE: sa.DATE,
    Form.TIME: functools.partial(mysql.TIME, fsp=6),
    Form.JSON: _JSON,
}


def column_type(place: Place, length: int | None) -> sa.types.TypeEngine[Any]:
    """Return the type of a column. length: the most characters or bytes of a value."""
    match place.form:
        case Form.TEXT if length is None:
            return mysql.LONGTEXT(charset=CHARSET, collation=COLLATION)
        case Form.TEXT:
            return mysql.VARCHAR(length, charset=CHARSET, collation=COLLATION)
        case Form.BLOB:
            return mysql.LONGBLOB() if length is None else mysql.VARBINARY(length)
        case Form.NUMBER:
            return mysql.DECIMAL(DIGITS, place.scale or 0)
        case _:
            made: sa.types.TypeEngine[Any] = _TYPES[place.form]()
            return made


class MariaValues:
    """Values between their stored form and the form with which the database computes."""

    def bound(self, placeholder: Element, codec: Codec) -> Element:
        """Return a placeholder; a moment is sent as text, which a function would not take for a moment."""
        return sa.cast(placeholder, _MOMENT) if codec.form is Form.MOMENT else placeholder

    def computable(self, stored: Element, codec: Codec) -> Element:
        """Return a moment as microseconds, and a decimal that is stored as a whole number as it is."""
        if codec.family is Family.DECIMAL and codec.form is Form.INTEGER:
            unit: Element = sa.literal_column(f"{Decimal(1).scaleb(-(codec.scale or 0)):f}", sa.Numeric())
            return sa.cast(stored, sa.Numeric(19, 0)).op("*")(unit)
        if codec.form is not Form.MOMENT:
            return stored
        return sa.func.timestampdiff(sa.literal_column("MICROSECOND"), _EPOCH, stored, type_=sa.BigInteger())

    def stored(self, computed: Element, codec: Codec, *, assigned: bool) -> Element:
        """Return microseconds as a moment; NULL for one that MariaDB has not, which an assignment refuses."""
        if codec.form is not Form.MOMENT:
            return computed
        moment: Element = sa.func.timestampadd(sa.literal_column("MICROSECOND"), computed, _EPOCH, type_=_MOMENT)
        if assigned:
            return moment
        last = sa.literal_column("TIMESTAMP'9999-12-31 23:59:59.999999'", _MOMENT)
        first = sa.literal_column("TIMESTAMP'0001-01-01 00:00:00.000000'", _MOMENT)
        return sa.func.coalesce(moment, sa.case((computed > sa.literal_column("0"), last), else_=first))


KEY_BYTES, CHARACTER = 3072, 4
"""Most bytes of one InnoDB index entry; bytes of one character in it."""

_SIZES = {Form.UUID: 36, Form.NUMBER: 18}
"""Bytes of columns in an index entry that are longer than eight."""


def fitted(places: dict[str, Place]) -> dict[str, Place]:
    """Return the Places of one unique group with lengths that fit into its index. Raise ValueError if that is impossible."""
    left = KEY_BYTES - sum(_SIZES.get(place.form, 8) for place in places.values() if place.form not in (Form.TEXT, Form.BLOB))
    unit = {Form.TEXT: CHARACTER, Form.BLOB: 1}
    declared = {name: place.length * unit[place.form] for name, place in places.items() if place.form in unit and place.length}
    open_ended = [name for name, place in places.items() if place.form in unit and not place.length]
    left -= sum(declared.values())
    if left < CHARACTER * len(open_ended):
        names = ", ".join(places)
        raise ValueError(f"{names} together are longer than the {KEY_BYTES} bytes of a unique index in MariaDB")
    fitted = dict(places)
    for name in open_ended:
        most = left // len(open_ended) // unit[places[name].form]
        fitted[name] = attrs.evolve(places[name], length=most)
    return fitted
