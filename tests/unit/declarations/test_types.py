"""Types of attributes: what is taken, what is refused, and what comes back from a store."""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Annotated, Any, Literal, NewType, Optional
from uuid import UUID

import pytest

from resourcekit import Attr, Domain, Resource, attribute, create, get, info, query, update
from resourcekit.errors import Invalid
from resourcekit.extending import Kind
from resourcekit.types import JSON, JSONObject


class CallMode(enum.Enum):
    """Values that are other names, on purpose."""

    RED = "red"
    BLUE = "BLACK"
    BLACK = "black"


class Level(enum.IntEnum):
    """Numbers with names."""

    LOW = 1
    HIGH = 2


class Word(enum.StrEnum):
    """Texts with names."""

    YES = "yes"


class Rights(enum.Flag):
    """Members that can be combined."""

    READ = 1
    WRITE = 2


UserId = NewType("UserId", str)
PARIS = timezone(timedelta(hours=1))
NOON = datetime(2026, 11, 24, 12, 0, 0, 123456, tzinfo=UTC)
KEY = UUID("12345678-1234-5678-1234-567812345678")


def resource_of(annotation: object, make_layer: Callable[[], Any]) -> Any:
    """Declare a resource with one attribute of that type beside its key."""
    domain = Domain("types")

    class Thing(Resource, domain=domain, data_layer=make_layer()):
        id: Attr[int] = attribute(primary_key=True)
        value: Attr[annotation] = attribute()
        make = create(accept=["id", "value"])
        change = update(accept=["value"])

    domain.create_storage()
    return Thing


KEPT: list[tuple[Any, Any]] = [
    (str, "plain"),
    (str, ""),
    (str, " spaces kept "),
    (str, "é e\u0301 \U0001f600"),
    (str, "line\nbreak\ttab 'quoted' \"double\" \\ % _ ; --"),
    (int, 0),
    (int, 2**63 - 1),
    (int, -(2**63)),
    (float, 0.1),
    (float, 1e308),
    (float, -5e-324),
    (float, 3.0),
    (bool, True),
    (bool, False),
    (Decimal, Decimal("0.1")),
    (Decimal, Decimal("-123456789012345678901234567890.123456789")),
    (Decimal, Decimal("1E+20")),
    (datetime, NOON),
    (datetime, datetime.max.replace(tzinfo=UTC)),
    (datetime, datetime.min.replace(tzinfo=UTC)),
    (date, date(2026, 11, 24)),
    (date, date.max),
    (time, time(23, 59, 59, 999999)),
    (time, time(0)),
    (timedelta, timedelta(days=-3, microseconds=7)),
    (timedelta, timedelta(0)),
    (UUID, KEY),
    (bytes, b"\x00\xff"),
    (bytes, b""),
    (CallMode, CallMode.BLUE),
    (Level, Level.HIGH),
    (Word, Word.YES),
    (Literal["open", "closed"], "closed"),
    (Literal[1, 2], 2),
    (Literal[True], True),
    (Literal["a", None], None),  # noqa: PYI061  # this spelling too
    (list, [1, "two", None, [3.5, {"k": True}]]),
    (list[int], [3, 1, 2]),
    (list[str | None], ["a", None]),
    (list[datetime], [NOON]),
    (list[CallMode], [CallMode.RED]),
    (list[UUID], [KEY]),
    (list[list[int]], [[1], []]),
    (dict, {"b": 1, "a": {"deep": [1, 2]}}),
    (dict[str, int], {"z": 26, "a": 1}),
    (dict[str, Decimal], {"price": Decimal("9.90")}),
    (JSON, {"any": ["thing", 1, None]}),
    (JSON, "text"),
    (JSON, None),
    (JSONObject, {"a": [1, {"b": None}]}),
    (object, [1]),
    (Any, "x"),
    (Optional[int], None),  # noqa: UP045  # this spelling too
    (str | None, None),
    (UUID | None, KEY),
    (Annotated[int, "a note"], 5),
    (UserId, "u1"),
    (Sequence[int], [1, 2]),
    (Mapping[str, int], {"a": 1}),
]


