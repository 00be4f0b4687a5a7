"""Reads conditions and orders by the types of the fields that they name: casts values, refuses what has no meaning.

So a condition means the same, and is refused alike, on every store. It knows types and expressions, no store.
"""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import attrs

from resourcekit.declarations.attribute import Constraints
from resourcekit.declarations.value_type import Kind, ValueType
from resourcekit.engine.casting import Cast, CastError, compile_cast
from resourcekit.errors import FieldFinding, InvalidArgument, did_you_mean
from resourcekit.flow import expression as ex
from resourcekit.flow.expression import Expression, Sort
from resourcekit.resource_info import ResourceInfo

__all__ = ["Conditions"]

Family = object
"""Which values can meet each other: a Kind, or the class of an enum; ``None`` for what fits everywhere."""

_KINDS = {Kind.INTEGER: Kind.FLOAT, Kind.BOOLEAN: Kind.FLOAT, Kind.LIST: Kind.ANY, Kind.MAP: Kind.ANY}
_CLASSES: Mapping[type, Kind] = {
    str: Kind.STRING,
    bool: Kind.FLOAT,
    int: Kind.FLOAT,
    float: Kind.FLOAT,
    decimal.Decimal: Kind.DECIMAL,
    dt.datetime: Kind.DATETIME,
    dt.date: Kind.DATE,
    dt.time: Kind.TIME,
    dt.timedelta: Kind.DURATION,
    uuid.UUID: Kind.UUID,
    bytes: Kind.BYTES,
}
_SUMS: Mapping[tuple[Family, str, Family], Kind] = {
    **{(kind, op, kind): kind for op in "+-*" for kind in (Kind.FLOAT, Kind.DECIMAL)},
    (Kind.STRING, "+", Kind.STRING): Kind.STRING,
    (Kind.DURATION, "+", Kind.DURATION): Kind.DURATION,
    (Kind.DURATION, "-", Kind.DURATION): Kind.DURATION,
    (Kind.DATETIME, "+", Kind.DURATION): Kind.DATETIME,
    (Kind.DATETIME, "-", Kind.DURATION): Kind.DATETIME,
    (Kind.DURATION, "+", Kind.DATETIME): Kind.DATETIME,
    (Kind.DATETIME, "-", Kind.DATETIME): Kind.DURATION,
}


@attrs.frozen
class _Read:
    """A part of a condition, and what its values are; field: the attribute that it is, ``""`` for none."""

    node: Expression
    family: Family = None
    field: str = ""


