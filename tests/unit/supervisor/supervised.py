"""What the tests of the Supervisor in threads share: services whose outcomes a test writes down."""

from __future__ import annotations

import types
from datetime import UTC, datetime, timedelta

from resourcekit import Attr, Domain, Resource, attribute
from resourcekit.extending import Extension, Service, ServiceContext
from resourcekit.supervisor import Scheduling

START = datetime(2030, 1, 1, tzinfo=UTC)
PATIENCE = 10
"""Seconds of real time after which a test gives up; none waits that long when all is well."""

latest = Scheduling(uniform=lambda _low, high: high)
"""Chance always takes the longest pause."""


class Keyed(Resource, abstract=True):
    id: Attr[int] = attribute(primary_key=True)


class Sweep(Service):
    """Returns what the test puts in, or raises it."""

    outcomes: list[object]

    def __init__(self) -> None:
        self.outcomes = []

    def interval(self, options):
        return timedelta(hours=12)

    async def run(self, context: ServiceContext) -> object:
        outcome = self.outcomes.pop(0) if self.outcomes else "done"
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome(context) if callable(outcome) else outcome


def declare(*services: type[Service], name: str = "Ticket", domain: Domain | None = None) -> type[Resource]:
    """Return a resource that has these services."""

    class Sweeping(Extension):
        pass

    Sweeping.services = services
    options = {"domain": domain or Domain("d"), "extensions": [Sweeping]}
    return types.new_class(name, (Keyed,), options, lambda body: body.update(__module__=__name__))


def scripted(*outcomes: object, name: str = "") -> type[Service]:
    """A service whose first runs have these outcomes."""

    class Scripted(Sweep):
        def __init__(self) -> None:
            self.outcomes = list(outcomes)

    Scripted.name = name or "Sweep"
    return Scripted