@pytest.mark.parametrize(("annotation", "value"), KEPT, ids=lambda each: repr(each)[:50])
def test_a_value_comes_back_as_it_went_in(layer: Callable[[], Any], annotation: object, value: Any) -> None:
    """What is stored is read back equal and of the same class, from every action and query."""
    thing = resource_of(annotation, layer)

    made = thing.make(id=1, value=value)
    found = get(thing, 1)

    assert value == made.value
    assert value == found.value
    assert isinstance(found.value, type(value))
    assert made == found
    assert found == thing.change(1, value=value)
    if info(thing).attributes["value"].type.kind not in (Kind.LIST, Kind.MAP, Kind.ANY):
        assert [found] == query(thing).filter(thing.value == value).all()
        assert [found] == query(thing).filter(thing.value.in_([value])).all()
        assert query(thing).filter(thing.value != value).all() == []


@pytest.mark.parametrize(
    ("annotation", "given", "expected"),
    [
        (int, "12", 12),
        (int, " -3 ", -3),
        (int, Level.HIGH, 2),
        (str, Word.YES, "yes"),
        (float, 3, 3.0),
        (float, "1.5", 1.5),
        (bool, "true", True),
        (bool, "FALSE", False),
        (Decimal, "1.50", Decimal("1.50")),
        (Decimal, 7, Decimal(7)),
        (datetime, "2026-11-24T12:00:00.123456Z", NOON),
        (datetime, "2026-11-24T13:00:00.123456+01:00", NOON),
        (datetime, NOON.astimezone(PARIS), NOON),
        (date, "2026-11-24", date(2026, 11, 24)),
        (time, "10:30", time(10, 30)),
        (timedelta, "90", timedelta(seconds=90)),
        (timedelta, "0.5", timedelta(milliseconds=500)),
        (UUID, str(KEY), KEY),
        (UUID, KEY.hex, KEY),
        (bytes, bytearray(b"ab"), b"ab"),
        pytest.param(bytes, memoryview(b"ab"), b"ab", id="memoryview"),
        (CallMode, "red", CallMode.RED),
        (CallMode, "RED", CallMode.RED),
        (Level, 2, Level.HIGH),
        (Level, "LOW", Level.LOW),
        (list[int], ("1", 2), [1, 2]),
        (list[CallMode], ["red"], [CallMode.RED]),
        (dict[str, datetime], {"at": "2026-11-24T12:00:00.123456Z"}, {"at": NOON}),
    ],
    ids=lambda each: repr(each)[:50],
)
def test_input_is_cast(layer: Callable[[], Any], annotation: object, given: Any, expected: Any) -> None:
    """A text that requests bring, or a near type that loses nothing, becomes a value of the declared type."""
    thing = resource_of(annotation, layer)

    made = thing.make(id=1, value=given)

    assert expected == made.value
    assert isinstance(made.value, type(expected))
    assert made == get(thing, 1)
    assert made == thing(id=1, value=given)


