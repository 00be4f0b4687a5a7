"""Type checks of conditions and orders against the attributes that they name: casts values, refuses what has no meaning.

A condition therefore has the same meaning, and is refused for the same reasons, on every store.
"""

from __future__ import annotations

import datetime as dt
import decimal
from collections.abc import Callable
from typing import Any

import attrs

from resourcekit.actions.casting import Cast, CastError, compile_cast
from resourcekit.actions.families import SUMS, Family, family_of, family_of_value, formed, result_of
from resourcekit.actions.value_parts import FORMS, inside, is_in_class, is_of
from resourcekit.declarations.limits import Limits
from resourcekit.declarations.value_type import JSON_VALUE, Kind, ValueType
from resourcekit.errors import FieldFinding, InvalidArgument, did_you_mean
from resourcekit.expressions import nodes as ex
from resourcekit.expressions.context_nodes import Missing, Slot
from resourcekit.expressions.dates import Today
from resourcekit.expressions.evaluation import compile_expression
from resourcekit.expressions.measures import At, Contains, Length, Matches
from resourcekit.expressions.nodes import Expression, Fragment, Sort
from resourcekit.expressions.related import ManyOf, OneOf, Parent, Related, SameKey
from resourcekit.expressions.rewriting import children, is_constant
from resourcekit.resource_info import ResourceInfo

__all__ = ["Conditions"]


@attrs.frozen
class _Read:
    """A checked part of a condition with its type family.

    field: the attribute that it is, or whose type it has; ``""`` for another expression.
    type: its type, if values that meet it are cast; the attribute may be one of a related record. is_computed: it is not the attribute itself.
    """

    node: Expression
    family: Family = None
    field: str = ""
    type: ValueType | None = None
    is_computed: bool = False


_FOLDED = (int, float, decimal.Decimal, str, type(None))


