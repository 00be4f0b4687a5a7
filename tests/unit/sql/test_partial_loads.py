"""Queries that load relationships have the records whose values cannot all be read, theirs and those of others."""

from __future__ import annotations

import asyncio
import enum
from typing import Any

import pytest

from resourcekit import Attr, Domain, Many, One, Resource, attribute, belongs_to, create, has_many, query
from resourcekit.data_layers import SQL
from resourcekit.errors import UnreadableValue


class State(enum.Enum):
    """The states that there are."""

    OPEN = "open"


@pytest.fixture
def models(database: Any) -> Any:
    """Two teams with two tickets each, of which another program wrote a state and a key that no record can have."""
    domain = Domain("partial loads")

    class Team(Resource, domain=domain, data_layer=SQL(database.url, table="teams")):
        id: Attr[State] = attribute(primary_key=True, check=False)
        state: Attr[State] = attribute(check=False)
        tickets: Many[Any] = has_many("team_id", to=lambda: Ticket, sort=["id"])
        add = create(accept=["id", "state"])

    class Ticket(Resource, domain=domain, data_layer=SQL(database.url, table="tickets")):
        id: Attr[int] = attribute(primary_key=True)
        state: Attr[State] = attribute(check=False)
        team_id: Attr[State | None] = attribute(check=False)
        team: One[Team | None] = belongs_to("team_id", on_delete="nothing", to=lambda: Team)
        add = create(accept=["id", "state", "team_id"])

    domain.create_storage()
    Team.add(id=State.OPEN, state=State.OPEN)
    Ticket.add.bulk([{"id": n, "state": State.OPEN, "team_id": State.OPEN} for n in (1, 2, 3)])
    database.run("UPDATE tickets SET state = 'swordfish' WHERE id = 2")
    database.run("UPDATE tickets SET team_id = 'swordfish' WHERE id = 3")
    database.run("UPDATE teams SET state = 'swordfish'")
    return Team, Ticket


def test_a_list_with_loads_has_the_other_records(models: Any) -> None:
    """All and streamed, sync and async: a value raises when it is read, and so does a relationship whose key cannot be read."""
    _, ticket = models
    asked = query(ticket).sort("id").load(ticket.team)
    for first, second, third in (asked.all(), asyncio.run(asked.all.aio()), list(asked.stream())):
        assert (State.OPEN, State.OPEN) == (first.state, first.team.id)
        assert State.OPEN is second.team.id
        with pytest.raises(UnreadableValue, match="state"):
            _ = second.state
        with pytest.raises(UnreadableValue, match="state"):
            _ = second.team.state
        assert State.OPEN is third.state
        with pytest.raises(UnreadableValue, match="team_id"):
            _ = third.team


def test_related_records_are_loaded_without_the_value(models: Any) -> None:
    """A has_many has the records whose other values cannot be read."""
    team, _ = models
    (loaded,) = query(team).load(team.tickets).all()

    assert [1, 2] == [each.id for each in loaded.tickets]
    with pytest.raises(UnreadableValue, match="state"):
        _ = loaded.tickets[1].state
