"""Fragments: SQL of the application in conditions, orders, calculations and changes; refused on every other layer."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from resourcekit import (
    Attr,
    Calc,
    Domain,
    Many,
    One,
    Resource,
    actor,
    arg,
    argument,
    attribute,
    belongs_to,
    calculated,
    compare,
    context,
    create,
    fragment,
    has_many,
    query,
    set_attribute,
    update,
)
from resourcekit.data_layers import SQL, Memory, Redis
from resourcekit.data_layers.sql.dialects.sqlite.dialect import SQLiteDialect
from resourcekit.errors import DeclarationError, Invalid, InvalidArgument, NotFound
from resourcekit.expressions.nodes import Field
from tests.conftest import SERVERS
from tests.support.databases import shared


@pytest.fixture(params=["sqlite", *SERVERS])
def sql_layer(request: pytest.FixtureRequest, tmp_path: Any) -> Callable[[], Any]:
    """Return a function that makes data layers of one database."""
    tables, name = iter(range(9)), secrets.token_hex(6)
    url = f"sqlite:///{tmp_path}/fragments.db" if request.param == "sqlite" else shared(request.param).url
    return lambda: SQL(url, table=f"fragments_{name}_{next(tables)}")


FIELD = Field("name")
"""Stands for the attribute inside a class body."""


def authors_on(layer: Callable[[], Any]) -> Any:
    """Declare authors and books, with calculations by fragments."""
    domain = Domain("fragments")

    class Author(Resource, domain=domain, data_layer=layer()):
        id: Attr[int] = attribute(primary_key=True)
        name: Attr[str] = attribute(public=True)
        age: Attr[int | None] = attribute(default=None)
        books: Many[Book] = has_many("author_id", sort=["id"])

        reversed_name: Calc[str] = calculated(
            lambda: fragment("replace(upper(?), ?, ?)", [Author.name, "N", arg("with_")], str),
            arguments=[argument("with_", str, default="-")],
        )
        is_long: Calc[bool] = calculated(lambda: fragment("length(?) > ?", (Author.name, 3), bool), public=True)
        add = create(accept=["id", "name", "age"])
        shout = update(accept=[], changes=[set_attribute("name", fragment("upper(?)", FIELD, str))])
        sign = update(accept=[], changes=[set_attribute("name", fragment("upper(?)", actor("name"), str))])

    class Book(Resource, domain=domain, data_layer=layer()):
        id: Attr[int] = attribute(primary_key=True)
        author_id: Attr[int] = attribute()
        title: Attr[str] = attribute()
        author: One[Author] = belongs_to("author_id", on_delete="nothing")
        add = create(accept=["id", "author_id", "title"])

    domain.create_storage()
    Author.add.bulk([{"id": 1, "name": "Ann", "age": 3}, {"id": 2, "name": "Benno"}, {"id": 3, "name": "Cy%d", "age": 9}])
    Book.add.bulk([{"id": 10 * n, "author_id": n, "title": "t" * n} for n in (1, 2, 3)])
    Author.book = Book
    return Author


def test_a_fragment_is_a_value_of_a_statement(sql_layer: Callable[[], Any]) -> None:
    """It serves in loads, conditions, orders, aggregates, joins and pages; NULL is None, and its values are parameters."""
    Author = authors_on(sql_layer)  # noqa: N806  # a class
    Book = Author.book  # noqa: N806
    found = query(Author).sort("id").load(Author.reversed_name, Author.is_long, n=fragment("? + 1", Author.age, int)).all()
    assert ["A--", "BE--O", "CY%D"] == [each.reversed_name for each in found]
    assert [False, True, True] == [each.is_long for each in found]
    assert [4, None, 10] == [each.extra["n"] for each in found]
    assert [2, 3] == [each.id for each in query(Author).filter(Author.is_long).sort("id").all()]
    assert [1] == [each.id for each in query(Author).filter(~Author.is_long).all()]
    length = fragment("length(?) * 10 + ?", [Author.name, Author.id], int)
    assert [2, 3, 1] == [each.id for each in query(Author).sort(length.desc()).all()]
    lower = fragment("lower(?)", Author.name, str)
    assert [2] == [each.id for each in query(Author).filter(lower == "benno").all()]
    assert [2] == [each.id for each in query(Author).filter(lower.in_(["benno", "x"])).all()]
    assert [3] == [each.id for each in query(Author).filter(fragment("? = 'Cy%d'", Author.name, bool)).all()]
    assert [1] == [each.id for each in query(Author).filter(fragment("? = 'a??' OR ? = 1", [Author.name, Author.id], bool)).all()]
    assert [20] == [each.id for each in query(Book).filter(Book.author[fragment("lower(?)", Author.name, str)] == "benno").all()]
    assert [3] == [
        each.id for each in query(Author).filter(Author.books.exists(fragment("length(?) = ?", [Book.title, 3], bool))).all()
    ]
    assert [1, 2, 3] == [
        each.extra["n"]
        for each in query(Author).sort("id").load(n=Author.books.sum(fragment("length(?)", Book.title, int))).all()
    ]
    injected = fragment("upper(?)", ["'; DROP TABLE x; --"], str)
    assert [] == query(Author).filter(Author.name == injected).all()
    assert [2, 1] == [
        each.id for each in query(Author).filter(fragment("? < 3", Author.id, bool)).sort("-id").page(limit=5).records
    ]


def test_an_update_writes_a_fragment_in_its_statement(sql_layer: Callable[[], Any]) -> None:
    """The database computes it of the stored record."""
    Author = authors_on(sql_layer)  # noqa: N806  # a class
    assert "BENNO" == Author.shout(2).name
    assert 3 == Author.shout.bulk(query(Author)).count


def test_an_update_writes_whole_numbers_and_bools_of_fragments(sql_layer: Callable[[], Any]) -> None:
    """The statement computes and checks them; what it refuses has its reason, and an equal value changes nothing."""
    domain, ticks = Domain("wholes"), iter(range(99))

    class Author(Resource, domain=domain, data_layer=sql_layer()):
        id: Attr[int] = attribute(primary_key=True)
        name: Attr[str] = attribute()
        size: Attr[int | None] = attribute(default=None, maximum=5)
        is_long: Attr[bool | None] = attribute(default=None)
        trimmed: Attr[str | None] = attribute(default=None, trim=True)
        tick: Attr[int] = attribute(default=0, update_default_factory=ticks.__next__)
        add = create(accept=["id", "name"])
        measure = update(
            accept=["name"],
            changes=[
                set_attribute("size", fragment("length(?)", FIELD, int)),
                set_attribute("is_long", fragment("length(?) > 3", FIELD, bool)),
            ],
        )
        halve = update(accept=[], changes=[set_attribute("size", fragment("length(?) / 2.0", FIELD, float))])
        tidy = update(accept=[], changes=[set_attribute("trimmed", fragment("upper(?)", FIELD, str))])

    domain.create_storage()
    Author.add(id=1, name="Ann")
    one = Author.measure(1)
    assert (3, False) == (one.size, one.is_long)
    assert one == Author.measure(1)
    other = Author.measure(1, name="Anna")
    assert (4, True) == (other.size, other.is_long)
    assert other.tick > one.tick
    with pytest.raises(Invalid, match=r"size: is computed by a fragment.*limits"):
        Author.measure(1, name="Annabel")
    with pytest.raises(InvalidArgument, match=r"halve: size: is computed by a fragment.*type is known only"):
        Author.halve(1)
    with pytest.raises(InvalidArgument, match=r"tidy: trimmed: is computed by a fragment.*spelled"):
        Author.tidy(1)
    with pytest.raises(NotFound):
        Author.measure(7)
    assert other == query(Author).one()


@pytest.mark.parametrize(
    "action",
    [
        lambda: create(accept=["id"], changes=[set_attribute("size", fragment("length(?)", "a", int))]),
        lambda: update(changes=[set_attribute("size", fragment("length(?)", "a", int)), lambda changeset, _: changeset]),
        lambda: update(accept=["size"], validations=[compare("size", "<", fragment("length(?)", "a", int))]),
    ],
)
def test_a_fragment_that_no_statement_computes_is_refused_at_declaration(sql_layer: Callable[[], Any], action: Any) -> None:
    """A create, a step in Python and a comparison compute before the statement; the error says what to write."""
    with pytest.raises(DeclarationError, match=r"(?s)RK034.*actions › write.*fragment\(.*(Compute it|Compare with)"):

        class Author(Resource, domain=Domain("refused"), data_layer=sql_layer()):
            id: Attr[int] = attribute(primary_key=True)
            size: Attr[int | None] = attribute(default=None)
            write = action()


@pytest.mark.parametrize("sql", ["lengthxx(?)", "length(?) +", "length(?) + nothing"])
def test_the_error_for_wrong_sql_names_the_fragment(sql_layer: Callable[[], Any], sql: str) -> None:
    """It names the resource, the fragment and what the database said, without values, and is no failure of the database."""
    Author = authors_on(sql_layer)  # noqa: N806  # a class
    wrong = fragment(sql, "secret", int)
    asked = query(Author).filter(wrong > 3).sort("id")

    async def of_a_stream() -> Any:
        return [each async for each in asked.stream.aio()]

    for read in (
        asked.all,
        asked.count,
        lambda: query(Author).load(n=wrong).all(),
        lambda: list(asked.stream()),
        lambda: asyncio.run(of_a_stream()),
        lambda: Author.shout.bulk(asked),
    ):
        with pytest.raises(InvalidArgument, match=r"Author.*cannot compute fragment.*it said: ") as raised:
            read()
        assert sql in str(raised.value)
        assert "secret" not in str(raised.value)
    assert 3 == query(Author).count()


@pytest.mark.slow
def test_the_error_for_a_wrong_type_names_the_fragment(postgresql: Any) -> None:
    """PostgreSQL refuses the length of a number, in the SQL around the fragment. The table is not taken for a missing one."""
    domain = Domain("wrong types")

    class Line(Resource, domain=domain, data_layer=SQL(postgresql.url)):
        id: Attr[int] = attribute(primary_key=True)
        size: Attr[int] = attribute(default=5)
        text: Attr[str] = attribute(default="", max_length=5)
        add = create(accept=["id"])
        number = update(changes=[set_attribute("text", fragment("? + 0", size, str))])

    domain.create_storage()
    line = Line.add(id=1)

    with pytest.raises(InvalidArgument, match=r"cannot compute fragment\('\? \+ 0'\); it said: function .* or the type"):
        Line.number(line)


def test_a_fragment_of_a_missing_value_matches_nothing(sql_layer: Callable[[], Any]) -> None:
    """A comparison with it is false without the actor, and so is its opposite."""
    Author = authors_on(sql_layer)  # noqa: N806  # a class
    same = fragment("? = ?", [Author.age, actor("age")], bool)
    for condition in (Author.age == fragment("abs(?)", actor("age"), int), same == True, same & (Author.id > 0)):  # noqa: E712  # an expression
        assert [] == query(Author).filter(condition).all() == query(Author).filter(~condition).filter(Author.id > 0).all()
        with context(actor={"age": 3}):
            assert [1] == [each.id for each in query(Author).filter(condition).all()]


def test_a_fragment_of_values_alone_is_computed_by_the_database(sql_layer: Callable[[], Any]) -> None:
    """Values that are known before the statement runs are arguments as any others, in loads, orders and changes."""
    Author = authors_on(sql_layer)  # noqa: N806  # a class
    for who in ("zoe", "yan"):
        with context(actor={"name": who}):
            asked = query(Author).load(x=fragment("upper(?)", actor("name"), str), y=fragment("upper(?)", "w", str))
            asked = asked.sort(fragment("upper(?)", "w", str), "id")
            assert [(n, who.upper(), "W") for n in (1, 2, 3)] == [
                (each.id, each.extra["x"], each.extra["y"]) for each in asked.all()
            ]
            assert who.upper() == Author.sign(2).name


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (str, "a"),
        (int, 3),
        (float, 1.5),
        (bool, True),
        (Decimal, Decimal("1.50")),
        (datetime, datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        (UUID, UUID(int=7)),
    ],
)
def test_a_fragment_has_the_form_of_a_column_of_its_type(sql_layer: Callable[[], Any], kind: Any, value: Any) -> None:
    """A column as it is, in a fragment, is the value of the attribute."""
    domain = Domain("forms")

    class Thing(Resource, domain=domain, data_layer=sql_layer()):
        id: Attr[int] = attribute(primary_key=True)
        held: Attr[kind] = attribute(**({"scale": 2} if kind is Decimal else {}))
        add = create(accept=["id", "held"])

    domain.create_storage()
    Thing.add(id=1, held=value)
    if kind is Decimal and isinstance(Thing.__runtime__.store.compiler.dialect, SQLiteDialect):
        return  # a Decimal with a scale is a number of units there
    (found,) = query(Thing).load(same=fragment("?", Thing.held, kind)).all()
    assert value == found.extra["same"]
    assert 1 == query(Thing).filter(fragment("?", Thing.held, kind) == value).count()


@pytest.mark.parametrize("layer", [Memory, lambda: Redis("redis://localhost:1")])
def test_another_layer_refuses_a_fragment(layer: Callable[[], Any]) -> None:
    """A calculation is refused when its domain is sealed, a condition when it is used."""
    domain = Domain("refused")

    class Author(Resource, domain=domain, data_layer=layer()):
        id: Attr[int] = attribute(primary_key=True)
        name: Attr[str] = attribute()
        shouted: Calc[str] = calculated(lambda: fragment("upper(?)", Author.name, str))

    with pytest.raises(DeclarationError, match=r"(?s)shouted.*fragment.*no SQL database"):
        domain.seal()

    class Plain(Resource, domain=Domain("plain"), data_layer=layer()):
        id: Attr[int] = attribute(primary_key=True)
        name: Attr[str] = attribute()

    with pytest.raises(InvalidArgument, match="only the SQL database"):
        query(Plain).filter(fragment("upper(?)", Plain.name, str) == "A").all()
    with pytest.raises(InvalidArgument, match="only the SQL database"):
        query(Plain).load(n=fragment("upper(?)", Plain.name, str)).all()


@pytest.mark.parametrize(
    ("sql", "args", "kind", "expected"),
    [
        ("upper(?)", [], str, "1 places"),
        ("upper(??)", ["x"], str, "0 places"),
        ("", [], str, "text of SQL"),
        (7, [], str, "text of SQL"),
        ("1", [], list, "has no type"),
        ("1", [], object, "has no type"),
    ],
)
def test_a_wrong_fragment_is_refused_where_it_is_written(sql: Any, args: Any, kind: Any, expected: str) -> None:
    """The number of places, an empty text and a type that no column has."""
    with pytest.raises(InvalidArgument, match=expected):
        fragment(sql, args, kind)
