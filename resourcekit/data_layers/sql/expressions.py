"""Turns expressions into SQLAlchemy Core with exactly the meaning of ``flow.evaluation``. It runs nothing.

SQL's logic has three values and ours two. A test is therefore built in one of two ways: *loosely*, where NULL may stand
for false (a WHERE, and the parts of AND and OR in it), which lets indexes work; or *exactly*, where it is 0 or 1 (below
a NOT, and where its result is a value).
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs
import sqlalchemy as sa

from resourcekit.data_layers.base import UnsupportedExpression
from resourcekit.data_layers.sql.columns import BOOLEAN, DURATION, DYNAMIC, FLOAT, INTEGER, MOMENT, STRING, Codec, Family
from resourcekit.data_layers.sql.dialect import Element, Room
from resourcekit.data_layers.sql.shapes import Item
from resourcekit.errors import FieldFinding, InvalidArgument
from resourcekit.flow import expression as ex
from resourcekit.flow.expression import Expression

__all__ = ["NOW", "Bind", "Builder", "Built"]

NOW = "now()"
"""Name of the parameter that holds the moment at which a statement runs; no parameter of the engine's has such a name."""

_ORDERS: dict[str, Callable[[Any, Any], Any]] = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
_SUMS: dict[str, Callable[[Any, Any], Any]] = {"+": operator.add, "-": operator.sub, "*": operator.mul}
_FALSE = sa.literal_column("0", sa.Integer)
_TYPES: dict[Family, Any] = {Family.NUMBER: sa.Numeric(), Family.TEXT: sa.Text()}


@attrs.frozen(eq=False)
class Bind:
    """Where the value of one placeholder comes from.

    param: its name; index: which item of it, where it holds a collection; field: the attribute to name in an error.
    constant: the stored form itself, where ``param`` is empty.
    """

    param: str
    encode: Callable[[Any], Any]
    field: str = ""
    index: int | None = None
    constant: Any = None


@attrs.frozen(eq=False)
class Built:
    """A part of a statement: its SQL, how its values are kept (``None``: it is NULL), and whether it may be NULL."""

    element: Element
    codec: Codec | None
    nullable: bool
    field: str = ""


