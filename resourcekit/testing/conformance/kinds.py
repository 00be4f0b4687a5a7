"""The kinds of values of the conformance tests: a table of types that attributes may have, with values of each."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal, NotRequired, TypedDict
from uuid import UUID

import attrs

from resourcekit.declarations.limits import Limits
from resourcekit.declarations.own_types import value_type
from resourcekit.testing.conformance.samples import Shade

__all__ = ["KINDS", "ValueKind"]


class Level(enum.IntEnum):
    """An enum whose members are numbers, one of them negative."""

    LOW = -1
    MIDDLE = 2
    HIGH = 10


class Mood(enum.StrEnum):
    """An enum whose members are texts."""

    BAD = "B"
    GOOD = "a"


class Answer(enum.Enum):
    """An enum whose values are booleans."""

    NO = False
    YES = True


@attrs.frozen
class Spot:
    """An attrs class, inside of others."""

    x: int
    y: Decimal = Decimal(0)


@dataclass(frozen=True)
class Stay:
    """A dataclass with fields of types that JSON does not have."""

    since: datetime
    day: date | None = None
    shade: Shade = Shade.RED
    spot: Spot | None = None


class Settings(TypedDict):
    """A TypedDict with a field that may be missing."""

    theme: str
    size: NotRequired[int]


@dataclass(frozen=True)
class Round:
    """A class of a union, named by its tag."""

    radius: float


@dataclass(frozen=True)
class Square:
    """Another class of the union."""

    side: int


@attrs.frozen
class Coins:
    """An amount that is stored as a number."""

    amount: Decimal


value_type("ConformanceCoins", Coins, stored=Decimal, dump=lambda coins: coins.amount, load=Coins)
Address = Annotated[str, value_type("ConformanceAddress", str, cast=lambda text: text.strip().lower(), match=".+@.+")]


@attrs.frozen
class ValueKind:
    """A kind of values.

    annotation, options: the type of the attribute, and the options of its declaration.
    values: values that differ; in their order, if they have one.
    spelled: an input of another form, such as the text that a JSON body has, and the value that it is.
    is_ordered: whether the values can be compared and sorted.
    is_key: whether an identity may compare the values.
    """

    annotation: Any
    values: tuple[Any, ...]
    spelled: tuple[Any, Any] | None = None
    options: Mapping[str, Any] = attrs.field(factory=dict)
    is_ordered: bool = True
    is_key: bool = True


def _json(annotation: Any, *values: Any, spelled: tuple[Any, Any] | None = None) -> ValueKind:
    """Return a kind whose values are stored as JSON."""
    return ValueKind(annotation, values, spelled, is_ordered=False, is_key=False)


_MOMENTS = (
    datetime(1, 1, 1, tzinfo=UTC),
    datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
    datetime(2024, 2, 29, 12, tzinfo=UTC),
    datetime(2024, 2, 29, 12, 0, 0, 1, tzinfo=UTC),
    datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
)
_AMOUNTS = tuple(map(Decimal, ("-100.50", "-0.01", "0.00", "9.99", "10.00", "12345678901.25")))
_MOMENT = ("2024-02-29T13:00:00+01:00", _MOMENTS[2])

KINDS: dict[str, ValueKind] = {
    "text": ValueKind(str, ("", " ", "A", "a", "a ", "ä", "\ufb01", "\U0001f600"), options={"max_length": 100}),
    "lowered": ValueKind(str, ("a", "b c"), (" B C ", "b c"), {"case": "lower", "trim": True, "max_length": 100}),
    "folded": ValueKind(str, ("Ann", "Bob", "Straße"), options={"case": "fold", "max_length": 100}),
    "number": ValueKind(int, (-(2**63), -1, 0, 2**31, 2**53 + 1, 2**63 - 1), ("2147483648", 2**31)),
    "ratio": ValueKind(float, (-1e308, -5e-324, 0.0, 0.1, 1e15 + 0.5, 1e308), ("0.1", 0.1)),
    "flag": ValueKind(bool, (False, True), ("true", True)),
    "price": ValueKind(Decimal, _AMOUNTS, ("9.990", Decimal("9.99")), {"scale": 2}),
    "counted": ValueKind(Decimal, _AMOUNTS, ("9.9900", Decimal("9.99")), {"scale": 2, "stored": "integer"}),
    "moment": ValueKind(datetime, _MOMENTS, _MOMENT),
    "ticks": ValueKind(datetime, _MOMENTS, _MOMENT, {"stored": "microseconds"}),
    "day": ValueKind(date, (date(1, 1, 1), date(2024, 2, 29), date(9999, 12, 31)), ("2024-02-29", date(2024, 2, 29))),
    "hour": ValueKind(time, (time(0), time(0, 0, 0, 1), time(9, 59), time(23, 59, 59, 999999)), ("09:59", time(9, 59))),
    "lasts": ValueKind(
        timedelta,
        (timedelta(-1000000), timedelta(microseconds=-1), timedelta(0), timedelta(hours=13), timedelta(3650000)),
        ("46800", timedelta(hours=13)),
    ),
    "ref": ValueKind(UUID, (UUID(int=0), UUID(int=2**63), UUID(int=2**128 - 1)), (UUID(int=2**63).hex, UUID(int=2**63))),
    "blob": ValueKind(bytes, (b"", b"\0", b"\0\xff", b"a", b"\xff\xfe"), options={"max_length": 100}),
    "shade": ValueKind(Shade, tuple(Shade), ("m", Shade.RED), is_ordered=False),
    "level": ValueKind(Level, tuple(Level), (10, Level.HIGH), is_ordered=False),
    "mood": ValueKind(Mood, tuple(Mood), ("a", Mood.GOOD), is_ordered=False),
    "answer": ValueKind(Answer, tuple(Answer), (True, Answer.YES), is_ordered=False),
    "state": ValueKind(Literal["open", "closed"], ("open", "closed"), is_ordered=False),
    "rank": ValueKind(Literal[1, 5, 10], (1, 5, 10), is_ordered=False),
    "given": ValueKind(Literal[True, False], (True, False), is_ordered=False),
    "address": ValueKind(Address, ("a@x", "b@x"), (" B@X ", "b@x"), {"max_length": 100}),
    "coins": ValueKind(Coins, tuple(map(Coins, _AMOUNTS)), ("9.99", Coins(Decimal("9.99"))), {"scale": 2}, is_ordered=False),
    "tags": _json(list[str], [], [""], ["a"], ["b", "a"], ["a", "b"]),
    "scores": _json(list[Annotated[int, Limits(minimum=0)]], [], [0], [1, 2**63 - 1]),
    "refs": _json(list[UUID], [], [UUID(int=1), UUID(int=0)], spelled=([UUID(int=1).hex, UUID(int=0).hex], [UUID(int=1), UUID(int=0)])),
    "moments": _json(list[datetime], [], [_MOMENTS[2], _MOMENTS[0]], spelled=([_MOMENT[0]], [_MOMENT[1]])),
    "prices": _json(dict[str, Decimal], {}, {"": Decimal("-0.1"), "b": Decimal(10)}, spelled=({"a": "1.5"}, {"a": Decimal("1.5")})),
    "shades": _json(dict[str, Shade], {}, {"a": Shade.BLUE}, spelled=({"a": "a"}, {"a": Shade.BLUE})),
    "blobs": _json(list[bytes], [], [b"", b"\0\xff"]),
    "facts": _json(dict[str, Any], {}, {"a": None}, {"a": [1, "1", True, {"b": 2.5}]}, {"'": '"', "%": ":p0"}),
    "free": _json(list[Any], [], [None], [0], [False], ["0"], [[{}]]),
    "spot": _json(Spot, Spot(1), Spot(1, Decimal("0.5")), Spot(2), spelled=({"x": 1, "y": "0.50"}, Spot(1, Decimal("0.5")))),
    "stay": _json(Stay, Stay(_MOMENTS[0]), Stay(_MOMENTS[2], date(2024, 2, 29), Shade.BLUE, Spot(1)), spelled=({"since": _MOMENT[0]}, Stay(_MOMENT[1]))),
    "spots": _json(list[Spot], [], [Spot(1), Spot(2)], [Spot(2), Spot(1)], spelled=([{"x": 3}], [Spot(3)])),
    "places": _json(dict[str, Spot], {}, {"a": Spot(1)}, spelled=({"b": {"x": 3}}, {"b": Spot(3)})),
    "settings": _json(Settings, {"theme": "a"}, {"theme": "a", "size": 1}),
    "shape": _json(Round | Square, Round(2.0), Square(2), Round(2.5), spelled=({"type": "Square", "side": 3}, Square(3))),
}  # fmt: skip
"""Each kind by the name of its attribute."""
