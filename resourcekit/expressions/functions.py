"""Functions that build expressions: choices, the largest and the smallest of several values, joined texts, the current time."""

from __future__ import annotations

from resourcekit.errors import FieldFinding, InvalidArgument
from resourcekit.expressions.calls import checked_call
from resourcekit.expressions.dates import today
from resourcekit.expressions.nodes import (
    Argument,
    Arithmetic,
    Case,
    Coalesce,
    Existing,
    Expression,
    Greatest,
    Incoming,
    Least,
    Now,
    Operand,
    Value,
    as_condition,
    as_expression,
)
from resourcekit.known_names import shown

__all__ = ["arg", "case", "coalesce", "concat", "existing", "greatest", "incoming", "least", "now", "today"]


@checked_call("now", "write now()")
def now() -> Expression:
    """The moment at which the query or the write runs, not the moment of this call."""
    return Now()


@checked_call("existing", "write existing('hits')")
def existing(name: str) -> Expression:
    """In an upsert: the attribute of the stored record."""
    return Existing(_name("existing", name))


@checked_call("incoming", "write incoming('hits')")
def incoming(name: str) -> Expression:
    """In an upsert: the attribute of the incoming record."""
    return Incoming(_name("incoming", name))


@checked_call("coalesce", "it takes values, without names")
def coalesce(*parts: object) -> Expression:
    """The first of the values that is not ``None``."""
    return Coalesce(_several("coalesce", parts))


@checked_call("greatest", "it takes values, without names")
def greatest(*parts: object) -> Expression:
    """The largest of the values that are not ``None``."""
    return Greatest(_several("greatest", parts))


@checked_call("least", "it takes values, without names")
def least(*parts: object) -> Expression:
    """The smallest of the values that are not ``None``."""
    return Least(_several("least", parts))


def _name(called: str, name: object) -> str:
    if isinstance(name, str):
        return name
    raise InvalidArgument(FieldFinding("", f"{called} takes the name of an attribute, not {type(name).__name__}"))


def _several(called: str, parts: tuple[object, ...]) -> tuple[Expression, ...]:
    if not parts:
        raise InvalidArgument(FieldFinding("", f"{called} needs values: {called}(Ticket.seen_at, Ticket.opened_at)"))
    return tuple(as_expression(part) for part in parts)


@checked_call("concat", "it takes values, without names")
def concat(*parts: object) -> Expression:
    """The texts one after the other; ``None`` counts as an empty text, unlike in ``+``."""
    _several("concat", parts)
    whole: Expression | None = None
    for part in parts:
        node = as_expression(part)
        node = node if isinstance(node, Value) and node.value is not None else Coalesce((node, Value("")))
        whole = node if whole is None else Arithmetic("+", whole, node)
    return Value("") if whole is None else whole


@checked_call("case", "write case(condition, then, otherwise)")
def case(when: Operand, then: object, otherwise: object) -> Expression:
    """``then`` if ``when`` holds, else ``otherwise``. A bool attribute is a condition."""
    return Case(as_condition(when), as_expression(then), as_expression(otherwise))


@checked_call("arg", "write arg('reason')")
def arg(name: str) -> Expression:
    """The value of an argument of the action, in an expression that is declared before the action runs."""
    if not isinstance(name, str) or not name:  # type: ignore[redundant-expr]  # a number, for example
        raise InvalidArgument(FieldFinding("", f"arg takes the name of an argument, such as arg('reason'), not {shown(name)}"))
    return Argument(name)
