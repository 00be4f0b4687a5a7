"""Casting: once cast, a value stays as it is; what is refused is refused whole, and the value is never shown."""

from __future__ import annotations

import datetime as dt
import enum
import re
import uuid
from decimal import Decimal
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resourcekit.actions.casting import Cast, CastError, compile_cast
from resourcekit.declarations.attribute import Constraints
from resourcekit.extending import read_annotation
from resourcekit.types import JSON


class Size(enum.Enum):
    """Some members."""

    SMALL = 1
    LARGE = "large"


TYPES: list[Any] = [
    str,
    int,
    float,
    bool,
    Decimal,
    dt.datetime,
    dt.date,
    dt.time,
    dt.timedelta,
    uuid.UUID,
    bytes,
    Size,
    Literal["a", "b"],
    Literal[1, 2],
    list[int],
    list[dt.datetime | None],
    dict[str, Decimal],
    JSON,
    str | None,
]

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.binary(max_size=4)
    | st.decimals()
    | st.datetimes(timezones=st.none() | st.timezones())
    | st.dates()
    | st.times()
    | st.timedeltas()
    | st.uuids()
    | st.sampled_from([*Size, "a", "large", "SMALL", "12", "-3.5", "true", "2026-11-24", "10:30", "2026-11-24T10:30:00Z", "inf"])
)
anything = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.tuples(inner) | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=3)
    ),
    max_leaves=5,
)


def attempt(cast: Cast, value: Any) -> tuple[Any, str]:
    """Return what a value becomes, and the text of its refusal."""
    try:
        return cast(value), ""
    except CastError as error:
        return None, str(error)


@pytest.mark.parametrize("annotation", TYPES, ids=str)
@given(value=anything)
@settings(max_examples=100, deadline=None)
def test_casting_twice_is_casting_once(annotation: Any, value: Any) -> None:
    """Anything at all is either refused as CastError or becomes a value that casting leaves as it is."""
    cast = compile_cast(read_annotation(annotation), Constraints())
    once, refusal = attempt(cast, value)
    if refusal:
        assert refusal.startswith("must ")
    else:
        assert (once, "") == attempt(cast, once)
        assert type(once) is type(cast(once))


@pytest.mark.parametrize("annotation", [each for each in TYPES if each is not JSON], ids=str)
def test_a_refusal_does_not_show_the_value(annotation: Any) -> None:
    """An error text names what would do, and nothing of what was given."""
    cast = compile_cast(
        read_annotation(annotation), Constraints(max_length=3) if annotation in (str, str | None) else Constraints()
    )

    for value in ("hunter2 is my secret", ["hunter2"], {"hunter2": "hunter2"}, b"hunter2"):
        assert "hunter2" not in attempt(cast, value)[1]


@pytest.mark.parametrize(
    ("constraints", "good", "bad", "message"),
    [
        ({"min_length": 2}, "ab", "a", "must have at least 2 characters"),
        ({"max_length": 2}, "ab", "abc", "must have at most 2 characters"),
        ({"max_length": 1}, "\U0001f600", "e\u0301", "must have at most 1 character"),
        ({"match": "[a-z]+"}, "ab", "ab\n", "must match [a-z]+"),
    ],
)
def test_limits_of_texts(constraints: dict[str, Any], good: str, bad: str, message: str) -> None:
    """Lengths are in code points, both bounds inclusive; a pattern must match the whole text."""
    if "match" in constraints:
        constraints = {"match": re.compile(constraints["match"])}
    cast = compile_cast(read_annotation(str), Constraints(**constraints))

    assert good == cast(good)
    with pytest.raises(CastError) as caught:
        cast(bad)
    assert str(caught.value).startswith(message)


def test_limits_of_sizes_name_what_is_counted() -> None:
    """Texts have characters, bytes have bytes, lists and dicts have items."""
    for annotation, value, unit in ((bytes, b"", "1 byte"), (list[int], [], "1 item"), (dict[str, int], {}, "1 item")):
        with pytest.raises(CastError, match=f"at least {unit}$"):
            compile_cast(read_annotation(annotation), Constraints(min_length=1))(value)


@pytest.mark.parametrize(
    ("annotation", "low", "high", "below", "above"),
    [
        (int, 1, 3, 0, "4"),
        (float, 0.5, 1.5, 0.4, 1.6),
        (Decimal, Decimal("0.1"), Decimal("0.2"), "0.09", Decimal("0.21")),
        (dt.date, dt.date(2026, 1, 1), dt.date(2026, 12, 31), "2025-12-31", dt.date(2027, 1, 1)),
        (dt.timedelta, dt.timedelta(0), dt.timedelta(1), dt.timedelta(-1), "86401"),
    ],
    ids=str,
)
def test_limits_of_what_can_be_compared(annotation: Any, low: Any, high: Any, below: Any, above: Any) -> None:
    """Both bounds are inclusive, and hold for what was cast."""
    cast = compile_cast(read_annotation(annotation | None), Constraints(minimum=low, maximum=high))

    assert [low, high, None] == [cast(low), cast(high), cast(None)]
    for value, message in [(below, f"must be at least {low}"), (above, f"must be at most {high}")]:
        with pytest.raises(CastError) as caught:
            cast(value)
        assert message == str(caught.value)
