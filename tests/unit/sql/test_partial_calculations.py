"""Lists with calculations have the records whose values cannot all be read; a calculation that needs such a value raises its error."""

from __future__ import annotations

import asyncio
import copy
import enum
import secrets
from collections.abc import Callable
from typing import Any

import pytest

from resourcekit import (
    Attr,
    Calc,
    Domain,
    Many,
    One,
    Resource,
    as_dict,
    attribute,
    belongs_to,
    calculated,
    calculation,
    create,
    get,
    has_many,
    query,
)
from resourcekit.data_layers import SQL, Redis
from resourcekit.errors import UnreadableValue
from tests.support import valkey
from tests.support.databases import KINDS, MISSING, scratch


class State(enum.Enum):
    """The states that there are."""

    OPEN = "open"


def _on_redis() -> tuple[Callable[[], Any], Callable[[str, int, str, str], None]]:
    tag = f"test-{secrets.token_hex(6)}"
    server = valkey.shared()

    def write(resource: str, key: int, name: str, value: str) -> None:
        (hash_,) = [
            each
            for each in server.client().scan_iter(f"{{{tag}}}*=*", count=1000)
            if each.endswith(f"{key + 2**63:020}".encode())
            and server.client().hexists(each, name)
            and resource.encode() in each.title()
        ]
        server.client().hset(hash_, name, value)

    return lambda: Redis(server.url, tag=tag), write


@pytest.fixture(params=[*KINDS, "valkey"])
def models(request: pytest.FixtureRequest, tmp_path: Any) -> Any:
    """Two teams with tickets; another program wrote a state that no ticket can have, and a team that none belongs to."""
    if request.param == "valkey":
        if valkey.binary() is None:
            pytest.skip(f"{MISSING}Valkey")
        yield _declared(*_on_redis())
        return
    with scratch(request.param, tmp_path) as database:

        def write(resource: str, key: int, name: str, value: str) -> None:
            database.run(f"UPDATE {resource.lower()} SET {name} = '{value}' WHERE id = {key}")

        yield _declared(lambda: SQL(database.url), write)


def _declared(layer: Callable[[], Any], write: Callable[[str, int, str, str], None]) -> Any:
    domain = Domain("partial calculations")

    class Team(Resource, domain=domain, data_layer=layer()):
        id: Attr[int] = attribute(primary_key=True)
        state: Attr[State] = attribute(check=False)
        tickets: Many[Any] = has_many("team_id", to=lambda: Ticket, sort=["id"])
        number: Calc[int] = calculated(lambda: Team.tickets.count())  # noqa: PLW0108
        states: Calc[int] = calculated(lambda: Team.tickets.filter(Ticket.state == State.OPEN).count())
        add = create(accept=["id", "state"])

    class Ticket(Resource, domain=domain, data_layer=layer()):
        id: Attr[int] = attribute(primary_key=True, public=True)
        state: Attr[State] = attribute(check=False)
        team_id: Attr[int | None] = attribute()
        team: One[Team | None] = belongs_to("team_id", to=lambda: Team, on_delete="nothing")
        same: Calc[State] = calculated(lambda: Ticket.state, public=True)
        doubled: Calc[int] = calculated(lambda: Ticket.id * 2, public=True)
        add = create(accept=["id", "state", "team_id"])

        @calculation(needs=["state"])
        def shout(records: list[Any]) -> list[str]:  # noqa: N805  # the function of a calculation
            """Return the state in capitals."""
            return [record.state.value.upper() for record in records]

    domain.create_storage()
    Team.add.bulk([{"id": n, "state": State.OPEN} for n in (1, 2)])
    Ticket.add.bulk([{"id": n, "state": State.OPEN, "team_id": n % 2 + 1} for n in (1, 2, 3)])
    write("Ticket", 2, "state", "swordfish")
    return Team, Ticket


def test_a_list_with_calculations_has_all_records(models: Any) -> None:
    """All, streamed, by pages, sync and async: the calculation that needs the value raises, the others are computed."""
    _, ticket = models
    asked = query(ticket).sort("id").load(ticket.same, ticket.doubled, ticket.shout, again=ticket.same)
    for records in (asked.all(), asyncio.run(asked.all.aio()), list(asked.stream()), asked.page(limit=5).records):
        assert [1, 2, 3] == [each.id for each in records]
        first, second, third = records
        assert [State.OPEN] * 4 == [first.same, third.same, first.extra["again"], third.extra["again"]]
        assert ["OPEN", "OPEN", 4] == [first.shout, third.shout, second.doubled]
        assert {"id": 2, "doubled": 4} == as_dict(second)
        for read in (
            lambda second=second: second.same,
            lambda second=second: second.shout,
            lambda second=second: second.state,
            lambda second=second: second.extra["again"],
            lambda second=second: copy.copy(second).same,
        ):
            with pytest.raises(UnreadableValue, match=r"does not fit its type, in the record with id=2$") as caught:
                read()
            assert "swordfish" not in str(caught.value)
    with pytest.raises(UnreadableValue, match="id=2"):
        query(ticket).load(ticket.same).filter(ticket.id == 2).one()
    with pytest.raises(UnreadableValue, match="id=2"):
        get(ticket, 2)


def test_calculations_of_related_records(models: Any) -> None:
    """A count is no reading; a condition over the value that cannot be read is not met, or raises if it is computed of records."""
    team, _ = models
    one, two = query(team).sort("id").load(team.number, team.tickets).all()
    assert [1, 2] == [one.number, two.number]
    assert [[2], [1, 3]] == [[each.id for each in each.tickets] for each in (one, two)]
    one, two = query(team).sort("id").load(team.states).all()
    assert [0, 2] == [one.states, two.states]
