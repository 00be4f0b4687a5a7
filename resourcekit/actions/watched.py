"""The queries of primary reads, with a record of the resources and values on which a resolved query depends."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from resourcekit.actions.runtime import Runtime, shows_all
from resourcekit.expressions.query import Query

__all__ = ["Shown", "Watched"]

Shown = Callable[[Runtime], Awaitable[Query[Any]]]
"""Returns the query of what the primary read of a resource shows."""


class Watched:
    """Returns the queries of primary reads, and records on which resources a resolved expression depends.

    seen: the resources whose primary reads were asked. is_fixed: nothing of it can be different at the next call.
    """

    def __init__(self, shown: Shown) -> None:
        self._shown = shown
        self.seen: dict[Runtime, None] = {}
        self.is_fixed = True

    async def __call__(self, runtime: Runtime) -> Query[Any]:
        """Return the query of what the primary read of a resource shows."""
        self.seen[runtime] = None
        self.is_fixed &= shows_all(runtime)
        return await self._shown(runtime)

    def vary(self) -> None:
        """Note that something depends on the call."""
        self.is_fixed = False
