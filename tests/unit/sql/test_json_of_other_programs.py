"""JSON that another program wrote: what has the shape of its attribute's type is read, everything else is named, on every layer."""

from __future__ import annotations

import datetime as dt
import enum
import json
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

import attrs
import pytest

from resourcekit import Attr, Domain, Resource, attribute, create, get, query, update
from resourcekit.data_layers import SQL, Memory
from resourcekit.data_layers.redis.codec import RowCodec, codec_for
from resourcekit.data_layers.rows.json_rows import JSONRows
from resourcekit.declarations.value_type import read_annotation
from resourcekit.doctor import doctor
from resourcekit.errors import UnreadableValue


class Level(enum.Enum):
    """Stored as numbers."""

    LOW = 1
    HIGH = 2


@attrs.frozen
class Place:
    """An embedded value."""

    zip: str
    tags: list[str] = attrs.field(factory=list)
    price: Decimal | None = None


def declared(layer: Any, kind: Any) -> Any:
    """Return a resource with an attribute of a type, which may be None, its storage made."""
    domain = Domain("other programs")

    class Ticket(Resource, domain=domain, data_layer=layer):
        id: Attr[int] = attribute(primary_key=True)
        noted: Attr[kind] = attribute()
        add = create(accept=["id", "noted"])
        edit = update(accept=["noted"])

    domain.create_storage()
    return Ticket


WRONG: list[tuple[Any, Any, str]] = [
    (list[str], ["a"], "[1]"),
    (list[str], ["a"], "[null]"),
    (list[str], ["a"], '"a"'),
    (list[str], ["a"], '{"a": 1}'),
    (list[str], ["a"], "null"),
    (list[int], [1], '["1"]'),
    (list[int], [1], "[true]"),
    (list[int], [1], "[1.5]"),
    (list[bool], [True], "[1]"),
    (list[float], [1.5], '["1.5"]'),
    (list[float], [1.5], "[true]"),
    (list[Decimal], [Decimal("1.5")], "[true]"),
    (list[Decimal], [Decimal("1.5")], '["NaN"]'),
    (list[dt.datetime], [dt.datetime(2026, 1, 2, tzinfo=dt.UTC)], '["2026-01-02T00:00:00"]'),
    (list[dt.time], [dt.time(1)], '["01:00:00+01:00"]'),
    (list[dt.timedelta], [dt.timedelta(1)], "[1.5]"),
    (list[bytes], [b"a"], '["%%%%"]'),
    (list[UUID], [UUID(int=1)], "[1]"),
    (list[Literal["a", "b"]], ["a"], '["c"]'),
    (list[Literal[1, 2]], [1], "[true]"),
    (list[Level], [Level.LOW], "[true]"),
    (list[list[str]], [["a"]], '["a"]'),
    (list[dict[str, int]], [{"a": 1}], '[{"a": "1"}]'),
    (list[Any], [1], '{"a": 1}'),
    (dict[str, Any], {"a": 1}, "[1]"),
    (dict[str, Any], {"a": 1}, '"a"'),
    (dict[str, Any], {"a": 1}, "null"),
    (dict[str, int], {"a": 1}, '{"a": "1"}'),
    (dict[str, str], {"a": "b"}, '{"a": null}'),
    (Place, Place("a"), '{"zip": "a", "tags": "ab"}'),
    (Place, Place("a"), '{"zip": "a", "tags": [1]}'),
    (Place, Place("a"), '{"zip": "a", "price": true}'),
    (list[Place], [Place("a")], "[null]"),
    (list[Place], [Place("a")], '[["a"]]'),
]
"""A type, a value of it, and JSON of another shape."""

