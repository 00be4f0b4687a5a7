"""Transactions over views: optimistic, committed by one script. They know views, and no plan.

A transaction reads what it needs from the server, works on that, and holds nothing there. When it commits, it is given up
(SerializationFailure) if anything that it had read was changed in the meantime.
"""

from __future__ import annotations

from collections.abc import Hashable
from contextvars import ContextVar
from typing import Any

from resourcekit.data_layers.outside import Outside
from resourcekit.data_layers.redis.view import View
from resourcekit.data_layers.redis.writing import Changed
from resourcekit.data_layers.rows import transaction as blocks
from resourcekit.errors import SerializationFailure

__all__ = ["Handle", "block", "current", "outside"]


class RedisGround(blocks.Ground):
    """The views of one transaction, one for each store."""

    __slots__ = ("_views",)

    def __init__(self) -> None:
        super().__init__()
        self._views: dict[Any, View] = {}

    def view(self, store: Any) -> View:
        """Return the view of a store."""
        view = self._views.get(store)
        if view is None:
            view = self._views[store] = store.new_view(self.journal)
        return view

    async def commit(self) -> None:
        """See Ground."""
        if not self._views:
            return
        try:
            await next(iter(self._views)).commit(self._views, all_reads=True)
        except Changed:
            msg = "another transaction changed what this one had read or written; run it again as a whole"
            raise SerializationFailure(msg) from None

    def close(self) -> None:
        """See Ground; nothing is held."""


Handle = blocks.Handle[RedisGround]
_ambients: dict[Hashable, ContextVar[Handle | None]] = {}


def _ambient(group: Hashable) -> ContextVar[Handle | None]:
    ambient = _ambients.get(group)
    if ambient is None:
        ambient = _ambients.setdefault(group, ContextVar("resourcekit_redis_transaction", default=None))
    return ambient


def current(group: Hashable) -> Handle | None:
    """Return the open block of this thread or task over a group of stores."""
    return blocks.current(_ambient(group))


def outside(group: Hashable) -> Outside[Handle | None]:
    """Return a block whose calls are no part of the open transaction."""
    return Outside(_ambient(group), None)


def block(group: Hashable) -> blocks.Block[RedisGround]:
    """Return a block: a transaction, or a savepoint where one is open."""
    return blocks.Block(_ambient(group), RedisGround)
