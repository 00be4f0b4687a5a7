"""Members of enums are stored by their values, in columns, in JSON and on every layer."""

from __future__ import annotations

import asyncio
import datetime as dt
import enum
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import attrs
import pytest

from resourcekit import Attr, Domain, Resource, attribute, create, query
from resourcekit.data_layers import SQL, Memory
from resourcekit.data_layers.json_reading import json_decoder
from resourcekit.data_layers.json_text import json_encoder
from resourcekit.data_layers.redis.codec import codec_for
from resourcekit.declarations.value_type import read_annotation
from resourcekit.errors import DeclarationError, UnreadableValue
from tests.support.databases import run_sql


class Level(enum.Enum):
    """Values that sort in another way than the names."""

    LOW = 1
    HIGH = 22


class Word(enum.StrEnum):
    """Members that are texts."""

    YES = "ja"
    NO = "nein"


class Share(enum.Enum):
    """Decimal values, which are texts in JSON."""

    HALF = Decimal("0.5")
    ALL = Decimal(1)


class Mixed(enum.Enum):
    """Values of two types."""

    ONE = 1
    OTHER = "other"


class Shapeless(enum.Enum):
    """Values of no plain type."""

    PLACE = (1, 2)


@attrs.frozen
class Alarm:
    """An embedded value with members."""

    level: Level
    word: Word = Word.NO


@attrs.frozen
class Vague:
    """An embedded value that no layer can store."""

    kind: Mixed


def tickets_on(layer: Any) -> Any:
    """Declare tickets with members of enums everywhere, their storage made."""
    domain = Domain("enums by value")

    class Ticket(Resource, domain=domain, data_layer=layer):
        id: Attr[int] = attribute(primary_key=True)
        level: Attr[Level | None] = attribute(default=None)
        word: Attr[Word | None] = attribute(default=None)
        levels: Attr[list[Level]] = attribute(default_factory=list)
        words: Attr[dict[str, Word]] = attribute(default_factory=dict)
        shares: Attr[list[Share]] = attribute(default_factory=list)
        alarm: Attr[Alarm | None] = attribute(default=None)
        add = create(accept=["id", "level", "word", "levels", "words", "shares", "alarm"])

    domain.create_storage()
    return Ticket


def test_members_come_back_and_are_found(every_layer: Callable[[], Any]) -> None:
    """Columns, lists, dicts and embedded values give the members back; conditions find them, sync and async."""
    ticket = tickets_on(every_layer())
    ticket.add(
        id=1,
        level=Level.HIGH,
        word=Word.YES,
        levels=[Level.HIGH, Level.LOW],
        words={"a": Word.YES},
        shares=[Share.HALF],
        alarm=Alarm(Level.LOW, Word.YES),
    )
    ticket.add(id=2, level=Level.LOW, levels=[Level.LOW], alarm=Alarm(Level.HIGH))

    found = query(ticket).sort("id").all()[0]
    assert (Level.HIGH, Word.YES, [Level.HIGH, Level.LOW]) == (found.level, found.word, found.levels)
    assert ({"a": Word.YES}, [Share.HALF], Alarm(Level.LOW, Word.YES)) == (found.words, found.shares, found.alarm)
    for condition, keys in (
        (ticket.level == Level.HIGH, [1]),
        (ticket.levels.contains(Level.HIGH), [1]),
        (ticket.levels[0] == Level.LOW, [2]),
        (ticket.words["a"] == Word.YES, [1]),
        (ticket.alarm["level"] == Level.HIGH, [2]),
        (ticket.alarm["word"] == Word.YES, [1]),
    ):
        wanted = query(ticket).filter(condition).sort("id")
        assert keys == [record.id for record in wanted.all()], condition
        assert keys == [record.id for record in asyncio.run(wanted.all.aio())], condition


def test_the_values_are_in_the_table(tmp_path: Any) -> None:
    """Another program reads the values in the columns and in the JSON texts, and may write them."""
    url = f"sqlite:///{tmp_path}/tickets.db"
    ticket = tickets_on(SQL(url, table="tickets"))
    ticket.add(id=1, level=Level.HIGH, word=Word.YES, levels=[Level.LOW], shares=[Share.HALF], alarm=Alarm(Level.HIGH))

    (row,) = run_sql(url, "SELECT level, word, levels, shares, alarm FROM tickets")
    assert (22, "ja", "[1]", '["0.5"]', '{"level":22,"word":"nein"}') == row
    run_sql(url, "UPDATE tickets SET level = 1, levels = '[22, 1]'")

    found = query(ticket).one()
    assert (Level.LOW, [Level.HIGH, Level.LOW]) == (found.level, found.levels)