RIGHT: list[tuple[Any, str, Any]] = [
    (list[float], " [1, 2.5] ", [1.0, 2.5]),
    (list[str | None], '["a", null]', ["a", None]),
    (
        list[Decimal],
        '[1, 0.1, "2.50", 12345678901234567.89]',
        [Decimal(each) for each in ("1", "0.1", "2.50", "12345678901234567.89")],
    ),
    (list[dt.datetime], '["2026-01-02T05:00:00+05:00", "2026-01-02T00:00:00Z"]', [dt.datetime(2026, 1, 2, tzinfo=dt.UTC)] * 2),
    (dict[str, float], '{"a": 1}', {"a": 1.0}),
    (dict[str, Any], '{"a": [1, null, {"b": 2.5}]}', {"a": [1, None, {"b": 2.5}]}),
    (list[Level], "[2, 1]", [Level.HIGH, Level.LOW]),
    (Place, '{"zip": "a", "price": 12.1}', Place("a", price=Decimal("12.1"))),
    (list[str] | None, "null", None),
    (dict[str, int] | None, "null", None),
    (Place | None, "null", None),
]
"""A type, JSON as other programs write it, and the value."""


def overwrite(database: Any, text: str, key: int) -> None:
    """Write JSON past all that is tested."""
    database.run(f"UPDATE tickets SET noted = '{text}' WHERE id = {key}")


@pytest.mark.parametrize(("kind", "value", "text"), WRONG, ids=[f"{each[0]}-{each[2]}" for each in WRONG])
def test_another_shape_is_named(database: Any, kind: Any, value: Any, text: str) -> None:
    """By attribute and key; the other record is read, doctor counts it, and an update mends it."""
    ticket = declared(SQL(database.url, table="tickets"), kind)
    ticket.add.bulk([{"id": 1, "noted": value}, {"id": 2, "noted": value}])
    overwrite(database, text, 2)

    first, second = query(ticket).sort("id").all()
    assert value == first.noted
    with pytest.raises(UnreadableValue, match=r"Ticket: noted: .* does not fit its type, in the record with id=2$"):
        _ = second.noted
    with pytest.raises(UnreadableValue, match="id=2"):
        get(ticket, 2)
    assert [("RK083", "noted")] == [(each.id, each.path[-1]) for each in doctor(ticket, data=True) if each.id == "RK083"]
    ticket.edit(2, noted=value)
    assert value == get(ticket, 2).noted


@pytest.mark.parametrize(("kind", "text", "value"), RIGHT, ids=[f"{each[0]}-{each[1]}" for each in RIGHT])
def test_spellings_of_others_are_read(database: Any, kind: Any, text: str, value: Any) -> None:
    """Each has the exact value and type."""
    ticket = declared(SQL(database.url, table="tickets"), kind)
    ticket.add(
        id=1, noted=next(each[1] for each in WRONG if each[0] == kind) if any(each[0] == kind for each in WRONG) else value
    )
    overwrite(database, text, 1)

    found = get(ticket, 1).noted
    assert (value, repr(value)) == (found, repr(found))


FREE = [each for each in WRONG if each[0] is not Place and each[0] != list[Place]]


@pytest.mark.parametrize(("kind", "value", "text"), FREE, ids=[f"{each[0]}-{each[2]}" for each in FREE])
def test_the_other_layers_refuse_the_same(kind: Any, value: Any, text: str) -> None:
    """The codecs of Redis and of rows as JSON."""
    info = declared(Memory(), kind).__info__
    rows = JSONRows(info)
    words = RowCodec(info).encode({"id": 2, "noted": value})
    fields = dict(zip(words[::2], words[1::2], strict=True)) | {b"noted": text.encode()}
    with pytest.raises(UnreadableValue, match=r"noted: .* id=2"):
        RowCodec(info).decode(fields)
    with pytest.raises(ValueError, match="holds a value of noted that is not of its attribute's type"):
        rows.decode(json.dumps({"id": 2, "noted": json.loads(text)}))


@pytest.mark.parametrize(("kind", "text", "value"), RIGHT[:7], ids=[f"{each[0]}" for each in RIGHT[:7]])
def test_redis_reads_the_same_spellings(kind: Any, text: str, value: Any) -> None:
    """As the columns do."""
    found = codec_for(read_annotation(kind))[1](text.encode())
    assert (value, repr(value)) == (found, repr(found))