class Conditions:
    """Checks the conditions and orders of one resource."""

    def __init__(self, info: ResourceInfo, owner: Any = None) -> None:
        self._resource, self._owner = info.name, owner
        self._families = {name: family_of(attribute.type) for name, attribute in info.attributes.items()}
        self._types = {name: attribute.type for name, attribute in info.attributes.items()}
        self._limits = {name: attribute.constraints for name, attribute in info.attributes.items()}
        self._casts: dict[str, Cast] = {name: _comparable(each, self._limits[name]) for name, each in self._types.items()}

    def condition(self, node: Expression) -> Expression:  # noqa: PLR0912  # one case for each node
        """Return a condition with its values cast. Raise InvalidArgument, with the field, for an unknown field or a value of a
        wrong type.
        """
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
            case Matches(operand, regex):
                return Matches(self.value(operand).node, regex)
            case Contains():
                return self._contains(node)
            case ex.Case(when, then, otherwise):
                return ex.Case(self.condition(when), self.condition(then), self.condition(otherwise))
            case ex.Value(bool()):
                return node
            case ex.Arithmetic() | ex.Call():
                raise self._refused("", "what is computed is no condition; compare it with something")
            case _:
                return self._truth(self.value(node))

    def require_own(self, node: object) -> None:
        """Raise InvalidArgument for an attribute of a resource that is not this one, nor a base of it, nor an older declaration."""
        if isinstance(node, ex.Operand):
            node = ex.as_expression(node)
        if not isinstance(node, ex.Field) or node.owner in (None, self._owner):
            return
        name, owner, here = node.name, node.owner, self._owner
        if not isinstance(here, type) or issubclass(here, owner) or here.__qualname__ == owner.__qualname__:
            return
        shown = f"is an attribute of {owner.__name__}, and here are records of {self._resource}"
        cure = f"write {self._resource}.{name}, or a path to it: {self._resource}.relationship[{owner.__name__}.{name}]"
        raise self._refused(name, f"{shown}; {cure}")

    def assigned(self, name: str, node: Expression) -> Expression:
        """Return an expression that is assigned to an attribute, checked and cast in the same way."""
        return self._alike((_Read(ex.Field(name), self._families[name], name), self.value(self._leaves(name, node))))[1].node

    def _leaves(self, name: str, node: Expression) -> Expression:
        """Cast the values that an expression chooses among, as a given value is cast."""
        match node:
            case ex.Value():
                return self._cast(name, _Read(node)).node
            case ex.Case(when, then, otherwise) if self._types[name].kind is Kind.ENUM:
                return ex.Case(when, self._leaves(name, then), self._leaves(name, otherwise))
            case ex.Coalesce(parts) | ex.Greatest(parts) if self._types[name].kind is Kind.ENUM:
                return type(node)(tuple(self._leaves(name, part) for part in parts))
            case _:
                return node

    def order(self, keys: tuple[Sort, ...]) -> tuple[Sort, ...]:
        """Return a checked order. Values without an order are refused, and a key with one value for all records is left out."""
        read: list[Sort] = []
        for key in keys:
            by = self.value(key.by)
            if by.family is Kind.ANY or _is_unordered(by):
                raise self._refused(by.field, "has no order to sort by")
            if is_constant(by.node):  # databases take a number for the place of a column, or refuse it
                continue
            if (
                key.nulls is not None and (key.nulls == "first") is key.descending
            ):  # only if the store would not put nulls there by default
                read.append(Sort(ex.IsNone(by.node), descending=key.nulls == "first"))
            read.append(Sort(by.node, key.descending))
        return tuple(read)

    def value(self, node: Expression) -> _Read:  # noqa: PLR0912  # one case for each node
        """Check an expression that is used as a value."""
        match node:
            case ex.Field(name) | ex.Existing(name) | ex.Incoming(name):
                if name not in self._families:
                    raise self._refused(name, f"is no attribute. {did_you_mean(name, self._families)}")
                self.require_own(node)
                return _Read(node, self._families[name], name, self._types[name])
            case At():
                return self._part(node)
            case ex.Value(value):
                return _Read(node, family_of_value(value))
            case ex.Now():
                return _Read(node, Kind.DATE if isinstance(node, Today) else Kind.DATETIME)
            case ex.Arithmetic(op, left, right):
                return self._sum(op, self.value(left), self.value(right))
            case ex.Call():
                return self._call(node)
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
            case Fragment():
                parts = tuple(self.value(part).node for part in node.parts)
                return _Read(attrs.evolve(node, parts=parts), family_of(node.type), type=node.type)
            case Length(operand):
                return self._length(self.value(operand))
            case Related() | Parent() if node.family is not None or node.type is not None:
                return _Read(node, node.family, type=node.type)
            case SameKey():
                return _Read(node, Kind.BOOLEAN)
            case OneOf() | ManyOf() | Parent() | Related():
                raise self._refused("", "related records cannot be asked for here; filter a query by them")
            case ex.Argument(name):
                raise self._refused(name, "is no argument of the action, but one of its expressions uses it")
            case ex.And() | ex.Or() | ex.Not() | ex.IsNone() | ex.Compare() | ex.In() | ex.Like() | Matches() | Contains():
                return _Read(self.condition(node), Kind.BOOLEAN)
            case _:
                raise self._refused("", f"holds a {type(node).__name__}, which is no part of an expression")

    def _meeting(self, left: Expression, right: Expression) -> tuple[_Read, ...]:
        return self._alike((self.value(left), self.value(right)))

    def _alike(self, parts: tuple[_Read, ...]) -> tuple[_Read, ...]:
        """Cast the values that are compared with a field, and refuse parts that can never be equal."""
        typed = next((part for part in parts if part.type is not None), None)
        field = "" if typed is None else typed.field
        if typed is not None:
            parts = self._as_parts(parts)
            self._require_form(parts)
            parts = tuple(self._cast_like(typed, part) for part in parts)
        else:
            computed = next((part for part in parts if part.family is Kind.DECIMAL), _Read(ex.Value(None)))
            parts = tuple(_exact(self._aware(part), computed) for part in parts)
        known = [part for part in parts if part.family is not None]
        for part in known[1:]:
            if part.family != known[0].family:
                raise self._refused(field, "meets a value of another type")
        return parts

    def _cast(self, field: str, part: _Read) -> _Read:
        return self._cast_like(_Read(ex.Field(field), self._families[field], field, self._types[field]), part)

    def _cast_like(self, typed: _Read, part: _Read) -> _Read:
        """Cast a value that meets a typed part."""
        if not isinstance(part.node, ex.Value) or part.node.value is None or typed.type is None:
            return part
        is_field = isinstance(typed.node, (ex.Field, ex.Existing, ex.Incoming))
        cast = self._casts[typed.field] if is_field else _comparable(typed.type, Limits())
        try:
            made = part.node.with_cast(cast) if isinstance(part.node, Slot) else ex.Value(cast(part.node.value))
            return _Read(made, typed.family)
        except CastError as error:
            raise InvalidArgument(error.findings(typed.field or "a value of a related record"), resource=self._resource) from None

    # Parts of a value

    def _part(self, node: At) -> _Read:
        """Check a part of a dict, a list or an embedded value, and find its type."""
        whole = self.value(node.operand)
        held = whole.type
        place = whole.field
        for step in node.steps:
            held, problem = inside(held, step)
            place = f"{place}.{step}"
            if problem:
                raise self._refused(place, problem)
        held = JSON_VALUE if held is None else held
        form = FORMS.get((held.basic.held or held.basic).kind, "any")
        made = attrs.evolve(node, operand=whole.node, form=form, type=held)
        family = None if held.kind is Kind.ANY else Kind.ANY if form == "any" else family_of(held)
        if held.basic.kind is Kind.DECIMAL and not is_in_class(self._types[whole.field], node.steps):
            raise self._refused(place, "is a Decimal inside of JSON, which is text there; compare the whole value")
        return _Read(made, family, place, held, is_computed=True)

    def _as_parts(self, parts: tuple[_Read, ...]) -> tuple[_Read, ...]:
        """Give a part of free JSON, whose type is unknown, the form of the value that it meets."""
        families = [part.family for part in parts if isinstance(part.node, ex.Value) and part.family is not None]
        wanted = next(iter(families), None)
        return tuple(
            attrs.evolve(part, node=attrs.evolve(part.node, form=FORMS[wanted]), family=wanted, type=None)
            if isinstance(part.node, At) and part.family is None and wanted in FORMS
            else part
            for part in parts
        )

    def _require_form(self, parts: tuple[_Read, ...]) -> None:
        """Refuse a part of a value that cannot be compared: a list or a dict, or free JSON beside something of unknown type."""
        if all(isinstance(part.node, ex.Value) and part.node.value is None for part in parts[1:]):
            return
        for part in parts:
            if isinstance(part.node, At) and part.node.form == "any":
                known = "is a list or a mapping; compare its parts, or the whole value" if part.family is Kind.ANY else ""
                raise self._refused(part.field, known or "has a type that is known only if it meets a text, a number or a bool")

    def _length(self, read: _Read) -> _Read:
        if read.type is not None and read.type.basic.kind not in (Kind.STRING, Kind.BYTES, Kind.LIST):
            raise self._refused(read.field, f"has no length: it is {read.type}")
        return _Read(Length(read.node), Kind.FLOAT)

    def _contains(self, node: Contains) -> Expression:
        whole, item = self.value(node.operand), self.value(node.item)
        if whole.family is Kind.STRING and isinstance(node.item, ex.Value) and isinstance(node.item.value, str):
            return self._match(node.operand, ex.Value(f"%{ex.literally(node.item.value)}%"))
        if whole.type is None or whole.type.basic.kind is not Kind.LIST or whole.is_computed:
            raise self._refused(whole.field, "has no items to look for; contains(...) is for lists, and for texts with a text")
        held = whole.type.item if whole.type.kind is Kind.LIST else whole.type.basic.item
        if held is not None and held.basic.kind is Kind.DECIMAL:
            raise self._refused(whole.field, "holds decimals, which a data layer cannot look for inside of a list")
        if held is not None:
            item = self._cast_like(_Read(node, Kind.ANY, whole.field, held), item)
        return Contains(whole.node, item.node, held)

    def _membership(self, operand: Expression, options: Expression) -> Expression:
        read = self.value(operand)
        if not isinstance(options, ex.Value) or isinstance(options, Missing):
            return ex.In(read.node, self.value(options).node)
        if not isinstance(options.value, (tuple, list, set, frozenset)):
            raise self._refused(read.field, "must be looked for in a collection")
        parts = [option if isinstance(option, Expression) else ex.Value(option) for option in options.value]
        cast = self._alike((read, *map(self.value, parts)))[1:]
        return ex.In(read.node, ex.Value(tuple(map(_option, cast))))

    def _match(self, operand: Expression, pattern: Expression) -> Expression:
        text, wanted = self.value(operand), self.value(pattern)
        if text.family not in (None, Kind.STRING) or wanted.family not in (None, Kind.STRING):
            raise self._refused(text.field, "can be matched only where it is text, and with a text")
        return ex.Like(text.node, wanted.node)

    def _truth(self, read: _Read) -> Expression:
        if read.type is not None and read.type.basic.kind is not Kind.BOOLEAN:
            raise self._refused(read.field, "is no condition; compare it with something")
        if read.family not in (None, Kind.FLOAT, Kind.BOOLEAN):
            raise self._refused("", "an expression that is neither true nor false is no condition")
        return read.node

    def _sum(self, op: str, left: _Read, right: _Read) -> _Read:
        left, right = self._aware(_exact(left, right)), self._aware(_exact(right, left))
        left, right = _formed(op, left, right), _formed(op, right, left)
        left, right, own = self._own_sum(op, left, right)
        node: Expression = ex.Arithmetic(op, left.node, right.node)  # type: ignore[arg-type]  # taken from such a node
        if left.family is None or right.family is None:
            return _Read(self._folded(node))
        family = SUMS.get((left.family, op, right.family))
        if family is None:
            raise self._refused(left.field or right.field, f"cannot be computed with {op} and a value of such a type")
        node = self._folded(node)
        return _Read(node, family) if own is None else _Read(node, family, own.field, own.type, is_computed=True)

    def _call(self, node: ex.Call) -> _Read:
        parts = tuple(map(self.value, node.parts))
        exact = next((part for part in parts if part.family is Kind.DECIMAL), _Read(ex.Value(None)))
        parts = tuple(_exact(self._aware(part), exact) for part in parts)
        nodes, families = zip(*(formed(node.function, part.node, part.family) for part in parts), strict=True)
        family, problem = result_of(node.function, node.facts, nodes, families, self._types)
        if problem:
            raise self._refused(next((part.field for part in parts if part.field), ""), problem)
        return _Read(self._folded(attrs.evolve(node, parts=nodes)), family)

    def _folded(self, node: Expression) -> Expression:
        """Return the value of an expression over constants, which have no type in a database; ``None`` if one of them is ``None``."""
        parts = children(node)
        for part in parts:
            if isinstance(part, ex.Value) and part.value is None:
                return part  # it may be a missing value of the actor
        if not all(isinstance(part, ex.Value) and isinstance(part.value, _FOLDED) for part in parts):
            return node
        try:
            value = compile_expression(node)({}, {}, {})
        except ArithmeticError:
            raise self._refused("", "computes a number of constants that is too large") from None
        return ex.Value(value) if isinstance(value, _FOLDED) else node

    def _own_sum(self, op: str, left: _Read, right: _Read) -> tuple[_Read, _Read, _Read | None]:
        """Return both sides of a sum, and the one with a type of ``value_type``, which the result has, too.

        A value beside it is cast to that type, unless it is a number in a product.
        """
        found = [each for each in (left, right) if each.type is not None and each.type.kind is Kind.OWN]
        if not found or (op == "*" and len(found) > 1):  # a product of two of them is something else
            return left, right, None
        own = found[0]

        def beside(part: _Read) -> _Read:
            if not isinstance(part.node, ex.Value) or (op == "*" and not is_of(part.node.value, own.type)):
                return part
            return self._cast_like(own, part)

        return beside(left), beside(right), own

    def _aware(self, part: _Read) -> _Read:
        """Refuse a datetime without a time zone, which stores cannot compare."""
        if isinstance(part.node, ex.Value) and isinstance(part.node.value, dt.datetime) and part.node.value.utcoffset() is None:
            raise self._refused(part.field, "meets a datetime that must have a time zone")
        return part

    def _require_order(self, *parts: _Read) -> None:
        for part in parts:
            if part.family is Kind.ANY or isinstance(part.family, type) or _is_unordered(part):
                raise self._refused(part.field, "has no order to compare by; name the values with in_([...])")

    def _refused(self, field: str, message: str) -> InvalidArgument:
        return InvalidArgument(FieldFinding(field, message), resource=self._resource)