@pytest.mark.parametrize(
    ("annotation", "given", "message"),
    [
        (str, 5, "must be text"),
        (str, None, "must not be None"),
        (str, b"bytes", "must be text"),
        (int, True, "must be a whole number, not a bool"),
        (int, 1.0, "must be a whole number"),
        (int, "1_000", "must be a whole number"),
        (int, "\u0661", "must be a whole number"),
        (int, "", "must be a whole number"),
        (float, True, "must be a number, not a bool"),
        (float, math.nan, "must be a finite number"),
        (float, "inf", "must be a finite number"),
        (float, 2**60, "must be a number"),
        (bool, 1, "must be true or false"),
        (bool, "yes", "must be true or false"),
        (Decimal, 0.1, "must be a decimal number, not a float: give a Decimal or its text"),
        (Decimal, "0,1", "must be a decimal number"),
        (Decimal, Decimal("NaN"), "must be a finite decimal number"),
        (Decimal, True, "must be a decimal number, not a bool"),
        (datetime, datetime(2026, 11, 24), "must have a time zone"),  # noqa: DTZ001  # the point
        (datetime, "2026-11-24T12:00:00", "must have a time zone"),
        (datetime, date(2026, 11, 24), "must be a date and time"),
        (datetime, 0, "must be a date and time"),
        (datetime, datetime.max.replace(tzinfo=timezone(timedelta(hours=-1))), "must lie between the years 1 and 9999 in UTC"),
        (date, NOON, "must be a date without a time"),
        (date, "24.11.2026", "must be a date"),
        (time, time(10, tzinfo=UTC), "must be a time without a time zone"),
        (time, "10:00+01:00", "must be a time without a time zone"),
        (timedelta, 90, "must be a duration"),
        (timedelta, "inf", "must be a duration"),
        (UUID, "not a uuid", "must be a UUID"),
        (UUID, 5, "must be a UUID"),
        (bytes, "text", "must be bytes"),
        (CallMode, "green", "must be one of RED, BLUE, BLACK"),
        (CallMode, Level.LOW, "must be one of RED, BLUE, BLACK"),
        (Level, True, "must be one of LOW, HIGH"),
        (Level, 1.0, "must be one of LOW, HIGH"),
        (Rights, Rights.READ | Rights.WRITE, "must be one of READ, WRITE"),
        (Literal["open", "closed"], "OPEN", "must be one of 'open', 'closed'"),
        (Literal[1, 2], True, "must be one of 1, 2"),
        (Literal[1, 2], "1", "must be one of 1, 2"),
        (list[int], "12", "must be a list"),
        (list, {1}, "must be a list"),
        (dict, [("a", 1)], "must be a mapping with text keys"),
        (dict, {1: "a"}, "must be a mapping with text keys"),
        pytest.param(dict, {"a": object()}, "must hold only what JSON can", id="object"),
        (dict, {"a": math.inf}, "must hold only what JSON can"),
        (JSON, NOON, "must hold only what JSON can"),
        (Any, {"a": {1, 2}}, "must hold only what JSON can"),
    ],
    ids=lambda each: repr(each)[:50],
)
def test_input_of_another_type_is_refused(layer: Callable[[], Any], annotation: object, given: Any, message: str) -> None:
    """What would have to be guessed or rounded is Invalid, by the name of its field, and nothing is written."""
    thing = resource_of(annotation, layer)

    with pytest.raises(Invalid) as caught:
        thing.make(id=1, value=given)
    with pytest.raises(Invalid):
        thing(id=1, value=given)

    (finding,) = caught.value.findings
    assert finding.path.split(".")[0] == "value"
    assert finding.message.startswith(message)
    assert query(thing).count() == 0


def test_the_value_of_an_enum_wins_over_a_name(layer: Callable[[], Any]) -> None:
    """A text that is one member's value and another one's name means the value."""
    thing = resource_of(CallMode, layer)

    assert CallMode.BLUE is thing.make(id=1, value="BLACK").value
    assert CallMode.BLACK is thing.make(id=2, value="black").value


@pytest.mark.parametrize(
    ("annotation", "given", "path"),
    [
        (list[int], [1, "x", 3], "value.1"),
        (dict[str, int], {"zip": "x"}, "value.zip"),
        (list[list[int]], [[1], [2, None]], "value.1.1"),
        (dict[str, list[UUID]], {"keys": [KEY, "x"]}, "value.keys.1"),
    ],
)
def test_a_finding_names_the_item(layer: Callable[[], Any], annotation: object, given: Any, path: str) -> None:
    """A problem inside a list or a dict is reported with its path."""
    thing = resource_of(annotation, layer)

    with pytest.raises(Invalid) as caught:
        thing.make(id=1, value=given)

    assert [path] == [finding.path for finding in caught.value.findings]


