"""A counter that several processes increment, and a worker process that does it."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from places import Place
from workers import Line

from resourcekit import Attr, Changeset, Context, Domain, Resource, attribute, create, existing, increment, query, update
from resourcekit.extending import Change, Upsert

__all__ = ["WAYS", "count_up", "declare"]

LIMIT = timedelta(minutes=2)
"""Time that a call may take on a busy machine."""

WAYS = ("update", "audited", "bulk", "audited bulk", "upsert", "async update", "async audited")
"""The ways in which a record is incremented."""


class Trail(Change):
    """Adds a hook after the write, which finds the old state, and refuses a step of another size."""

    def change(self, changeset: Changeset, context: Context) -> Changeset:
        """Add the hook."""
        return changeset.after_action(_one_step)

    atomic = change


def _one_step(changeset: Changeset, record: Any, _context: Context) -> None:
    if record.count != changeset.record.count + 1:
        raise AssertionError((changeset.record.count, record.count))


def declare(place: Place) -> Any:
    """Return the counter, at a place."""
    domain = Domain(f"counters {place.name}")

    class Counter(Resource, domain=domain, data_layer=place.layer()):
        id: Attr[int] = attribute(primary_key=True)
        count: Attr[int] = attribute(default=0)
        add = create(accept=["id"])
        put = create(accept=["id"], upsert=Upsert(set={"count": existing("count") + 1}))
        bump = update(changes=[increment("count")])
        audited = update(changes=[increment("count"), Trail()])

    domain.create_storage()
    return Counter


def count_up(line: Line, place: Place) -> None:
    """Increment the record 1 as often, and in the way, as each line says: ``"audited 20"``."""
    counter = declare(place)
    line.reply("ready")
    for asked in line.lines():
        way, times = asked.rsplit(" ", 1)
        try:
            if way.startswith("async"):
                asyncio.run(_in_loop(counter, way, int(times)))
            else:
                for _ in range(int(times)):
                    _once(counter, way)
        except Exception as error:  # the test looks at it
            line.reply(f"{type(error).__name__}: {error}")
        else:
            line.reply("done")


def _once(counter: Any, way: str) -> None:
    if way.endswith("bulk"):
        action = counter.audited if way == "audited bulk" else counter.bump
        if (found := action.using(deadline=LIMIT).bulk(query(counter).filter(counter.id == 1))).count != 1:
            raise AssertionError(found)
    elif way == "upsert":
        counter.put.using(deadline=LIMIT)(id=1)
    else:
        (counter.audited if way == "audited" else counter.bump).using(deadline=LIMIT)(1)


async def _in_loop(counter: Any, way: str, times: int) -> None:
    action = counter.audited if way == "async audited" else counter.bump
    for _ in range(times):
        await action.using(deadline=LIMIT).aio(1)