@attrs.define(eq=False)
class Builder:
    """Builds the expressions of one statement and remembers its placeholders.

    incoming: the row of an insert that met a conflict. is_fixed: there will be no values, as in the condition of an index;
    constants stand in the text.
    """

    room: Room
    table: sa.Table
    codecs: Mapping[str, Codec]
    resource: str
    binds: dict[str, Bind] = attrs.field(factory=dict)
    incoming: Any = None
    is_fixed: bool = False

    # Values

    def value(self, node: Expression, like: Built | None = None) -> Built:
        """Build a node for its value; ``like`` tells the type where the node itself does not."""
        match node:
            case ex.Field(name) | ex.Existing(name):
                return self._column(self.table.c, name)
            case ex.Incoming(name) if self.incoming is not None:
                return self._column(self.incoming, name)
            case ex.Value(None):
                return Built(sa.null(), None, nullable=True)
            case ex.Value(constant):
                codec = _codec_of(like) if like is not None and like.codec is not None else DYNAMIC
                return self._bound(Bind("", codec.encode, _field_of(like), constant=codec.encode(constant)), codec)
            case ex.Param(name) | ex.Argument(name):
                codec = _codec_of(like)
                return self._bound(Bind(name, codec.encode, _field_of(like)), codec)
            case Item(name, index):
                codec = _codec_of(like)
                return self._bound(Bind(name, codec.encode, _field_of(like), index=index), codec)
            case ex.Now():
                return self._bound(Bind(NOW, MOMENT.encode), MOMENT)
            case ex.Arithmetic():
                return self._arithmetic(node)
            case ex.Coalesce(parts) | ex.Greatest(parts):
                return self._several(node, self.alike(parts, like))
            case ex.Case(when, then, otherwise):
                one, other = self.alike((then, otherwise), like)
                chosen = sa.case((self.test(when), one.element), else_=other.element)
                return Built(chosen, one.codec or other.codec, one.nullable or other.nullable, one.field or other.field)
            case ex.Compare() | ex.In() | ex.IsNone() | ex.Like() | ex.And() | ex.Or() | ex.Not():
                return Built(self.room.as_number(self.test(node, exact=True)), BOOLEAN, nullable=False)
            case _:
                raise UnsupportedExpression(type(node).__name__)

    def _column(self, columns: Any, name: str) -> Built:
        column = columns.get(name)
        if column is None:
            raise InvalidArgument(
                FieldFinding("", "an expression names an attribute that does not exist"), resource=self.resource
            )
        return Built(column, self.codecs[name], nullable=bool(self.table.c[name].nullable), field=name)

    def bind(self, bind: Bind, codec: Codec | None = None) -> Element:
        """Add a placeholder."""
        if self.is_fixed:
            if bind.param or not isinstance(bind.constant, (str, int, float)):
                raise UnsupportedExpression("only attributes and plain values can stand here")
            return sa.literal(bind.constant)
        key = f"b{len(self.binds)}"
        self.binds[key] = bind
        # A number is never cast to the type of what it meets: 2.5 is not 2.
        kind = None if codec is None else _TYPES.get(codec.family)
        return sa.bindparam(key, type_=kind)

    def place(self, name: str) -> Element:
        """Add a placeholder for the value that a row to be inserted has for an attribute."""
        return self.bind(Bind("", self.codecs[name].encode, name), self.codecs[name])

    @staticmethod
    def value_of(codec: Codec, field: str = "") -> Built:
        """Return what tells a bare parameter that it is kept like this."""
        return Built(_FALSE, codec, nullable=False, field=field)

    def _bound(self, bind: Bind, codec: Codec) -> Built:
        # Never NULL: a None is part of the shape, and asks for another statement (see ``plans``).
        return Built(self.bind(bind, codec), codec, nullable=False, field=bind.field)

    def alike(self, nodes: Sequence[Expression], like: Built | None = None) -> list[Built]:
        """Build nodes whose values meet each other: those that have a type of their own tell the others."""
        built: list[Built | None] = [None if _is_untyped(node) else self.value(node) for node in nodes]
        known = next((each for each in built if each is not None and each.codec is not None), like)
        whole = [self.value(node, known) if each is None else each for node, each in zip(nodes, built, strict=True)]
        families = {each.codec.family for each in whole if each.codec is not None}
        if len(families - {Family.ANY}) > 1:
            raise UnsupportedExpression("values of different types cannot be compared here")
        return whole

    def _arithmetic(self, node: ex.Arithmetic) -> Built:
        left, right = self._operands(node)
        codec = _sum_codec(node.op, left.codec, right.codec)
        element = (
            self.room.concat(left.element, right.element) if codec is STRING else _SUMS[node.op](left.element, right.element)
        )
        return Built(element, codec, left.nullable or right.nullable)

    def _operands(self, node: ex.Arithmetic) -> tuple[Built, Built]:
        """Build both sides; a bare parameter beside a moment or a span takes the type that the sum asks for."""
        one, other = (None if _is_untyped(part) else self.value(part) for part in (node.left, node.right))
        if one is None and other is None:
            one, other = self.value(node.left), self.value(node.right)
        elif other is None and one is not None:
            other = self.value(node.right, _partner(one))
        elif one is None and other is not None:
            one = self.value(node.left, _partner(other))
        assert one is not None
        assert other is not None
        return one, other

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
                # One NULL would make the whole NULL: so each part that is NULL is replaced by another one.
                elements = [sa.func.coalesce(*elements[place:], *elements[:place]) for place in range(len(elements))]
            element = getattr(sa.func, self.room.greatest)(*elements)
        return Built(element, known.codec, nullable, known.field)

    # Tests

    def test(self, node: Expression, *, exact: bool = False) -> Element:
        """Build a node as a condition; see the module for ``exact``."""
        match node:
            case ex.And(parts):
                return sa.and_(sa.true(), *(self.test(part, exact=exact) for part in parts))
            case ex.Or(parts):
                return sa.or_(sa.false(), *(self.test(part, exact=exact) for part in parts))
            case ex.Not(part):
                return sa.not_(self.test(part, exact=True))
            case ex.IsNone(operand):
                built = self.value(operand)
                # A value of the statement's own is never NULL (see ``_bound``), and has no type that a test for it could name.
                return sa.false() if _is_untyped(operand) and built.codec is not None else built.element.is_(None)
            case ex.Compare():
                return self._compare(node, exact=exact)
            case ex.In(operand, options):
                return self._among(operand, options, exact=exact)
            case ex.Like(operand, pattern):
                return self._like(operand, pattern, exact=exact)
            case _:
                return self._truth(self.value(node, Built(_FALSE, BOOLEAN, nullable=False)), exact=exact)

    def _truth(self, built: Built, *, exact: bool) -> Element:
        if built.codec is None:
            return sa.false()
        if built.codec.family is Family.NUMBER:
            test = built.element != sa.literal_column("0")
        elif built.codec.family in (Family.TEXT, Family.BYTES):
            test = built.element != sa.literal_column("''" if built.codec.family is Family.TEXT else self.room.empty_bytes)
        else:
            raise UnsupportedExpression("this value is neither true nor false in the database")
        return _exactly(test) if exact and built.nullable else test

    def _compare(self, node: ex.Compare, *, exact: bool) -> Element:
        left, right = self.alike((node.left, node.right))
        if node.op in ("==", "!="):
            return _equality(node.op, left, right, exact=exact)
        if left.codec is None or right.codec is None:
            return sa.false()
        one, other = self._ranked(left), self._ranked(right)
        test = _ORDERS[node.op](one, other)
        return _exactly(test) if exact and (left.nullable or right.nullable) else test

    def _ranked(self, built: Built) -> Element:
        if built.codec is not None and not built.codec.ordered:
            raise UnsupportedExpression("these values have no order in the database")
        return built.element

    def sort_key(self, node: Expression, *, descending: bool) -> sa.UnaryExpression[Any]:
        """Build what rows are sorted by; members of an enum sort as their values do."""
        built = self.value(node)
        return self.room.order(self._sortable(built), descending=descending, nullable=built.nullable)

    def _sortable(self, built: Built) -> Element:
        if built.codec is None or built.codec.ordered:
            return built.element
        if built.codec.members is None:
            raise UnsupportedExpression("these values have no order in the database")
        try:
            names = [member.name for member in sorted(built.codec.members, key=lambda member: member.value)]
        except TypeError:
            raise UnsupportedExpression("the values of these members have no order") from None
        return sa.case({name: sa.literal_column(str(rank)) for rank, name in enumerate(names)}, value=built.element)

    def _among(self, operand: Expression, options: Expression, *, exact: bool) -> Element:
        if not isinstance(options, ex.Value) or not isinstance(options.value, (tuple, list, set, frozenset)):
            raise UnsupportedExpression("the options must be a collection")
        nodes = [option if isinstance(option, Expression) else ex.Value(option) for option in options.value]
        wanted = [node for node in nodes if not (isinstance(node, ex.Value) and node.value is None)]
        left, *built = self.alike((operand, *wanted))
        if left.codec is None:
            return sa.true() if len(wanted) < len(nodes) else sa.false()
        if any(option.nullable for option in built):
            test: Element = sa.or_(*(_equality("==", left, option, exact=exact) for option in built))
        else:
            test = left.element.in_([option.element for option in built]) if built else sa.false()
            test = _exactly(test) if exact and left.nullable else test
        return sa.or_(test, left.element.is_(None)) if len(wanted) < len(nodes) else test

    def _like(self, operand: Expression, pattern: Expression, *, exact: bool) -> Element:
        text = self.value(operand)
        if text.codec is None or (isinstance(pattern, ex.Value) and pattern.value is None):
            return sa.false()
        if text.codec.family is not Family.TEXT or not _is_untyped(pattern):
            raise UnsupportedExpression("only text can be matched, and only with a pattern that is given")

        def encode(value: Any) -> str:
            return self.room.pattern(STRING.encode(value))

        if isinstance(pattern, ex.Value):
            bind = Bind("", encode, text.field, constant=encode(pattern.value))
        else:
            bind = Bind(pattern.name, encode, text.field)  # type: ignore[attr-defined]  # untyped nodes are Param and Argument
        test = self.room.like(text.element, self.bind(bind))
        return _exactly(test) if exact and text.nullable else test


