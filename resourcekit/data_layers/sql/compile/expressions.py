"""Compiles expressions to SQLAlchemy Core with exactly the meaning that ``expressions.evaluation`` has.

SQL logic has three values, that of expressions has two. So a test is built in one of two ways. A *loose* test may be NULL in
place of false; it is used in a WHERE and in AND and OR inside it, and lets indexes work. An *exact* test is never NULL; it is
used inside NOT, and if its result is a value.
"""

from __future__ import annotations

import datetime as dt
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, overload

import attrs
import sqlalchemy as sa

from resourcekit.data_layers.base import UnsupportedExpression
from resourcekit.data_layers.sql.compile import patterns
from resourcekit.data_layers.sql.compile.called import called, fragment_of
from resourcekit.data_layers.sql.compile.called_dates import clock_codec, days_between
from resourcekit.data_layers.sql.compile.json_parts import length_of, part_of
from resourcekit.data_layers.sql.compile.parts import (
    Bind,
    Built,
    equality,
    exactly,
    furthest,
    has_row,
    is_computed,
    of_one_scale,
    partner,
    sum_codec,
)
from resourcekit.data_layers.sql.compile.patterns import is_untyped
from resourcekit.data_layers.sql.compile.related import Joins, every, exists, related
from resourcekit.data_layers.sql.compile.variants import Item, Whole
from resourcekit.data_layers.sql.dialects.base import Dialect, Element
from resourcekit.data_layers.sql.dialects.columns import (
    BOOLEAN,
    FLOAT,
    STRING,
    Codec,
    Family,
)
from resourcekit.errors import FieldFinding, InvalidArgument
from resourcekit.expressions import nodes as ex
from resourcekit.expressions.measures import At, Contains, Length, Matches
from resourcekit.expressions.nodes import Expression, Fragment
from resourcekit.expressions.related import Parent, Related, SameKey
from resourcekit.expressions.rewriting import fields_of

__all__ = ["NOW", "Builder"]

NOW = "now()"
"""Name of the parameter with the time at which a statement runs. No parameter of an action has such a name."""

_ORDERS: dict[str, Callable[[Any, Any], Any]] = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
_SUMS: dict[str, Callable[[Any, Any], Any]] = {"+": operator.add, "-": operator.sub, "*": operator.mul}
_TESTS = (SameKey, ex.Compare, ex.In, ex.IsNone, ex.Like, Matches, Contains, ex.And, ex.Or, ex.Not)
_FALSE = sa.literal_column("0", sa.Integer)
_BACK = frozenset({Family.MOMENT, Family.DURATION})
"""Families whose computed values can be compared in their stored form."""


