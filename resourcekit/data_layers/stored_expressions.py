"""Expressions as a data layer computes them: values in their stored form, text that ignores case by its folded attribute."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs

from resourcekit.data_layers.base import UnsupportedExpression
from resourcekit.data_layers.stored_forms import dumper, json_dumper
from resourcekit.data_layers.stored_info import folded_name, folded_value, folds
from resourcekit.declarations.value_type import JSON_VALUE, Kind, ValueType
from resourcekit.expressions import nodes as ex
from resourcekit.expressions.measures import At, Contains, Matches
from resourcekit.expressions.nodes import Expression, Sort
from resourcekit.expressions.related import Related
from resourcekit.expressions.rewriting import children, rebuild
from resourcekit.resource_info import ResourceInfo

__all__ = ["Converted", "Form", "Forms", "Lowering"]


@attrs.frozen(eq=False)
class Form:
    """How a value becomes its stored form. key: distinguishes the forms of one resource."""

    key: str
    dump: Callable[[Any], Any]

    def of(self, value: Any) -> Any:
        """Return the stored form; ``None`` stays ``None``."""
        return None if value is None else self.dump(value)


@attrs.frozen
class Converted:
    """A parameter in its stored form. many: it holds a collection of values."""

    name: str
    source: str
    form: Form
    many: bool = False

    def value(self, params: Mapping[str, Any]) -> Any:
        """Return the stored form of the parameter's value."""
        given = params[self.source]
        return tuple(map(self.form.of, given)) if self.many else self.form.of(given)


class Forms:
    """The stored forms of the attributes of one resource."""

    def __init__(self, info: ResourceInfo) -> None:
        self.folded = frozenset(name for name, each in info.attributes.items() if folds(each))
        self._types = {name: each.type for name, each in info.attributes.items()}
        self._forms = {
            name: Form(name, _dump_of(each.type)) for name, each in info.attributes.items() if dumper(each.type) is not None
        }
        self._folds = {
            name: Form(folded_name(name), _folding(self._forms[name].dump if name in self._forms else None))
            for name in self.folded
        }

    def of(self, name: str, *, folded: bool = False) -> Form | None:
        """Return the form of an attribute; ``None`` if values are stored as they are. folded: its text without case."""
        return self._folds.get(name) if folded else self._forms.get(name)

    def is_own(self, name: str) -> bool:
        """Return whether values of an attribute are stored in another type, so that their parts are plain JSON there."""
        return name in self._types and self._types[name].basic is not self._types[name]


def _dump_of(of: ValueType) -> Callable[[Any], Any]:
    dump = dumper(of)
    assert dump is not None
    if of.own is None or not isinstance(of.own.python, type) or of.own.stored.python is of.own.python:
        return dump
    python = of.own.python  # what a sum meets may be a plain number: price * 2
    return lambda value: dump(value) if isinstance(value, python) else value


def _folding(dump: Callable[[Any], Any] | None) -> Callable[[Any], Any]:
    return folded_value if dump is None else lambda value: folded_value(dump(value))


