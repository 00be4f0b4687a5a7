"""Figures over related records whose values are those of the record itself: each is a figure of the related records, on every layer."""

from __future__ import annotations

from typing import Any

import pytest

from resourcekit import Attr, Domain, Many, Resource, attribute, create, has_many, parent, query
from resourcekit.data_layers import Memory
from resourcekit.errors import InvalidArgument


@pytest.fixture
def people(any_layer: Any) -> Any:
    """Declare people with teams, and store some: 1 leads 2 and 3, 2 leads 4 and 5."""
    domain = Domain("teams")

    class Person(Resource, domain=domain, data_layer=any_layer()):
        id: Attr[int] = attribute(primary_key=True)
        age: Attr[int | None] = attribute(default=None)
        name: Attr[str] = attribute(default="")
        boss_id: Attr[int | None] = attribute(default=None)
        team: Many[Person] = has_many("boss_id", to=lambda: Person)
        add = create(accept=["id", "age", "name", "boss_id"])

    domain.create_storage()
    rows = [(1, 10, None), (2, 20, 1), (3, None, 1), (4, 40, 2), (5, 50, 2)]
    Person.add.bulk([{"id": n, "age": age, "name": f"p{n}", "boss_id": boss} for n, age, boss in rows])
    return Person


def test_a_figure_of_values_of_the_record_itself(people: Any) -> None:
    """Databases take a figure without a column of its own rows for one of the rows outside."""
    team, own = people.team, parent(people.age)
    figures = {
        "sum": (team.sum(own), [20, 40, None, None, None]),
        "more": (team.sum(own + 1), [22, 42, None, None, None]),
        "avg": (team.avg(own), [10.0, 20.0, None, None, None]),
        "max": (team.max(own), [10, 20, None, None, None]),
        "label": (team.min(parent(people.name)), ["p1", "p2", None, None, None]),
        "mixed": (team.max(people.id - parent(people.id)), [2, 3, None, None, None]),
        "first": (team.first(people.id, sort=[own, "-id"]), [3, 5, None, None, None]),
        "nested": (team.max(team.count()), [2, 0, None, None, None]),
        "deep": (team.min(team.sum(people.age)), [90, None, None, None, None]),
    }
    found = query(people).sort("id").load(**{name: figure for name, (figure, _) in figures.items()}).all()

    assert {name: values for name, (_, values) in figures.items()} == {
        name: [each.extra[name] for each in found] for name in figures
    }
    for figure, values in figures.values():
        known = [n for n, value in enumerate(values, 1) if value is not None]
        assert known == [each.id for each in query(people).filter(figure != None).sort("id").all()]  # noqa: E711  # an expression


def test_an_order_by_the_record_itself_is_computed_or_refused(people: Any) -> None:
    """SQLite orders the rows of a subquery by no value outside: the error says so. Orders by figures of the related records are no such ones."""
    by_both = people.team.first(people.id, sort=[(people.id * 0 - parent(people.id) - people.id).asc()])
    asked = query(people).sort("id")
    try:
        assert [3, 5, None, None, None] == [each.extra["x"] for each in asked.load(x=by_both).all()]
    except InvalidArgument as error:
        assert "values of the record itself" in str(error)  # noqa: PT017  # one of the two
        assert type(people.__runtime__.store) is not Memory
    by_figure = people.team.first(people.id, sort=[people.team.count().asc(), "id"])
    assert [3, 4, None, None, None] == [each.extra["x"] for each in asked.load(x=by_figure).all()]