class Conditions:
    """Reads the conditions and orders of one resource."""

    def __init__(self, info: ResourceInfo) -> None:
        self._resource = info.name
        self._families = {name: _family(attribute.type) for name, attribute in info.attributes.items()}
        self._types = {name: attribute.type for name, attribute in info.attributes.items()}
        self._casts: dict[str, Cast] = {name: _comparable(each) for name, each in self._types.items()}

    def condition(self, node: Expression) -> Expression:
        """Return a condition with its values cast. Raises InvalidArgument naming the field that is unknown or misread."""
        match node:
            case ex.And(parts) | ex.Or(parts):
                return type(node)(tuple(map(self.condition, parts)))
            case ex.Not(part):
                return ex.Not(self.condition(part))
            case ex.IsNone(operand):
                return ex.IsNone(self.value(operand).node)
            case ex.Compare(op, left, right):
                one, other = self._meeting(left, right)
                if op not in ("==", "!="):
                    self._require_order(one, other)
                return ex.Compare(op, one.node, other.node)
            case ex.In(operand, options):
                return self._membership(operand, options)
            case ex.Like(operand, pattern):
                return self._match(operand, pattern)
            case ex.Case(when, then, otherwise):
                return ex.Case(self.condition(when), self.condition(then), self.condition(otherwise))
            case ex.Value(bool()):
                return node
            case ex.Arithmetic():
                raise self._refused("", "what is computed is no condition; compare it with something")
            case _:
                return self._truth(self.value(node))

    def assigned(self, name: str, node: Expression) -> Expression:
        """Return an expression whose value an attribute is to hold, read likewise."""
        return self._alike((_Read(ex.Field(name), self._families[name], name), self.value(node)))[1].node

    def order(self, keys: tuple[Sort, ...]) -> tuple[Sort, ...]:
        """Return an order that has been read likewise; values without an order of their own are refused."""
        read = [(self.value(key.by), key.descending) for key in keys]
        for key, _ in read:
            if key.family is Kind.ANY:
                raise self._refused(key.field, "has no order to sort by")
        return tuple(Sort(key.node, descending) for key, descending in read)

    def value(self, node: Expression) -> _Read:
        """Read a part that stands for a value."""
        match node:
            case ex.Field(name) | ex.Existing(name) | ex.Incoming(name):
                if name not in self._families:
                    raise self._refused(name, f"is no attribute. {did_you_mean(name, self._families)}")
                return _Read(node, self._families[name], name)
            case ex.Value(value):
                return _Read(node, _family_of_value(value))
            case ex.Now():
                return _Read(node, Kind.DATETIME)
            case ex.Arithmetic(op, left, right):
                return self._sum(op, self.value(left), self.value(right))
            case ex.Coalesce(parts) | ex.Greatest(parts):
                read = self._alike(tuple(map(self.value, parts)))
                if isinstance(node, ex.Greatest):
                    self._require_order(*read)
                return _Read(type(node)(tuple(each.node for each in read)), _known(read))
            case ex.Case(when, then, otherwise):
                read = self._alike((self.value(then), self.value(otherwise)))
                return _Read(ex.Case(self.condition(when), *(each.node for each in read)), _known(read))
            case ex.Param():
                return _Read(node)
            case ex.Argument(name):
                raise self._refused(name, "is no argument of the action, and stands in one of its expressions")
            case ex.And() | ex.Or() | ex.Not() | ex.IsNone() | ex.Compare() | ex.In() | ex.Like():
                return _Read(self.condition(node), Kind.FLOAT)
            case _:
                raise self._refused("", f"holds a {type(node).__name__}, which is no part of an expression")

    def _meeting(self, left: Expression, right: Expression) -> tuple[_Read, ...]:
        return self._alike((self.value(left), self.value(right)))

    def _alike(self, parts: tuple[_Read, ...]) -> tuple[_Read, ...]:
        """Cast the values that meet a field, and refuse parts that can never be equal."""
        field = next((part.field for part in parts if part.field), "")
        if field:
            parts = tuple(self._cast(field, part) for part in parts)
        known = [part for part in parts if part.family is not None]
        for part in known[1:]:
            if part.family != known[0].family:
                raise self._refused(field, "meets a value of another type")
        return parts

    def _cast(self, field: str, part: _Read) -> _Read:
        if not isinstance(part.node, ex.Value) or part.node.value is None:
            return part
        try:
            return _Read(ex.Value(self._casts[field](part.node.value)), self._families[field])
        except CastError as error:
            raise InvalidArgument(error.finding(field), resource=self._resource) from None

    def _membership(self, operand: Expression, options: Expression) -> Expression:
        read = self.value(operand)
        if not isinstance(options, ex.Value):
            return ex.In(read.node, self.value(options).node)
        if not isinstance(options.value, (tuple, list, set, frozenset)):
            raise self._refused(read.field, "must be looked for in a collection")
        parts = [option if isinstance(option, Expression) else ex.Value(option) for option in options.value]
        cast = self._alike((read, *map(self.value, parts)))[1:]
        return ex.In(
            read.node, ex.Value(tuple(part.node.value if isinstance(part.node, ex.Value) else part.node for part in cast))
        )

    def _match(self, operand: Expression, pattern: Expression) -> Expression:
        text, wanted = self.value(operand), self.value(pattern)
        if text.family not in (None, Kind.STRING) or wanted.family not in (None, Kind.STRING):
            raise self._refused(text.field, "can be matched only where it is text, and with a text")
        return ex.Like(text.node, wanted.node)

    def _truth(self, read: _Read) -> Expression:
        if read.field and self._types[read.field].kind is not Kind.BOOLEAN:
            raise self._refused(read.field, "is no condition; compare it with something")
        if read.family not in (None, Kind.FLOAT):
            raise self._refused("", "an expression that is neither true nor false is no condition")
        return read.node

    def _sum(self, op: str, left: _Read, right: _Read) -> _Read:
        left, right = _exact(left, right), _exact(right, left)
        node = ex.Arithmetic(op, left.node, right.node)  # type: ignore[arg-type]  # taken from such a node
        if left.family is None or right.family is None:
            return _Read(node)
        family = _SUMS.get((left.family, op, right.family))
        if family is None:
            raise self._refused(left.field or right.field, f"cannot be computed with {op} and a value of such a type")
        return _Read(node, family)

    def _require_order(self, *parts: _Read) -> None:
        for part in parts:
            if part.family is Kind.ANY or isinstance(part.family, type):
                raise self._refused(part.field, "has no order to compare by; name the values with in_([...])")

    def _refused(self, field: str, message: str) -> InvalidArgument:
        return InvalidArgument(FieldFinding(field, message), resource=self._resource)


def _comparable(each: ValueType) -> Callable[[Any], Any]:
    return compile_cast(attrs.evolve(each, allow_none=True), Constraints())


def _family(each: ValueType) -> Family:
    if each.kind is Kind.LITERAL:
        return _CLASSES[each.python]
    return each.python if each.kind is Kind.ENUM else _KINDS.get(each.kind, each.kind)


def _family_of_value(value: object) -> Family:
    if value is None:
        return None
    if isinstance(value, enum.Enum):
        return type(value)
    return next((_CLASSES[kind] for kind in type(value).__mro__ if kind in _CLASSES), Kind.ANY)


def _exact(part: _Read, other: _Read) -> _Read:
    """Take a whole number beside a decimal one for a decimal, as Python does."""
    if other.family is Kind.DECIMAL and isinstance(part.node, ex.Value) and type(part.node.value) is int:
        return _Read(ex.Value(decimal.Decimal(part.node.value)), Kind.DECIMAL)
    return part


def _known(parts: tuple[_Read, ...]) -> Family:
    return next((part.family for part in parts if part.family is not None), None)
