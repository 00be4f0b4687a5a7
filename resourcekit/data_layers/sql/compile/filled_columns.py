"""Columns that the database fills: their defaults and expressions in CREATE TABLE.

A maintainer opens it to change the SQL of a default, of a computed column or of a generated key.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql import quoted_name, visitors

from resourcekit.data_layers.base import UnsupportedExpression
from resourcekit.data_layers.sql.compile.expressions import Builder
from resourcekit.data_layers.sql.dialects.base import Dialect
from resourcekit.data_layers.sql.dialects.columns import Codec
from resourcekit.data_layers.unstorable import Unstorable
from resourcekit.declarations.attribute import Attribute
from resourcekit.declarations.filled import SQLText
from resourcekit.declarations.value_type import Kind
from resourcekit.errors import DeclarationError
from resourcekit.expressions.nodes import Expression, Now
from resourcekit.resource_info import ResourceInfo

__all__ = ["FilledColumns"]

_COLON = re.compile(r"(?<![:\w\\]):(?=\w)")

_OWN_FUNCTION = re.compile(r"\bresourcekit_\w+\(")
"""A call of a function that only connections of resourcekit have."""
"""A colon that SQLAlchemy would take for a parameter."""


class FilledColumns:
    """The parts of columns of one table that the database fills.

    managed: the table is created by resourcekit, so each part must be known.
    """

    def __init__(self, info: ResourceInfo, dialect: Dialect, codecs: Mapping[str, Codec], *, managed: bool) -> None:
        self._info, self._dialect, self._codecs, self._managed = info, dialect, codecs, managed
        self.counts = any(each.generated for each in info.attributes.values())
        """The table has a key that the database counts."""
        if managed and self.counts and len(info.primary_key) > 1:
            generated = next(each for each in info.attributes.values() if each.generated)
            what, cure = "is generated, and a part of the key only", "Let it be the whole primary key, and the rest an identity."
            raise _refused(info, generated, what, cure)

    def parts(self, attribute: Attribute, bare: sa.Table) -> tuple[list[Any], dict[str, Any]]:
        """Return the arguments of ``sa.Column`` for an attribute. bare: the table without such parts.

        Raises:
            DeclarationError: RK063 for a part that this database cannot have.
        """
        if attribute.generated:
            return [sa.Identity()], {"autoincrement": True}
        if attribute.is_computed:
            text = self._computed(attribute, bare)
            nullable = attribute.allow_none or not self._dialect.computed_not_null
            return [] if text is None else [sa.Computed(text, persisted=True), *self._checks(attribute)], {"nullable": nullable}
        if attribute.is_filled:
            return [], {"server_default": self._default(attribute, bare.c[attribute.name])}
        return [], {}

    def _checks(self, attribute: Attribute) -> list[sa.CheckConstraint]:
        """Return the check that a computed whole number is one, if the database would otherwise round it to a float."""
        is_rounded = self._managed and self.counts and self._dialect.rounds_computed and attribute.type.kind is Kind.INTEGER
        if not is_rounded:
            return []
        column = self._dialect.sa_dialect.identifier_preparer.quote(attribute.column_name)
        return [sa.CheckConstraint(_text(f"typeof({column}) <> 'real'"), name=f"whole {attribute.column_name}")]

    def _default(self, attribute: Attribute, column: sa.Column[Any]) -> sa.TextClause:
        default = attribute.database_default
        if isinstance(default, SQLText):
            return _text(f"({default.text})")
        if isinstance(default, Now):
            return _text(self._dialect.now_default)
        return _text(self._literal(sa.literal(self._codecs[attribute.name].encode(default), column.type)))

    def _literal(self, value: sa.ColumnElement[Any]) -> str:
        return self._single(str(value.compile(dialect=self._dialect.sa_dialect, compile_kwargs={"literal_binds": True})))

    def _single(self, text: str) -> str:
        """Return a text with the percent signs that SQLAlchemy doubled for drivers whose placeholders begin with one."""
        return text.replace("%%", "%") if self._dialect.sa_dialect.paramstyle in ("format", "pyformat") else text

    def _bare(self, element: Any, **_: Any) -> Any:
        """Return a value as text, and a column without its table; SQLAlchemy forgets to do so inside of ``IS NOT DISTINCT FROM``."""
        if isinstance(element, sa.BindParameter):
            return sa.literal_column(self._literal(element), element.type)
        return sa.column(quoted_name(element.name, quote=True), element.type) if isinstance(element, sa.Column) else None

    def _computed(self, attribute: Attribute, bare: sa.Table) -> sa.TextClause | None:
        node, cure = attribute.computed, "Write computed=SQLText(...), or a calculation."
        if isinstance(node, SQLText):
            return _text(node.text)
        if not isinstance(node, Expression):
            if self._managed:
                what = "is computed=True, and resourcekit makes the table"
                raise _refused(self._info, attribute, what, "Write the expression, or SQLText(...).")
            return None
        builder = Builder(self._dialect, bare, self._codecs, self._info.name, is_fixed=True, is_wide=False)
        codec = self._codecs[attribute.name]
        try:
            built = builder.stored(builder.value(node, builder.value_of(codec, attribute.name)), codec)
        except (UnsupportedExpression, Unstorable):
            raise _refused(self._info, attribute, "is computed by an expression that no column can compute", cure) from None
        text = str(visitors.replacement_traverse(built.element, {}, self._bare).compile(dialect=self._dialect.sa_dialect))
        if built.codec is not None and built.codec.family is not codec.family:
            raise _refused(self._info, attribute, "is computed by an expression of another type", cure)
        if _OWN_FUNCTION.search(text):
            raise _refused(self._info, attribute, "is computed by a function that only connections of resourcekit have", cure)
        return _text(self._single(text))


def _text(text: str) -> sa.TextClause:
    return sa.text(_COLON.sub(r"\:", text))


def _refused(info: ResourceInfo, attribute: Attribute, what: str, cure: str) -> DeclarationError:
    path = ("attributes", attribute.name)
    return DeclarationError("RK063", what, resource=info.name, path=path, origin=attribute.origin, hint=cure)
