"""Calls of functions in conditions, drawn for the comparison of layers, and where two answers differ. No test."""

from __future__ import annotations

import operator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from resourcekit import case, now
from resourcekit.expressions.dates import DATE_PARTS, TIME_PARTS, UNITS
from resourcekit.extending import Field

START = datetime(2030, 1, 1, tzinfo=UTC)


@st.composite
def calls(draw: Any, texts: st.SearchStrategy[str], decimals: st.SearchStrategy[Decimal]) -> tuple[Any, Any]:
    """A call of a function, and a value to compare it with."""
    kind = draw(st.sampled_from(["text", "//", "%", "/", "round", "price", "part", "cut", "ago"]))
    match kind:
        case "text":
            return getattr(
                Field(draw(st.sampled_from(["code", "word"]))), draw(st.sampled_from(["lower", "upper", "trim"]))
            )(), draw(texts)
        case "round":
            return Field("ratio").round(draw(st.integers(0, 3))), draw(st.floats(-3, 3))
        case "part":
            name = draw(st.sampled_from(["moment", "day", "hour"]))
            parts = {"moment": (*DATE_PARTS, *TIME_PARTS), "day": DATE_PARTS, "hour": TIME_PARTS}[name]
            whole = Field(name) + Field("lasts") if name == "moment" and draw(st.booleans()) else Field(name)
            return getattr(whole, draw(st.sampled_from(parts)))(), draw(st.sampled_from([0, 1, 12, 23, 59, 1969, 2030, 9999]))
        case "cut":
            unit = draw(st.sampled_from(UNITS))
            by = timedelta(days=draw(st.integers(-40, 40)))
            return Field("moment").truncate(unit), draw(st.sampled_from([START, START + by, (now() + by).truncate(unit)]))
        case "ago":
            return Field("day") - date(2030, 1, 1), timedelta(days=draw(st.integers(-400, 400)))
        case "price":
            price, by = Field("price"), draw(decimals)
            return draw(st.sampled_from([price.round(draw(st.integers(0, 2))), price // by, price % by])), draw(decimals)
    number, by = Field(draw(st.sampled_from(["number", "maybe"]))), draw(st.integers(-3, 3) | st.just(Field("maybe")))
    sign = {"//": operator.floordiv, "%": operator.mod, "/": operator.truediv}[kind]
    return sign(number, by), draw(st.integers(-3, 3))


@st.composite
def compared(draw: Any, texts: st.SearchStrategy[str], decimals: st.SearchStrategy[Decimal]) -> Any:
    """A comparison of a call of a function."""
    call, wanted = draw(calls(texts, decimals))
    return getattr(call, draw(st.sampled_from(["__eq__", "__ne__", "__lt__", "__ge__"])))(wanted)


@st.composite
def meanings(draw: Any, integers: st.SearchStrategy[int]) -> Any:
    """A condition that databases would understand in their own ways: each has one meaning on every layer."""
    match draw(st.sampled_from(["pattern", "set", "left", "case", "large"])):
        case "pattern":
            return Field(draw(st.sampled_from(["word", "status"]))).like(Field("code"))
        case "set":
            return Field("number").in_([Field("maybe"), draw(integers), None])
        case "left":
            return draw(st.integers(-3, 3)) - Field("maybe") >= 2 * Field("number")
        case "case":
            return case(Field("flag"), Field("number"), Field("maybe")) > draw(st.integers(-2, 2))
    beyond = st.sampled_from([2**63 - 1, -(2**63), 2**62])
    return Field("number") + draw(beyond) + Field("maybe") > draw(beyond) - Field("number")


NULS: st.SearchStrategy[Any] = st.sampled_from([{"a": "\0"}, {"\0": 1}, {"a": [{"b": "x\0"}]}])
"""JSON with a NUL, which some databases cannot keep: every layer refuses it."""


def apart(expected: Any, found: Any) -> Any:
    """Return the first place at which two answers differ."""
    if type(expected) is type(found) and isinstance(expected, (list, tuple)) and len(expected) == len(found):
        return [apart(one, other) for one, other in zip(expected, found, strict=True) if one != other]
    if isinstance(expected, dict) and isinstance(found, dict):
        return {name: apart(expected.get(name), found.get(name)) for name in expected if expected.get(name) != found.get(name)}
    return expected, found