@pytest.mark.parametrize("stored", ["[3]", "[true]", '["LOW"]', "[1.5]"])
def test_a_value_of_no_member_is_unreadable(tmp_path: Any, stored: str) -> None:
    """A name, a number of no member and ``true``, which Python takes for 1, are no members."""
    url = f"sqlite:///{tmp_path}/tickets.db"
    ticket = tickets_on(SQL(url, table="tickets"))
    ticket.add(id=7)
    run_sql(url, f"UPDATE tickets SET levels = '{stored}'")

    with pytest.raises(UnreadableValue, match=r"levels: .* id=7"):
        query(ticket).one()


@pytest.mark.parametrize("member", [Level.HIGH, Word.NO, Share.HALF], ids=str)
def test_redis_and_json_store_the_value(member: Any) -> None:
    """The codec of Redis and that of JSON agree on the value, and read it back."""
    of = read_annotation(type(member))
    to_bytes, from_bytes = codec_for(of)

    assert codec_for(of.held)[0](member.value) == to_bytes(member)
    assert member is from_bytes(to_bytes(member))
    assert member is json_decoder(of)(json_encoder(of)(member))
    assert member.name not in json_encoder(of)(member)


@pytest.mark.parametrize("annotation", [Mixed, Mixed | None, list[Mixed], dict[str, Shapeless], Vague, list[Vague]], ids=str)
def test_an_enum_without_one_plain_type_is_refused(annotation: Any) -> None:
    """The class statement names the enum and the cure, on each layer, so that a resource can change its layer."""
    with pytest.raises(DeclarationError, match=r"values of (Mixed|Shapeless) have several types") as caught:

        class Ticket(Resource, domain=Domain("mixed"), data_layer=Memory):
            id: Attr[int] = attribute(primary_key=True)
            kind: Attr[annotation] = attribute()

    assert "RK031" == caught.value.code
    assert "Give each member a value of one type" in str(caught.value)


def test_a_decimal_is_no_primary_key_on_sqlite_without_a_scale(tmp_path: Any) -> None:
    """SQLite would take 1.5 and 1.50 for two keys. With a scale they are one."""

    def declared(scale: int | None) -> Any:
        domain = Domain("rates")

        class Rate(Resource, domain=domain, data_layer=SQL(f"sqlite:///{tmp_path}/rates.db")):
            percent: Attr[Decimal] = attribute(primary_key=True, scale=scale)
            since: Attr[dt.date] = attribute(default=dt.date(2026, 1, 2))
            put = create(accept=["percent", "since"], upsert=True)

        domain.create_storage()
        return Rate

    with pytest.raises(DeclarationError, match=r"1\.5 and 1\.50 would be two primary keys on sqlite") as caught:
        declared(None)
    assert "RK120" == caught.value.code
    assert "scale=" in str(caught.value)

    rate = declared(2)
    rate.put(percent=Decimal("1.5"))
    rate.put(percent=Decimal("1.50"), since=dt.date(2026, 1, 3))
    assert [(Decimal("1.50"), dt.date(2026, 1, 3))] == [(each.percent, each.since) for each in query(rate).all()]


def test_decimal_members_keep_their_digits(any_layer: Callable[[], Any]) -> None:
    """Members with digits after the point are stored exactly, on MariaDB too, whose columns have a fixed number of them."""
    domain = Domain("shares")

    class Part(Resource, domain=domain, data_layer=any_layer()):
        id: Attr[int] = attribute(primary_key=True)
        share: Attr[Share] = attribute()
        cut = create(accept=["id", "share"])

    domain.create_storage()
    for number, share in enumerate(Share):
        assert Part.cut(id=number, share=share).share is share

    assert list(Share) == [part.share for part in query(Part).sort("id").all()]
    assert [0] == [part.id for part in query(Part).filter(Part.share == Share.HALF).all()]


@pytest.mark.parametrize("value", ["\0", "\ud800", 2**63, Decimal("NaN"), float("inf")])
def test_a_member_that_no_column_can_hold_is_named(tmp_path: Any, value: Any) -> None:
    """An enum with a value that cannot be stored is refused where it is declared, by the name of the member."""
    odd = enum.Enum("Odd", {"ONLY": value})

    with pytest.raises(DeclarationError, match=r"the value of the option Odd\.ONLY must") as caught:

        class Thing(Resource, domain=Domain("things"), data_layer=SQL(f"sqlite:///{tmp_path}/things.db")):
            id: Attr[int] = attribute(primary_key=True)
            kind: Attr[odd] = attribute()

    assert "RK120" == caught.value.code
    assert "scale" not in str(caught.value)