def _is_untyped(node: Expression) -> bool:
    return isinstance(node, (ex.Param, ex.Argument, ex.Value, Item))


def _codec_of(like: Built | None) -> Codec:
    return DYNAMIC if like is None or like.codec is None else like.codec


def _field_of(like: Built | None) -> str:
    return "" if like is None else like.field


def _exactly(test: Element) -> Element:
    return sa.type_coerce(test, sa.Boolean).is_(sa.true())


def _equality(op: str, left: Built, right: Built, *, exact: bool) -> Element:
    if left.codec is None or right.codec is None:
        same = left.element.is_(None) if right.codec is None else right.element.is_(None)
        return same if op == "==" else sa.not_(same)
    if op == "==":
        if (left.nullable and right.nullable) or (exact and (left.nullable or right.nullable)):
            return left.element.is_not_distinct_from(right.element)
        return left.element == right.element
    if left.nullable or right.nullable:
        return left.element.is_distinct_from(right.element)
    return left.element != right.element


def _partner(known: Built) -> Built:
    """Return what a bare parameter beside this one is taken for: a span beside a moment."""
    if known.codec is MOMENT:
        return Built(known.element, DURATION, nullable=False)
    return known


def _sum_codec(op: str, left: Codec | None, right: Codec | None) -> Codec:
    """Return how a sum is kept, or say that the database cannot compute it."""
    codecs = [codec for codec in (left, right) if codec is not None]
    families = {codec.family for codec in codecs}
    if families <= {Family.NUMBER} and families:
        return FLOAT if FLOAT in codecs else INTEGER
    if families == {Family.TEXT} and op == "+":
        return STRING
    if families == {Family.DURATION} and op in ("+", "-"):
        return DURATION
    if (left, right) == (MOMENT, DURATION) and op in ("+", "-"):
        return MOMENT
    if (left, right) == (DURATION, MOMENT) and op == "+":
        return MOMENT
    if (left, right) == (MOMENT, MOMENT) and op == "-":
        return DURATION
    raise UnsupportedExpression("the database cannot compute this exactly")
