"""Figures: their columns in a statement, how a row's columns become the figure, and how figures of parts are combined."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any

import attrs
import sqlalchemy as sa

from resourcekit.data_layers.base import Row, UnsupportedExpression
from resourcekit.data_layers.sql.dialects.base import Dialect
from resourcekit.data_layers.sql.dialects.columns import FLOAT, INTEGER, Codec, Family, Form
from resourcekit.expressions import decimals
from resourcekit.expressions.aggregates import Figure

__all__ = [
    "FigureParts",
    "figure_of",
    "figure_parts",
    "finisher",
]


@attrs.frozen(eq=False)
class FigureParts:
    """The columns of one figure. codecs: by the names that they have in a row. figure: computes the figure of such a row."""

    name: str
    columns: Sequence[Any]
    codecs: Mapping[str, Codec]
    figure: Callable[[Row], Any] | None = None


def figure_parts(dialect: Dialect, name: str, figure: Figure, codec: Codec | None, column: Any) -> FigureParts:
    """Return the columns of a figure. Raise UnsupportedExpression if the database cannot compute it exactly."""
    if codec is None:
        return FigureParts(name, [sa.func.count()], {name: INTEGER})
    if figure.kind == "count":
        return FigureParts(name, [sa.func.count(column)], {name: INTEGER})
    if figure.kind in ("min", "max"):
        # PostgreSQL has no min and max of binary values, and enums sort by their values.
        if not codec.ordered or codec.family in (Family.UUID, Family.BYTES, Family.DECIMAL) or codec.form is Form.BOOLEAN:
            raise UnsupportedExpression("these values have no smallest one in the database")
        return FigureParts(name, [getattr(sa.func, figure.kind)(column)], {name: codec})
    if codec.family not in (Family.NUMBER, Family.DURATION):
        raise UnsupportedExpression("these values cannot be summed exactly")
    return _sum(dialect, name, column, codec, counts=figure.kind == "avg")


def _sum(dialect: Dialect, name: str, column: Any, codec: Codec, *, counts: bool) -> FigureParts:
    is_span = codec.family is Family.DURATION
    if codec.computing is not None:
        column, codec = dialect.computable(column, codec), codec.computing
    count, number = ([sa.func.count(column)], {f"{name} count": INTEGER}) if counts else ([], {})
    raw = codec if codec is FLOAT else attrs.evolve(codec, decode=int)

    def figure(total: Any, row: Row) -> Any:
        if total is None:
            return None
        value = timedelta(microseconds=total) if is_span else total
        return value / row[f"{name} count"] if counts else value

    if codec is FLOAT or dialect.sums_exactly:
        codecs = {f"{name} sum": raw, **number}
        return FigureParts(name, [sa.func.sum(column), *count], codecs, lambda row: figure(row[f"{name} sum"], row))
    # In two halves, because the sum may exceed 64 bits.
    high = sa.func.sum(column.bitwise_rshift(sa.literal_column("32")))
    low = sa.func.sum(column.bitwise_and(sa.literal_column("4294967295")))

    def of_halves(row: Row) -> Any:
        upper = row[f"{name} high"]
        return figure(None if upper is None else (upper << 32) + row[f"{name} low"], row)

    codecs = {f"{name} high": raw, f"{name} low": raw, **number}
    return FigureParts(name, [high, low, *count], codecs, of_halves)


def finisher(parts: Sequence[FigureParts]) -> Callable[[Row], Row] | None:
    """Return a function that replaces the columns of figures by the figures, in their order; ``None`` if none needs it."""
    if all(part.figure is None for part in parts):
        return None
    names = {name for part in parts for name in part.codecs}

    def finish(row: Row) -> Row:
        keys = {name: value for name, value in row.items() if name not in names}
        return {**keys, **{part.name: row[part.name] if part.figure is None else part.figure(row) for part in parts}}

    return finish


def figure_of(kind: str, rows: Sequence[Row]) -> Any:
    """Return the value of an aggregate; ``None`` if no row matched."""
    if rows and "high" in rows[0]:
        total = _whole_sum(rows[0]["high"], rows[0]["low"])
    else:
        figures = [row["figure"] for row in rows if row["figure"] is not None]
        add = decimals.add if figures and isinstance(figures[0], Decimal) else operator.add
        total = functools.reduce(add, figures) if figures else None
    return total if kind != "avg" or total is None else total / rows[0].get("count", len(rows))


def _whole_sum(high: int | None, low: Any) -> Any:
    """Combine the two halves of a sum (``compiler.Compiler`` splits it)."""
    if high is None:
        return None
    upper = high << 32
    return timedelta(microseconds=upper) + low if isinstance(low, timedelta) else upper + low