@pytest.mark.parametrize("given", ["nul\0", "half \ud800"])
def test_text_that_no_store_can_keep_is_refused(layer: Callable[[], Any], given: str) -> None:
    """NUL and half of a surrogate pair are refused by the name of the field, on every layer, and inside JSON too."""
    text, nested = resource_of(str, layer), resource_of(dict, layer)

    for resource, value in [(text, given), (nested, {"k": given}), (nested, {given: 1})]:
        with pytest.raises(Invalid) as caught:
            resource.make(id=1, value=value)
        assert ["value"] == [finding.path for finding in caught.value.findings]
        assert given not in str(caught.value)
    assert query(text).count() == 0


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 10**30])
def test_a_whole_number_beyond_64_bits_is_refused(layer: Callable[[], Any], number: int) -> None:
    """Whole numbers are kept in 64 bits; larger ones are Invalid on every layer."""
    thing = resource_of(int, layer)

    with pytest.raises(Invalid) as caught:
        thing.make(id=1, value=number)

    assert ["value"] == [finding.path for finding in caught.value.findings]


@pytest.mark.parametrize("depth", [101, 100_000])
def test_json_that_is_nested_too_deep_is_refused(layer: Callable[[], Any], depth: int) -> None:
    """Lists inside lists beyond any use are Invalid, and never exhaust the stack."""
    thing = resource_of(JSON, layer)
    value: Any = []
    for _ in range(depth):
        value = [value]

    with pytest.raises(Invalid, match="nested more than 100 deep"):
        thing.make(id=1, value=value)


def test_a_record_shares_nothing_with_its_input(layer: Callable[[], Any]) -> None:
    """Changing a list that was given changes no record, and the one that a record holds cannot be changed."""
    thing = resource_of(dict[str, list[int]], layer)
    given = {"numbers": [1]}

    made = thing.make(id=1, value=given)
    given["numbers"].append(2)
    with pytest.raises(TypeError, match="does not change"):
        made.value["numbers"].append(3)

    assert {"numbers": [1]} == get(thing, 1).value


@pytest.mark.parametrize(
    ("annotation", "values"),
    [
        (int, [-5, 0, 7, 2**40]),
        (float, [-1.5, 0.0, 2.25, 1e100]),
        (Decimal, [Decimal("-10.5"), Decimal(-2), Decimal(0), Decimal("0.10"), Decimal(2), Decimal(10)]),
        (str, ["", "A", "Z", "a", "a ", "b", "é", "\U0001f600"]),
        (datetime, [datetime.min.replace(tzinfo=UTC), NOON, NOON + timedelta(microseconds=1), datetime.max.replace(tzinfo=UTC)]),
        (date, [date.min, date(2026, 1, 1), date.max]),
        (time, [time(0), time(9), time(10, 0, 0, 1), time.max]),
        (timedelta, [timedelta(-1), timedelta(0), timedelta(microseconds=1), timedelta(400)]),
        (UUID, [UUID(int=0), KEY, UUID(int=2**128 - 1)]),
        (bytes, [b"", b"\x00", b"a", b"\xff"]),
        (bool, [False, True]),
        (Literal["a", "b"], ["a", "b"]),
        (Level, [Level.LOW, Level.HIGH]),
        (CallMode, [CallMode.BLUE, CallMode.BLACK, CallMode.RED]),
    ],
    ids=lambda each: repr(each)[:30],
)
def test_values_sort_and_compare_as_in_python(layer: Callable[[], Any], annotation: Any, values: list[Any]) -> None:
    """Sorting goes by value (an enum by its members' values), ``None`` before all; comparing agrees with it."""
    thing = resource_of(annotation | None, layer)
    thing.make.bulk([{"id": -index, "value": value} for index, value in enumerate([None, *values])])

    upwards = [record.value for record in query(thing).sort(thing.value).all()]
    downwards = [record.value for record in query(thing).sort(thing.value.desc()).all()]

    assert [None, *values] == upwards
    assert [*reversed(values), None] == downwards
    for index, value in enumerate(values):
        if isinstance(value, enum.Enum):
            break  # members have no order to compare by; see test_conditions
        assert set(values[:index]) == {record.value for record in query(thing).filter(thing.value < value).all()}
        assert set(values[index:]) == {record.value for record in query(thing).filter(thing.value >= value).all()}