@attrs.define(eq=False)
class Builder:
    """Builds the expressions of one statement, and collects its placeholders.

    incoming: the columns of the row that an insert could not add.
    is_fixed: the statement has no parameters, as in the condition of an index, and constants become part of its text.
    is_wide: sums of columns may exceed 64 bits, as in a condition; the value of a column may not.
    """

    dialect: Dialect
    table: sa.Table
    codecs: Mapping[str, Codec]
    resource: str
    binds: dict[str, Bind] = attrs.field(factory=dict)
    incoming: Any = None
    is_fixed: bool = False
    is_wide: bool = True
    outer: Builder | None = None
    """The builder of the row one level out, for related rows."""
    joins: Joins = attrs.field(factory=Joins)
    names: list[None] = attrs.field(factory=list)
    """One item for each name that was given to related rows."""
    is_optional: bool = False
    """The row is the right side of an outer join, and may be missing."""

    # Values

    def value(self, node: Expression, like: Built | None = None) -> Built:  # noqa: PLR0912  # one case for each node
        """Build a node for its value. ``like`` gives the type if the node has none of its own."""
        match node:
            case ex.Field(name) | ex.Existing(name):
                return self._column(self.table.c, name)
            case ex.Incoming(name) if self.incoming is not None:
                return self._column(self.incoming, name)
            case ex.Value(None):
                return Built(sa.null(), None, nullable=True)
            case ex.Value(constant):
                codec = self._codec_of(like)
                return self._bound(Bind("", codec.encode, _field_of(like), constant=codec.encode(constant)), codec)
            case ex.Param(name) | ex.Argument(name):
                codec = self._codec_of(like)
                return self._bound(Bind(name, codec.encode, _field_of(like)), codec)
            case Item(name, index):
                codec = self._codec_of(like)
                return self._bound(Bind(name, codec.encode, _field_of(like), index=index), codec)
            case ex.Now():
                codec = clock_codec(self.dialect, node, like)
                return self._bound(Bind(NOW, lambda now: codec.encode(node.at(now))), codec)
            case ex.Arithmetic():
                return self._arithmetic(node)
            case ex.Call():
                return called(self, node)
            case ex.Coalesce(parts) | ex.Greatest(parts):
                return self._several(node, self.alike(parts, like))
            case ex.Case(when, then, otherwise):
                one, other = self.alike((then, otherwise), like)
                chosen = sa.case((self.test(when), one.element), else_=other.element)
                return Built(chosen, one.codec or other.codec, one.nullable or other.nullable, one.field or other.field)
            case Length(operand):
                return length_of(self.dialect, self.value(operand))
            case Related():
                return related(self, node)
            case Fragment():
                return fragment_of(self, node)
            case Parent(part) if self.outer is not None:
                return self.outer.value(part, like)
            case At(operand):
                return part_of(self.dialect, self.value(operand), node)
            case _ if isinstance(node, _TESTS):
                return Built(self.dialect.as_number(self.test(node, exact=True)), self.dialect.codecs.boolean, nullable=False)
            case _:
                raise UnsupportedExpression(type(node).__name__)

    def _column(self, columns: Any, name: str) -> Built:
        column = columns.get(name)
        if column is None:
            raise InvalidArgument(
                FieldFinding("", "an expression names an attribute that does not exist"), resource=self.resource
            )
        nullable = self.is_optional or bool(self.table.c[name].nullable)
        codec, is_read = (
            self.codecs[name],
            columns is not self.incoming and bool(self.table.c[name].nullable) and not self.is_fixed,
        )
        if is_read and codec.family is Family.JSON:  # ``null`` is None in a record that is read; it does not fit another type
            return Built(self.dialect.json_or_none(column), codec, nullable=True, field=name, document=column)
        return Built(column, codec, nullable=nullable, field=name)

    def bind(self, bind: Bind, codec: Codec | None = None) -> Element:
        """Add a placeholder."""
        if self.is_fixed:
            if bind.param or not isinstance(bind.constant, (str, int, float)):
                raise UnsupportedExpression("only attributes and plain values are allowed here")
            return sa.literal(bind.constant)
        key = f"b{len(self.binds)}"
        self.binds[key] = bind
        # A number is never cast to the type of the other operand: 2.5 is not 2.
        return sa.bindparam(key, type_=None if codec is None else self.dialect.bound_type(codec))

    def place(self, name: str) -> Element:
        """Add a placeholder for the value of an attribute in a row to be inserted."""
        return self.bind(Bind("", self.codecs[name].encode, name), self.codecs[name])

    @staticmethod
    def value_of(codec: Codec, field: str = "") -> Built:
        """Return a Built that gives a parameter without a type this codec."""
        return Built(_FALSE, codec, nullable=False, field=field)

    def _codec_of(self, like: Built | None) -> Codec:
        return self.dialect.codecs.dynamic if like is None or like.codec is None else like.codec

    def _bound(self, bind: Bind, codec: Codec) -> Built:
        # Never NULL: a None needs another variant of the statement (module ``plans``).
        return Built(self.dialect.bound(self.bind(bind, codec), codec), codec, nullable=False, field=bind.field)

    def alike(self, nodes: Sequence[Expression], like: Built | None = None, *, compared: bool = False) -> list[Built]:
        """Build nodes of one type. Nodes with a type of their own give it to the others.

        compared: the nodes are only compared with each other, so that none of them is stored (``Codec.compared``).
        """
        column = next((self.value(node, like) for node in nodes if isinstance(node, (ex.Field, ex.Existing, ex.Incoming))), like)
        built = self._of_one_form(nodes, [None if is_untyped(node) else self.value(node, column) for node in nodes])
        known = next((each for each in built if each is not None and each.codec is not None), like)
        if compared and known is not None and known.codec is not None and known.codec.compared is not None:
            known = attrs.evolve(known, codec=attrs.evolve(known.codec, encode=known.codec.compared))
        whole = [self.value(node, known) if each is None else each for node, each in zip(nodes, built, strict=True)]
        families = {each.codec.family for each in whole if each.codec is not None}
        if len(families - {Family.ANY}) > 1:
            raise UnsupportedExpression("values of different types cannot be compared here")
        return of_one_scale(whole)

    def _of_one_form(self, nodes: Sequence[Expression], built: Sequence[Built | None]) -> Sequence[Built | None]:
        """Return values of one form: all stored, or all as the database computes them.

        Computed values without a field are brought to the stored form, so that an index of the other operand serves.
        """
        stored = [each for each in built if each is not None and each.codec is not None and each.codec.computing is not None]
        known = [each for each in built if each is not None and each.codec is not None]
        if not stored or (
            len(stored) == len(known) and len({each.codec.scale for each in stored if each.codec is not None}) == 1
        ):
            return built
        into = stored[0].codec
        assert into is not None
        computed = [node for node, each in zip(nodes, built, strict=True) if is_computed(each)]
        if into.family in _BACK and not any(has_row(node) for node in computed):
            return [
                attrs.evolve(each, element=self.dialect.stored(each.element, into, assigned=False), codec=into)
                if each is not None and is_computed(each) and each.codec.family is into.family  # type: ignore[union-attr]  # it has one
                else each
                for each in built
            ]
        return list(map(self.computable, built))

    def _arithmetic(self, node: ex.Arithmetic) -> Built:
        left, right = self.operands(node)
        if left.codec is None or right.codec is None:
            return Built(sa.null(), None, nullable=True)
        if Family.DECIMAL in (left.codec.family, right.codec.family):
            element = self.dialect.decimal_sum(node.op, left.element, right.element)
            return Built(element, self.dialect.codecs.decimal, left.nullable or right.nullable)
        if left.codec.family is right.codec.family is Family.DATE:
            return days_between(self, left, right)
        codec = sum_codec(node.op, left.codec, right.codec)
        if codec is STRING:
            element = self.dialect.concat(left.element, right.element)
        else:
            first = left.element
            if self.is_wide and codec is not FLOAT and self.dialect.wide_type is not None and fields_of(node):
                first = sa.cast(first, self.dialect.wide_type)  # without a column there is no cast, which would hinder an index
            element = _SUMS[node.op](first, right.element)
        return Built(element, codec, left.nullable or right.nullable)

    def operands(self, node: ex.Arithmetic) -> tuple[Built, Built]:
        """Build both sides. A parameter without a type beside a datetime or timedelta gets the type that is needed."""
        one, other = (self.operand(self._typed(part)) for part in (node.left, node.right))
        if one is None and other is None:
            one, other = self.value(node.left), self.value(node.right)
        elif other is None and one is not None:
            other = self.value(node.right, partner(one))
        elif one is None and other is not None:
            one = self.value(node.left, partner(other))
        assert one is not None
        assert other is not None
        return one, other

    @overload
    def operand(self, built: Built) -> Built: ...
    @overload
    def operand(self, built: Built | None) -> Built | None: ...
    def operand(self, built: Built | None) -> Built | None:
        """Return an operand of arithmetic; a decimal without its scale, which other operands need not have."""
        built = self.computable(built)
        if built is None or built.codec is None or built.codec.scale is None:
            return built
        return attrs.evolve(built, codec=self.dialect.codecs.decimal)

    @overload
    def computable(self, built: Built) -> Built: ...
    @overload
    def computable(self, built: Built | None) -> Built | None: ...
    def computable(self, built: Built | None) -> Built | None:
        """Return a value in the form with which the database computes."""
        if built is None or built.codec is None or built.codec.computing is None:
            return built
        return attrs.evolve(built, element=self.dialect.computable(built.element, built.codec), codec=built.codec.computing)

    def stored(self, built: Built, codec: Codec) -> Built:
        """Return a value in the form of the column that it is assigned to."""
        if built.codec is None or built.codec is codec or built.codec.family is not codec.family:
            return built
        if codec.computing is None:
            return self.computable(built)
        if built.codec.computing is not None and built.codec.form is codec.form:
            return built
        return attrs.evolve(built, element=self.dialect.stored(built.element, codec, assigned=True), codec=codec)

    def _typed(self, node: Expression) -> Built | None:
        """Build an operand that has a type of its own; return ``None`` for any other operand."""
        if isinstance(node, ex.Param) and node.kind is not None:
            codecs = self.dialect.codecs
            summed: Mapping[type, Codec] = {
                dt.datetime: codecs.moment,
                dt.timedelta: codecs.duration,
                str: STRING,
                float: FLOAT,
            }
            codec = next(codec for kind, codec in summed.items() if issubclass(node.kind, kind))
            return self.value(node, Built(_FALSE, codec, nullable=False))
        return None if is_untyped(node) else self.value(node)

    def _several(self, node: Expression, parts: list[Built]) -> Built:
        known = next((part for part in parts if part.codec is not None), None)
        if known is None:
            return Built(sa.null(), None, nullable=True)
        elements = [part.element for part in parts]
        nullable = all(part.nullable for part in parts)
        if len(parts) == 1:
            element = elements[0]
        elif isinstance(node, ex.Coalesce):
            element = sa.func.coalesce(*elements)
        else:
            if not all(part.codec is None or part.codec.ordered for part in parts):
                raise UnsupportedExpression("these values have no order in the database")
            if any(part.nullable for part in parts):
                # One NULL would make the whole result NULL, so each part that may be NULL is replaced by another part.
                elements = [sa.func.coalesce(*elements[place:], *elements[:place]) for place in range(len(elements))]
            element = furthest(self.dialect, elements, known.codec, least=isinstance(node, ex.Least))
        return Built(element, known.codec, nullable, known.field)

    # Tests

    def test(self, node: Expression, *, exact: bool = False) -> Element:  # noqa: PLR0912  # one case for each node
        """Build a node as a condition. exact: never NULL, as described in the module."""
        match node:
            case ex.And(parts):
                return sa.and_(sa.true(), *(self.test(part, exact=exact) for part in parts))
            case ex.Or(parts):
                return sa.or_(sa.false(), *(self.test(part, exact=exact) for part in parts))
            case ex.Not(part):
                return sa.not_(self.test(part, exact=True))
            case ex.IsNone(operand):
                built = self.value(operand)
                # A placeholder is never NULL (see _bound), and PostgreSQL could not infer its type in a test for NULL.
                return sa.false() if is_untyped(operand) and built.codec is not None else built.element.is_(None)
            case ex.Compare():
                return self._compare(node, exact=exact)
            case SameKey(left, right):
                one, other = self.alike((left, right), compared=True)
                one, other = map(self._equalizable, (one, other))
                return exactly(one.element == other.element) if exact else one.element == other.element
            case Related(kind="exists"):
                return exists(self, node)
            case Related(kind="every"):
                return every(self, node)
            case ex.In(operand, options):
                return self._among(operand, options, exact=exact)
            case ex.Like(operand, pattern):
                return patterns.like(self, operand, pattern, exact=exact)
            case Contains():
                return patterns.contains(self, node, exact=exact)
            case Matches(operand, regex):
                return patterns.matches(self, self.value(operand), regex, exact=exact)
            case _:
                return patterns.truth(self, self.value(node, Built(_FALSE, BOOLEAN, nullable=False)), exact=exact)

    def _compare(self, node: ex.Compare, *, exact: bool) -> Element:
        left, right = self.alike((node.left, node.right), compared=True)
        if node.op in ("==", "!="):
            return equality(node.op, self._equalizable(left), self._equalizable(right), exact=exact)
        if left.codec is None or right.codec is None:
            return sa.false()
        one, other = self._ranked(left), self._ranked(right)
        test = _ORDERS[node.op](one, other)
        return exactly(test) if exact and (left.nullable or right.nullable) else test

    def _equalizable(self, built: Built) -> Built:
        if built.codec is None:
            return built
        key = self.dialect.equal_key(built.element, built.codec)
        return built if key is built.element else attrs.evolve(built, element=key)

    def _ranked(self, built: Built) -> Element:
        if built.codec is not None and not built.codec.ordered:
            raise UnsupportedExpression("these values have no order in the database")
        return built.element if built.codec is None else self.dialect.order_key(built.element, built.codec)

    def sort_key(self, node: Expression | Built, *, descending: bool) -> sa.UnaryExpression[Any]:
        """Build a sort key. Members of an enum sort like their values."""
        built = node if isinstance(node, Built) else self.value(node)
        return self.dialect.order(self._sortable(built), descending=descending, nullable=built.nullable)

    def _sortable(self, built: Built) -> Element:
        if built.codec is None:
            return built.element
        if not built.codec.ordered and built.codec.members is None:
            raise UnsupportedExpression("these values have no order in the database")
        return self.dialect.order_key(built.element, built.codec)

    def _among(self, operand: Expression, options: Expression, *, exact: bool) -> Element:
        if isinstance(options, Whole):
            return patterns.among(self, self.value(operand), options.name, exact=exact)
        if not isinstance(options, ex.Value) or not isinstance(options.value, (tuple, list, set, frozenset)):
            raise UnsupportedExpression("the options must be a collection")
        nodes = [option if isinstance(option, Expression) else ex.Value(option) for option in options.value]
        wanted = [node for node in nodes if not (isinstance(node, ex.Value) and node.value is None)]
        left, *built = map(self._equalizable, self.alike((operand, *wanted), compared=True))
        if left.codec is None:  # ``None``, which equals ``None``
            missing = [option.element.is_(None) for option in built if option.nullable]
            return sa.true() if len(wanted) < len(nodes) else sa.or_(*missing) if missing else sa.false()
        if any(option.nullable for option in built):
            test: Element = sa.or_(*(equality("==", left, option, exact=exact) for option in built))
        else:
            test = left.element.in_([option.element for option in built]) if built else sa.false()
            test = exactly(test) if exact and left.nullable else test
        return sa.or_(test, left.element.is_(None)) if len(wanted) < len(nodes) else test


def _field_of(like: Built | None) -> str:
    return "" if like is None else like.field
