"""Loads of related records that are on another data layer."""

from __future__ import annotations

import asyncio
import itertools
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from resourcekit import Attr, Domain, Many, One, Resource, attribute, belongs_to, create, has_many, load, many_to_many, query
from resourcekit.data_layers import SQL, Memory, Redis
from resourcekit.errors import InvalidArgument
from tests.support import valkey
from tests.support.databases import MISSING, shared


def test_loads_over_two_data_layers(tmp_path: Path) -> None:
    """Records in memory and in a database load each other, nested too; a condition over them is refused and says what to do."""
    domain, kept = Domain("two layers"), SQL(f"sqlite:///{tmp_path}/kept.db")

    class Team(Resource, domain=domain, data_layer=Memory()):
        id: Attr[int] = attribute(primary_key=True)
        people: Many[Person] = has_many("team_id", sort=["-id"], to=lambda: Person)
        make = create(accept=["id"])

    class Person(Resource, domain=domain, data_layer=kept):
        id: Attr[int] = attribute(primary_key=True)
        team_id: Attr[int | None] = attribute(default=None)
        team: One[Team | None] = belongs_to("team_id", on_delete="nothing", to=lambda: Team)
        skills: Many[Skill] = many_to_many(
            through=lambda: Knows, source="person", destination="skill", sort=["id"], to=lambda: Skill
        )
        make = create(accept=["id", "team_id"])

    class Skill(Resource, domain=domain, data_layer=Memory()):
        id: Attr[str] = attribute(primary_key=True)
        make = create(accept=["id"])

    class Knows(Resource, domain=domain, data_layer=kept):
        person: Attr[int] = attribute(primary_key=True)
        skill: Attr[str] = attribute(primary_key=True, max_length=20)
        put = create(accept=["person", "skill"])

    domain.create_storage()
    Team.make.bulk([{"id": 1}, {"id": 2}])
    Person.make.bulk([{"id": n, "team_id": team} for n, team in enumerate((1, 1, 2, None))])
    Skill.make.bulk([{"id": "knots"}, {"id": "maps"}])
    Knows.put.bulk([{"person": person, "skill": skill} for person, skill in ((0, "maps"), (0, "knots"), (2, "maps"))])

    teams = query(Team).sort("id").load(Team.people.load(Person.skills, Person.team).limit(1)).all()
    people = query(Person).sort("id").load(Person.team, Person.skills.limit(1)).all()

    assert [[1], [2]] == [[person.id for person in team.people] for team in teams]
    assert [["maps"]] == [[skill.id for skill in person.skills] for person in teams[1].people]
    assert [1, 1, 2, None] == [person.team and person.team.id for person in people]
    assert [["knots"], [], ["maps"], []] == [[skill.id for skill in person.skills] for person in people]
    with pytest.raises(InvalidArgument, match=r"different stores; load Person\.team instead, or query Team first"):
        query(Person).filter(Person.team[Team.id] == 1).all()


def _layer(kind: str, tmp_path: Path) -> Callable[[], Any]:
    """Return a function that returns a layer with an empty place for one resource."""
    numbers, name = itertools.count(), secrets.token_hex(6)
    if kind == "memory":
        return Memory
    if kind == "valkey":
        if valkey.binary() is None:
            pytest.skip(f"{MISSING}Valkey")
        return lambda: Redis(valkey.shared().url, tag=f"loads-{name}-{next(numbers)}")
    url = f"sqlite:///{tmp_path}/{name}.db" if kind == "sqlite" else shared(kind).url
    return lambda: SQL(url, table=f"loads_{name}_{next(numbers)}")


_PAIRS = [
    ("memory", "sqlite"),
    ("sqlite", "memory"),
    *(
        pytest.param(*pair, marks=pytest.mark.slow)
        for pair in (
            ("sqlite", "postgresql"),
            ("postgresql", "sqlite"),
            ("postgresql", "mariadb"),
            ("postgresql", "valkey"),
            ("valkey", "sqlite"),
            ("mariadb", "valkey"),
        )
    ),
]


@pytest.mark.parametrize(("one", "other"), _PAIRS)
def test_a_load_crosses_any_two_layers(tmp_path: Path, one: str, other: str) -> None:
    """UUID keys, which layers store in different forms, limits, paths back, figures of related records, and async calls."""
    domain, near, far = Domain("any two layers"), _layer(one, tmp_path), _layer(other, tmp_path)

    class Farm(Resource, domain=domain, data_layer=near()):
        id: Attr[UUID] = attribute(primary_key=True)
        rank: Attr[int] = attribute()
        cats: Many[Cat] = has_many("farm_id", sort=["-age", "id"], to=lambda: Cat)
        make = create(accept=["id", "rank"])

    class Cat(Resource, domain=domain, data_layer=far()):
        id: Attr[int] = attribute(primary_key=True)
        farm_id: Attr[UUID | None] = attribute(default=None)
        age: Attr[int | None] = attribute(default=None)
        farm: One[Farm | None] = belongs_to("farm_id", on_delete="nothing", to=lambda: Farm)
        make = create(accept=["id", "farm_id", "age"])

    domain.create_storage()
    keys = [UUID(int=n << 64) for n in range(3)]
    Farm.make.bulk([{"id": key, "rank": n} for n, key in enumerate(keys)])
    Cat.make.bulk([{"id": n, "farm_id": (*keys[:2], None)[n % 3], "age": (None, 7, 2, 7, 1)[n % 5]} for n in range(10)])

    farms = query(Farm).sort("rank").load(Farm.cats.load(Cat.farm)).all()
    assert [[3, 6, 9, 0], [1, 7, 4], []] == [[cat.id for cat in farm.cats] for farm in farms]
    assert [{key} if farm.cats else set() for key, farm in zip(keys, farms, strict=True)] == [
        {cat.farm.id for cat in farm.cats} for farm in farms
    ]
    cut = (
        query(Farm)
        .sort("rank")
        .load(first=Farm.cats.filter(Cat.age < 7).limit(1), n=Farm.cats.count(), most=Farm.cats.max(Cat.age))
    )
    assert [([9], 4, 7), ([7], 3, 7), ([], 0, None)] == [
        ([cat.id for cat in each.extra["first"]], each.extra["n"], each.extra["most"]) for each in cut.all()
    ]

    async def again() -> list[Any]:
        try:
            return await load.aio(farms, Farm.cats.limit(1))
        finally:
            for resource in (Farm, Cat):
                await resource.__runtime__.store.close()

    assert [[3], [1], []] == [[cat.id for cat in farm.cats] for farm in asyncio.run(again())]
    with pytest.raises(InvalidArgument, match="different stores"):
        query(Cat).filter(Cat.farm[Farm.rank] == 1).all()
