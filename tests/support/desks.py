"""Teams and tickets whose rules read the actor of the call."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

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
    case,
    compare,
    create,
    filter,  # noqa: A004  # the field's word
    has_many,
    read,
    set_attribute,
    tenant,
    update,
)
from resourcekit.expressions.nodes import Field

OWNER = Field("owner_id")
"""Stands for the attribute inside a class body."""


def desk_on(layer: Callable[[], Any]) -> Any:
    """Declare teams and tickets whose rules read the actor, and store four tickets."""
    domain = Domain("late values")

    class Team(Resource, domain=domain, data_layer=layer()):
        id: Attr[int] = attribute(primary_key=True)
        tickets: Many[Ticket] = has_many("team_id", sort=["id"])
        add = create(accept=["id"])
        own: Many[Ticket] = has_many("team_id", where=lambda: Ticket.owner_id == actor("id"), to=lambda: Ticket)
        mine: Calc[int] = calculated(lambda: Team.tickets.count(Ticket.owner_id == actor("id")))

    class Ticket(Resource, domain=domain, data_layer=layer()):
        id: Attr[int] = attribute(primary_key=True)
        owner_id: Attr[int | None] = attribute(default=None, public=True)
        team_id: Attr[int | None] = attribute(default=None)
        org: Attr[str] = attribute(default="north")
        by: Attr[str | None] = attribute(default=None)

        team: One[Team | None] = belongs_to("team_id", on_delete="nothing")
        is_mine: Calc[bool] = calculated(lambda: Ticket.owner_id == actor("id"), public=True)
        reader: Calc[str] = calculated(lambda: actor("name"))
        share: Calc[int] = calculated(
            lambda: case(Ticket.owner_id == actor("id"), arg("full"), 0), arguments=[argument("full", int)]
        )

        add = create(accept=["id", "owner_id", "team_id", "org"])
        open = create(accept=["id"], changes=[set_attribute("owner_id", actor("id")), set_attribute("org", tenant())])
        mine = read(preparations=[filter(OWNER == actor("id"))])
        close = update(
            accept=[], changes=[set_attribute("by", actor("name"))], validations=[compare("owner_id", "==", actor("id"))]
        )
        close_mine = update(accept=["org"], finds_with="mine")

    domain.create_storage()
    Team.add.bulk([{"id": 7}, {"id": 8}])
    Ticket.add.bulk(
        [
            {"id": 1, "owner_id": 1, "team_id": 7},
            {"id": 2, "owner_id": 2, "team_id": 7, "org": "south"},
            {"id": 3, "owner_id": None, "team_id": 8},
            {"id": 4, "owner_id": 1, "team_id": 8, "org": "south"},
        ]
    )
    return SimpleNamespace(Team=Team, Ticket=Ticket)


def ids(found: Any) -> list[int]:
    """Return the keys of a query's records."""
    return [each.id for each in found.sort("id").all()]