class Lowering:
    """Rewrites the expressions of one operation, and collects its converted parameters."""

    def __init__(self, forms: Forms) -> None:
        self._forms = forms
        self.converted: dict[str, Converted] = {}

    def condition(self, node: Expression | None) -> Expression | None:
        """Return a condition for the data layer."""
        return None if node is None else self._lower(node, None, folds=True)

    def order(self, keys: tuple[Sort, ...]) -> tuple[Sort, ...]:
        """Return an order for the data layer."""
        return tuple(attrs.evolve(key, by=self._lower(key.by, self._form_of(key.by), folds=True)) for key in keys)

    def assigned(self, assignments: Mapping[str, Expression]) -> dict[str, Expression]:
        """Return assignments for the data layer, with those of folded text.

        Raise UnsupportedExpression for a computed text that a data layer cannot fold.
        """
        found: dict[str, Expression] = {}
        for name, node in assignments.items():
            found[name] = self._lower(node, self._forms.of(name), folds=False)
            if name in self._forms.folded:
                found[folded_name(name)] = self._folded(name, node)
        return found

    def value(self, name: str, node: Expression) -> Expression:
        """Return the expression that is assigned to an attribute."""
        return self._lower(node, self._forms.of(name), folds=False)

    def computed(self, node: Expression) -> tuple[Expression, str]:
        """Return an expression that is read, and the attribute in whose form its values are; ``""`` for none."""
        form = self._form_of(node, folds=False)
        return self._lower(node, form, folds=False), "" if form is None else form.key

    def _folded(self, name: str, node: Expression) -> Expression:
        match node:
            case ex.Field(other) | ex.Existing(other) | ex.Incoming(other) if other in self._forms.folded:
                return type(node)(folded_name(other))
            case ex.Value() | ex.Param():
                return self._lower(node, self._forms.of(name, folded=True), folds=True)
            case ex.Coalesce(parts):
                return ex.Coalesce(tuple(self._folded(name, part) for part in parts))
            case ex.Case(when, then, otherwise):
                return ex.Case(self._lower(when, None, folds=True), self._folded(name, then), self._folded(name, otherwise))
            case _:
                raise UnsupportedExpression("a data layer cannot fold the case of a text that it computes")

    def _form_of(self, node: Expression, *, folds: bool = True) -> Form | None:
        """Return the form of the values that meet a node."""
        match node:
            case ex.Field(name) | ex.Existing(name) | ex.Incoming(name):
                return self._forms.of(name, folded=folds and name in self._forms.folded)
            case At(_, _, _, ValueType() as type_) if self._is_in_own(node):
                return Form(f"{_path(node)}", json_dumper(type_))
            case ex.Arithmetic() | ex.Coalesce() | ex.Greatest():
                return next((form for part in children(node) if (form := self._form_of(part, folds=folds)) is not None), None)
            case ex.Case(_, then, otherwise):
                return self._form_of(then, folds=folds) or self._form_of(otherwise, folds=folds)
            case _:
                return None

    def _is_in_own(self, node: At) -> bool:
        return isinstance(node.operand, (ex.Field, ex.Existing, ex.Incoming)) and self._forms.is_own(node.operand.name)

    def _lower(self, node: Expression, form: Form | None, *, folds: bool) -> Expression:  # noqa: PLR0912  # one case for each node
        match node:
            case ex.Field(name) | ex.Existing(name) | ex.Incoming(name):
                return type(node)(folded_name(name)) if folds and name in self._forms.folded else node
            case Related():  # it names no attribute that has a stored form
                return node
            case ex.Value(value):
                return node if form is None else ex.Value(form.of(value))
            case ex.Param(name):
                return node if form is None else self._converted(node, form, many=False)
            case ex.Compare(op, left, right):
                form = self._form_of(left) or self._form_of(right)
                return ex.Compare(op, self._lower(left, form, folds=True), self._lower(right, form, folds=True))
            case ex.In(operand, options):
                form = self._form_of(operand)
                return ex.In(self._lower(operand, form, folds=True), self._options(options, form))
            case ex.Like(operand, pattern):
                form = self._form_of(operand)
                return ex.Like(self._lower(operand, form, folds=True), self._lower(pattern, form, folds=True))
            case Matches(operand, regex):
                return Matches(self._lower(operand, None, folds=False), regex)
            case Contains(operand, item, type_):
                held = JSON_VALUE if type_ is None else type_
                form = None if held.basic is held else Form(f"item of {held}", self._item_dump(held))
                return Contains(operand, self._lower(item, form, folds=False), held.basic)
            case ex.Call(_, parts):  # the case of a text counts in what is computed of it
                return attrs.evolve(node, parts=tuple(self._lower(part, None, folds=False) for part in parts))
            case At():
                return attrs.evolve(node, type=JSON_VALUE) if self._is_in_own(node) else node
            case ex.Case(when, then, otherwise):
                return ex.Case(
                    self._lower(when, None, folds=True),
                    self._lower(then, form, folds=folds),
                    self._lower(otherwise, form, folds=folds),
                )
            case ex.Arithmetic() | ex.Coalesce() | ex.Greatest():
                form = form or self._form_of(node)
                return rebuild(node, tuple(self._lower(part, form, folds=folds) for part in children(node)))
            case _:
                parts = tuple(self._lower(part, None, folds=folds) for part in children(node))
                return rebuild(node, parts) if parts else node

    @staticmethod
    def _item_dump(held: ValueType) -> Callable[[Any], Any]:
        return (dumper(held) if held.kind is Kind.OWN else json_dumper(held)) or (lambda value: value)

    def _options(self, options: Expression, form: Form | None) -> Expression:
        if isinstance(options, ex.Param):
            return options if form is None else self._converted(options, form, many=True)
        if isinstance(options, ex.Value) and isinstance(options.value, (tuple, list, set, frozenset)):
            return ex.Value(
                tuple(
                    self._lower(each, form, folds=True)
                    if isinstance(each, Expression)
                    else each
                    if form is None
                    else form.of(each)
                    for each in options.value
                )
            )
        return options

    def _converted(self, node: ex.Param, form: Form, *, many: bool) -> ex.Param:
        name = f"{node.name}:{form.key}"
        self.converted[name] = Converted(name, node.name, form, many)
        return attrs.evolve(node, name=name)


def _path(node: At) -> str:
    return ".".join(map(str, (getattr(node.operand, "name", ""), *node.steps)))