@pytest.mark.parametrize("text", ["null", " null "])
def test_null_of_json_is_none_in_conditions_too(database: Any, text: str) -> None:
    """A record whose value is read as None is found as one, and by no condition for a value."""
    ticket = declared(SQL(database.url, table="tickets"), list[str] | None)
    ticket.add.bulk([{"id": 1, "noted": ["a"]}, {"id": 2, "noted": None}, {"id": 3, "noted": ["b"]}])
    overwrite(database, text, 3)

    def found(condition: Any) -> list[int]:
        return [each.id for each in query(ticket).filter(condition).sort("id").all()]

    assert [["a"], None, None] == [each.noted for each in query(ticket).sort("id").all()]
    assert [2, 3] == found(ticket.noted.is_none()) == found(ticket.noted == None)  # noqa: E711
    assert [1] == found(~ticket.noted.is_none()) == found(ticket.noted != None)  # noqa: E711
    assert [1] == found(ticket.noted == ["a"]) == found(ticket.noted.in_([["a"]])) == found(ticket.noted.contains("a"))
    assert [2, 3] == found(ticket.noted != ["a"]) == found(~ticket.noted.contains("a"))
    assert [1, 2, 3] == found(ticket.noted.in_([None, ["a"]]))
    assert [2, 3] == found(ticket.noted.length().is_none())
    assert [] == found(ticket.noted.contains("b"))
    assert 2 == ticket.edit.bulk(query(ticket).filter(ticket.noted.is_none()), noted=["c"]).count
    assert [2, 3] == found(ticket.noted == ["c"])


@pytest.mark.parametrize("text", ["null", '"a"', '{"a": "a"}', "1", "true"])
def test_what_is_no_list_has_no_items(database: Any, text: str) -> None:
    """The condition does not fail for the whole query: a record whose value cannot be read is found by none over its items."""
    ticket = declared(SQL(database.url, table="tickets"), list[str])
    ticket.add.bulk([{"id": 1, "noted": ["a"]}, {"id": 2, "noted": ["a"]}])
    overwrite(database, text, 2)

    assert [1] == [each.id for each in query(ticket).filter(ticket.noted.contains("a")).all()]
    assert [1] == [each.id for each in query(ticket).filter(ticket.noted.length() >= 0).all()]
    assert 1 == query(ticket).filter(~ticket.noted.contains("a")).count()
    assert [] == query(ticket).filter(ticket.noted.is_none()).all()


@pytest.mark.parametrize("kind", [list[str], list[str] | None], ids=str)
def test_text_that_is_no_json(database: Any, kind: Any) -> None:
    """A column without the check of the database may hold it; the items of the other records are found."""
    if database.kind == "postgresql":
        pytest.skip("jsonb holds JSON only")
    ticket = declared(SQL(database.url, table="tickets"), kind)
    ticket.add.bulk([{"id": 1, "noted": ["a"]}, {"id": 2, "noted": ["a"]}])
    if database.kind == "mariadb":
        database.run("ALTER TABLE tickets MODIFY noted longtext")
    overwrite(database, "swordfish", 2)

    assert [1] == [each.id for each in query(ticket).filter(ticket.noted.contains("a")).all()]
    assert [1] == [each.id for each in query(ticket).filter(ticket.noted.length() > 0).all()]
    assert [1] == [each.id for each in query(ticket).filter(ticket.noted[0] == "a").all()]
    assert [1] == [each.id for each in query(ticket).filter(ticket.noted == ["a"]).all()]
    assert [] == query(ticket).filter(ticket.noted.is_none()).all()
    assert 1 == ticket.edit.bulk(query(ticket).filter(ticket.noted.contains("a")), noted=["b"]).count
    with pytest.raises(UnreadableValue, match="id=2"):
        get(ticket, 2)
