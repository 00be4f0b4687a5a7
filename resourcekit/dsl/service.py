"""Services: background work that an extension wants for a resource. They know neither a thread nor a loop."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import attrs

__all__ = ["Service", "ServiceContext"]


def _go_on() -> bool:
    """Answer for a run that nobody is going to stop."""
    return False


async def _still_ours() -> bool:
    """Answer for a run whose turn nobody else can take."""
    return True


@attrs.frozen(kw_only=True)
class ServiceContext:
    """What a service gets each time it runs.

    resource: the class it works for; options: of the extension that brought the service.
    should_stop: true once the supervisor wants to end. renew: keeps the turn of this process, where the fleet takes turns.
    """

    # Any: the class is the framework's, the options those of the service's own extension.
    resource: Any
    options: Any
    should_stop: Callable[[], bool] = _go_on
    renew: Callable[[], Awaitable[bool]] = _still_ours

    async def proceed(self) -> bool:
        """Return whether to go on; a long run asks between two steps, and where it may not, returns what it has done.

        It may not once the supervisor wants to end, or once this process was held up so long that another has taken over.
        """
        return not self.should_stop() and await self.renew()


class Service:
    """One kind of work, done again and again. It is made without arguments, once a resource.

    name: how ``status()`` and log lines call it; the name of the class unless set.
    once_per_fleet: one run an interval is enough for all processes that share the resource's store; they take turns by
        a lease that is kept there. Where the store has no leases, each process runs it.
    """

    name: str = ""
    once_per_fleet: bool = False

    def interval(self, options: Any) -> timedelta:
        """Return the time from the start of one run to the start of the next; at least one second."""
        raise NotImplementedError

    async def run(self, context: ServiceContext) -> object:
        """Do the work once; what it returns is shown by ``status()``. An exception is a failed run, tried again later.

        In a sync program it runs in a thread of its own and must not suspend, like everything in a sync call. Two runs
        of one service never overlap.
        """
        raise NotImplementedError

    async def lag(self, context: ServiceContext) -> timedelta | None:
        """Return how long the oldest work has been waiting that a run should already have done; zero where none is.

        ``None``, as here, where the service cannot tell. ``Supervisor.health(lag=True)`` asks it, and it changes nothing.
        """
        del context
        return None