def _is_unordered(part: _Read) -> bool:
    """Return whether a part of a value is text that sorts otherwise than its values, or may be anything."""
    return isinstance(part.node, At) and (part.node.form == "any" or part.family is Kind.DECIMAL or isinstance(part.family, type))


def _comparable(each: ValueType, limits: Limits) -> Callable[[Any], Any]:
    """Return the cast of values that are compared: as an input, without the limits that refuse values."""
    own = None if each.own is None else attrs.evolve(each.own, limits=Limits())
    return compile_cast(attrs.evolve(each, allow_none=True, limits=None, own=own), limits.spelling)


def _formed(op: str, part: _Read, other: _Read) -> _Read:
    node, family = formed(op, part.node, part.family, other.family)
    return part if node is part.node else attrs.evolve(part, node=node, family=family, type=None)


def _exact(part: _Read, other: _Read) -> _Read:
    """Convert an int next to a decimal to a decimal, as Python does."""
    if other.family is Kind.DECIMAL and isinstance(part.node, ex.Value) and type(part.node.value) is int:
        return _Read(ex.Value(decimal.Decimal(part.node.value)), Kind.DECIMAL)
    return part


def _option(part: _Read) -> object:
    node = part.node
    return node.value if isinstance(node, ex.Value) and not isinstance(node, (Slot, Missing)) else node


def _known(parts: tuple[_Read, ...]) -> Family:
    return next((part.family for part in parts if part.family is not None), None)
