"""Related rows in statements: joins to one row by its key, and correlated subqueries for all else.

A maintainer opens it to change the SQL of paths and aggregates. Each to-many part is a subquery of its own, so that no two of them
multiply each other's rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import sqlalchemy as sa

from resourcekit.data_layers.base import UnsupportedExpression
from resourcekit.data_layers.sql.compile.parts import Built
from resourcekit.data_layers.sql.dialects.base import Element
from resourcekit.data_layers.sql.dialects.columns import DURATION, FLOAT, INTEGER, Codec, Family, Form
from resourcekit.expressions import nodes as ex
from resourcekit.expressions.nodes import Expression
from resourcekit.expressions.related import Parent, Related, SameKey
from resourcekit.expressions.rewriting import children, fields_of

Builder = Any
"""``expressions.Builder``, which calls these functions. It is not imported, because it imports this module."""

__all__ = ["Joins", "every", "exists", "related"]

_ONE: Any = sa.literal_column("1")
_ZERO: Any = sa.literal_column("0")
_PLACE = "resourcekit place"
"""Name of a column with the place of a row among related ones. No attribute has such a name."""


@attrs.define(eq=False)
class Joins:
    """The joins of one SELECT, in their order, by the builder of the row that they start at and the name of the path.

    is_open: false for statements that cannot join, which use a subquery.
    """

    is_open: bool = True
    found: dict[tuple[int, str], tuple[Any, Any]] = attrs.field(factory=dict)

    def source(self, table: Any) -> Any:
        """Return the FROM clause: the table with all joins."""
        for builder, on in self.found.values():
            table = table.outerjoin(builder.table, on)
        return table


def related(builder: Builder, node: Related) -> Built:
    """Build a value of related rows. Raise UnsupportedExpression for one that the database cannot compute exactly."""
    if node.kind == "one" and node.name and builder.joins.is_open:
        return _joined(builder, node)
    if node.kind in ("one", "first"):
        return _first(builder, node)
    if node.kind == "exists":
        return Built(builder.dialect.as_number(exists(builder, node)), builder.dialect.codecs.boolean, nullable=False)
    if node.kind == "every":
        return Built(builder.dialect.as_number(every(builder, node)), builder.dialect.codecs.boolean, nullable=False)
    if node.kind == "collect":
        raise UnsupportedExpression("values are collected when they are loaded, and no condition or order can be made of them")
    return _figure(builder, node)


def _alias(builder: Builder, node: Related, *, optional: bool = False) -> Builder:
    """Return a builder for the related rows, under a name of their own."""
    compiler = node.target.store.compiler
    builder.names.append(None)
    table = compiler.table.alias(f"r{len(builder.names)}")
    joins = builder.joins if optional else Joins()
    return attrs.evolve(
        builder,
        table=table,
        codecs=compiler.codecs,
        resource=compiler.resource,
        outer=builder,
        joins=joins,
        incoming=None,
        is_optional=optional,
    )


def _joined(builder: Builder, node: Related) -> Built:
    assert node.part is not None
    key = (id(builder.table), node.name)
    if key not in builder.joins.found:
        inner = _alias(builder, node, optional=True)
        on = attrs.evolve(inner, is_optional=False, joins=Joins(is_open=False)).test(node.on)
        builder.joins.found[key] = (inner, on)
    inner, _ = builder.joins.found[key]
    built: Built = inner.value(node.part)
    if isinstance(node.part, ex.Field) or (isinstance(node.part, Related) and node.part.kind == "one"):
        return attrs.evolve(built, nullable=True)
    present = inner.table.c[node.target.store.info.primary_key[0]].is_not(None)
    return attrs.evolve(built, element=sa.case((present, built.element)), nullable=True)


def _select(inner: Builder, what: list[Any], tests: list[Any], order: Sequence[Any] = ()) -> Any:
    """Return a correlated SELECT over related rows."""
    own = [inner.table, *(each.table for each, _ in inner.joins.found.values())]
    built = sa.select(*what).select_from(inner.joins.source(inner.table)).where(*tests)
    return (built.order_by(*order) if order else built).correlate_except(*own)


def _keys(inner: Builder, keys: tuple[ex.Sort, ...]) -> list[Any]:
    # A key of outer rows alone is the same for all rows of this SELECT.
    own = [key for key in keys if fields_of(key.by)]
    _require_own(inner, *(key.by for key in own))
    return [inner.sort_key(key.by, descending=key.descending) for key in own]


def _require_own(inner: Builder, *keys: Expression) -> None:
    if not inner.dialect.orders_by_outer and any(map(_reads_outer, keys)):
        raise UnsupportedExpression("the database cannot order related records by values of the record itself")


def _reads_outer(node: Expression, level: int = 0) -> bool:
    """Return whether an expression over related rows reads rows outside of them. level: how deep in further related rows it is."""
    if isinstance(node, Parent):
        return level == 0 or _reads_outer(node.part, level - 1)
    return any(_reads_outer(part, level + isinstance(node, Related)) for part in children(node))


def _chosen(builder: Builder, node: Related) -> tuple[Builder, list[Any]]:
    """Return a builder for the related rows, and the tests that choose them. A limit counts for each row one level out."""
    inner = _alias(builder, node)
    tests = [inner.test(node.on)] if node.limit is None else [_among_first(builder, inner, node)]
    if node.where is not None:
        tests.append(inner.test(node.where))
    return inner, tests


def _among_first(builder: Builder, inner: Builder, node: Related) -> Any:
    """Return the test that a row is one of the first ones, by the order of the relationship."""
    first, names = _alias(builder, node), node.target.store.info.primary_key
    keys = [first.table.c[name] for name in names]
    most: Any = sa.literal_column(str(node.limit))
    if builder.dialect.derived_sees_outer:
        tests, order = [first.test(node.on)], _keys(first, node.order)
        derived = _select(first, keys, tests, order).limit(most).offset(_ZERO).subquery(f"d{len(builder.names)}")
        where = [derived.c[name] == inner.table.c[name] for name in names]
        return sa.exists(sa.select(_ONE).select_from(derived).where(*where).correlate_except(derived))
    # A derived table of this database sees no row around it: all related rows are numbered, for each key.
    pairs, rest = _split(node.on)
    if not pairs or any(_looks_out(part) for part in rest):
        raise UnsupportedExpression("the database cannot bound these related records")
    by = [first.value(left).element for left, _ in pairs]
    rank = sa.func.row_number().over(partition_by=by, order_by=_keys(first, node.order)).label(_PLACE)
    numbered = sa.select(*keys, rank).select_from(first.joins.source(first.table)).where(*(first.test(part) for part in rest))
    derived = numbered.subquery(f"d{len(builder.names)}")
    where = [*(derived.c[name] == inner.table.c[name] for name in names), derived.c[_PLACE] <= most]
    own = [inner.test(SameKey(left, right)) for left, right in pairs]
    return sa.and_(*own, sa.exists(sa.select(_ONE).select_from(derived).where(*where).correlate_except(derived)))


def _split(on: Expression) -> tuple[list[tuple[Expression, Expression]], list[Expression]]:
    """Return the keys that join two rows, and the other tests."""
    parts = on.parts if isinstance(on, ex.And) else (on,)
    pairs = [(part.left, part.right) for part in parts if isinstance(part, SameKey)]
    return pairs, [part for part in parts if not isinstance(part, SameKey)]


def _looks_out(node: Expression) -> bool:
    return isinstance(node, (Parent, Related)) or any(map(_looks_out, children(node)))


def exists(builder: Builder, node: Related) -> Element:
    """Return the test that there is a related row. It is never NULL."""
    if node.name == "through" and (among := _through(builder, node)) is not None:
        return among
    inner, tests = _chosen(builder, node)
    return sa.exists(_select(inner, [_ONE], tests))


def every(builder: Builder, node: Related) -> Element:
    """Return the test that all related rows meet a condition. It is never NULL."""
    assert node.part is not None
    inner, tests = _chosen(builder, node)
    return sa.not_(sa.exists(_select(inner, [_ONE], [*tests, inner.test(ex.Not(node.part))])))


def _through(builder: Builder, node: Related) -> Element | None:
    """Return ``far IN (SELECT onward FROM between WHERE ...)``, which databases read by the index of the near side."""
    tests = node.on.parts if isinstance(node.on, ex.And) else (node.on,)
    far = [test for test in tests if isinstance(test, SameKey) and isinstance(_outward(test.right), ex.Field)]
    if len(far) != 1:
        return None
    inner = _alias(builder, node)
    rest = [inner.test(test) for test in tests if test is not far[0]]
    onward = inner.value(far[0].left).element
    column: Element = builder.value(_outward(far[0].right)).element
    return column.in_(_select(inner, [onward], [*rest, onward.is_not(None)]))


def _outward(node: Expression) -> Any:
    return node.part if isinstance(node, Parent) else None


def _first(builder: Builder, node: Related) -> Built:
    assert node.part is not None
    inner, tests = _chosen(builder, node)
    built: Built = inner.value(node.part)
    select = _select(inner, [built.element], tests, _keys(inner, node.sort or node.order)).limit(_ONE).offset(_ZERO)
    return attrs.evolve(built, element=select.scalar_subquery(), nullable=True)


def _figure(builder: Builder, node: Related) -> Built:
    inner, tests = _chosen(builder, node)
    if node.kind == "count":
        return Built(_select(inner, [sa.func.count()], tests).scalar_subquery(), INTEGER, nullable=False)
    assert node.part is not None
    built: Built = inner.value(node.part)
    if built.codec is None:
        return Built(sa.null(), None, nullable=True)
    if not fields_of(node.part):
        # Of outer rows alone: without a column of its own rows, a database computes the figure of the query outside.
        own: Any = inner.table.c[node.target.store.info.primary_key[0]]  # SQLite takes IS NOT NULL of a key away
        built = attrs.evolve(built, element=sa.case((own.op("=", is_comparison=True)(own), built.element)), nullable=True)
    if node.kind in ("min", "max"):
        held: Any = built.codec
        is_number = held.family is Family.NUMBER and held.form in (Form.INTEGER, Form.REAL)
        if is_number and (isinstance(node.part, Related) or _reads_outer(node.part)):
            whole = getattr(sa.func, node.kind)(built.element)  # an order would compute the inner figure three times
            return attrs.evolve(built, element=_select(inner, [whole], tests).scalar_subquery(), nullable=True)
        # The first in an order, because PostgreSQL has no min and max for some types, and enums sort by their values.
        order = []
        if fields_of(node.part):  # else it is the same for all rows
            _require_own(inner, node.part)
            order = [inner.sort_key(attrs.evolve(built, nullable=False), descending=node.kind == "max")]
        select = _select(inner, [built.element], [*tests, built.element.is_not(None)], order)
        return attrs.evolve(built, element=select.limit(_ONE).offset(_ZERO).scalar_subquery(), nullable=True)
    built = builder.computable(built)
    codec: Any = built.codec
    if codec.family is Family.DECIMAL and node.kind == "sum":
        select = _select(inner, [builder.dialect.decimal_total(built.element)], tests)
        return Built(select.scalar_subquery(), builder.dialect.codecs.decimal, nullable=True)
    if codec.family not in (Family.NUMBER, Family.DURATION) or (codec.family is Family.DURATION and node.kind == "avg"):
        raise UnsupportedExpression("the database cannot compute this figure of such values exactly")
    total = sa.func.sum(built.element)
    if node.kind == "sum":
        return Built(_select(inner, [total], tests).scalar_subquery(), _whole(codec), nullable=True)
    # As Python divides: an average of the database has other digits.
    quotient = builder.dialect.as_float(total) / builder.dialect.as_float(sa.func.count(built.element))
    return Built(_select(inner, [quotient], tests).scalar_subquery(), FLOAT, nullable=True)


def _whole(codec: Codec) -> Codec:
    """Return a codec for sums, which databases return as decimals."""
    if codec is FLOAT:
        return codec
    if codec.family is Family.DURATION:
        return DURATION
    return attrs.evolve(INTEGER, decode=int)
