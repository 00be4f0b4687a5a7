"""Services: background work that an extension declares for a resource."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from datetime import timedelta
from typing import Any, ClassVar

import attrs

from resourcekit.dsl.entity import Entity
from resourcekit.errors import MissingMethod

__all__ = ["Service", "ServiceContext"]


def _go_on() -> bool:
    """Return False: the run is not asked to stop."""
    return False


async def _still_ours() -> bool:
    """Return True: the run needs no lease."""
    return True


@attrs.frozen(kw_only=True)
class ServiceContext:
    """The argument of each run of a service.

    resource: the class for which the service runs.
    options: of the extension that declared the service.
    entity: the entity for which the service runs, if it runs for each entity of a kind; else ``None``.
    should_stop: returns true once the supervisor stops.
    renew: renews the schedule lease of this process, if the fleet shares the service.
    """

    # Any: the class belongs to the framework, the options to the service's own extension.
    resource: Any
    options: Any
    entity: Any = None
    should_stop: Callable[[], bool] = _go_on
    renew: Callable[[], Awaitable[bool]] = _still_ours

    async def proceed(self) -> bool:
        """Return whether to continue. A long run calls it between two steps; if it returns false, the run returns its result
        so far.

        It returns false once the supervisor stops, or if this process was delayed so long that another has taken over.
        """
        return not self.should_stop() and await self.renew()


class Service:
    """One kind of work that is repeated. It is created without arguments, once for each resource, or once for each entity.

    name: in ``status()`` and log lines; the name of the class by default. The name of the entity is added to it, if there is one.
    each: a kind of entity. The service then runs for each entity of this kind, by itself and with an interval of its own;
        ``entity`` and ``context.entity`` are the entity.
    needs: capabilities that the data layer must have, such as ``Capability.LEASE``. A resource whose data layer lacks one is
        refused when it is declared (RK050).
    once_per_fleet: one run in each interval is enough for all processes that share the resource's store. They use a schedule
        lease in that store. If the store has no leases, each process runs it, unless ``needs`` has ``Capability.LEASE``.
    """

    name: str = ""
    once_per_fleet: bool = False
    each: ClassVar[type[Entity] | None] = None
    # Any: capabilities belong to the framework above this package.
    needs: ClassVar[Collection[Any]] = frozenset()
    # Any: the author's kind of entity. It is set on the instance by the Supervisor.
    entity: Any = None

    def interval(self, options: Any) -> timedelta:
        """Return the time from the start of one run to the start of the next; at least one second."""
        raise MissingMethod.of(self, "interval")

    async def prepare(self, context: ServiceContext) -> None:
        """Do what each process has to do before a run, also if the run is another process's turn. An error is a failed run."""

    async def run(self, context: ServiceContext) -> object:
        """Run the work once. ``status()`` shows the result. After an exception the run has failed and is tried again later.

        In a sync program it runs in a thread of its own and must not suspend, as in every sync call. Two runs of one service
        never overlap.
        """
        raise MissingMethod.of(self, "run")

    async def lag(self, context: ServiceContext) -> timedelta | None:
        """Return how long the oldest overdue work has been waiting; zero if there is none.

        ``None``, the default, means that the service cannot compute it. ``Supervisor.health(lag=True)`` calls it. It changes
        nothing.
        """
        del context
        return None
