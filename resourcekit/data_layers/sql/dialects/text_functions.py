"""Functions over text and types of values that differ between databases: lengths, regular expressions, JSON."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from resourcekit.data_layers.base import UnsupportedExpression
from resourcekit.data_layers.sql.dialects.codecs import Codecs
from resourcekit.data_layers.sql.dialects.columns import Codec, Family, Form

__all__ = ["TextFunctions", "declared_order"]


def declared_order(table: sa.Table, name: str) -> str | None:
    """Return the collation that a column is declared with."""
    column = next((each for each in table.columns if each.name == name), None)
    return None if column is None else getattr(column.type, "collation", None)


class TextFunctions:
    """Functions over text, in the form that most databases have them."""

    text_length: str = "char_length"
    """Name of the function that counts code points."""

    byte_length: str = "octet_length"
    """Name of the function that counts bytes."""

    wide_type: Any = None
    """SQL type of whole numbers beyond 64 bits, for sums in conditions; ``None``: such sums need no cast."""

    codecs: Codecs
    """The codecs of the database."""

    bound_types: Mapping[Any, Any] = {Family.NUMBER: sa.Numeric(), Family.TEXT: sa.Text()}
    """SQL types of placeholders, by family or by form; a form comes first. A number is never cast to the type of the other
    operand: 2.5 is not 2."""

    def bound_type(self, codec: Codec) -> Any:
        """Return the SQL type of a placeholder; ``None`` if the other operand gives it one."""
        if codec.family is Family.DECIMAL and codec.form is Form.INTEGER:  # a compared one may lie between two whole numbers
            return self.bound_types[Family.NUMBER]
        return self.bound_types.get(codec.form, self.bound_types.get(codec.family))

    def bound(self, placeholder: sa.ColumnElement[Any], codec: Codec) -> sa.ColumnElement[Any]:
        """Return a placeholder in a comparison, with the type of its values."""
        del codec
        return placeholder

    def truth(self, value: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
        """Return the test that a stored bool is true."""
        test: sa.ColumnElement[Any] = value != sa.literal_column("0")
        return test

    def computable(self, stored: sa.ColumnElement[Any], codec: Codec) -> sa.ColumnElement[Any]:
        """Return a stored value in the form with which the database computes (``Codec.computing``)."""
        del codec
        return stored

    def stored(self, computed: sa.ColumnElement[Any], codec: Codec, *, assigned: bool) -> sa.ColumnElement[Any]:
        """Return a computed value in the stored form of a codec.

        assigned: it is written to a column, so one out of its range is an error. A compared one becomes the end of the range.
        """
        del codec, assigned
        return computed

    def equal_key(self, stored: sa.ColumnElement[Any], codec: Codec) -> sa.ColumnElement[Any]:
        """Return an expression that is equal for equal values."""
        return self.json_key(stored) if codec.family is Family.JSON else stored

    def order_key(self, stored: sa.ColumnElement[Any], codec: Codec) -> sa.ColumnElement[Any]:
        """Return an expression that sorts like the values."""
        del codec
        return stored

    def decimal_total(self, numbers: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
        """Return the exact sum of the decimals of a group, with their computed form; NULL if it has none."""
        total: sa.ColumnElement[Any] = sa.func.sum(numbers)
        return total

    def decimal_sum(self, op: str, left: sa.ColumnElement[Any], right: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
        """Return the sum, difference or product of two decimals, exactly."""
        raise UnsupportedExpression("the database cannot compute decimals exactly")

    def json_key(self, json: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
        """Return an expression for comparing JSON by value: it is equal for 1 and 1.0."""
        return json

    def matches_column(self, text: sa.ColumnElement[Any], pattern: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
        """Return the test that a text matches a pattern in a column. A single backslash at the end of the pattern is literal."""
        backslash: sa.ColumnElement[str] = sa.literal("\\")
        unpaired = (
            sa.func.right(sa.func.replace(pattern, sa.literal("\\\\"), sa.literal("")), sa.literal_column("1")) == backslash
        )
        whole = self.pattern_column(sa.case((unpaired, self.concat(pattern, backslash)), else_=pattern))  # type: ignore[attr-defined]  # of the dialect
        test: sa.ColumnElement[Any] = self.like(text, whole)  # type: ignore[attr-defined]  # of the dialect
        return test

    def pattern_column(self, pattern: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
        """Return a pattern in a column in the syntax of the database."""
        return pattern

    def matches(self, text: sa.ColumnElement[Any], regex: re.Pattern[str]) -> sa.ColumnElement[Any]:
        """Return the test that the regular expression matches the whole text, with Python's meaning.

        Raise UnsupportedExpression if the database gives the expression another meaning.
        """
        del text, regex
        raise UnsupportedExpression("the database reads regular expressions differently")
