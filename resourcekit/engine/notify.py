"""Tells notifiers of a committed action, at most once, and never lets one of them fail the action."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from resourcekit.data_layers.base import Store
from resourcekit.engine.drive import drive
from resourcekit.errors import WrongColour
from resourcekit.flow.context import Colour, Context, colour
from resourcekit.flow.notification import Notification
from resourcekit.telemetry import logger

__all__ = ["Notifier", "notify_after_commit"]

Notifier = Callable[[Notification], object]


async def notify_after_commit(
    store: Store, notifiers: Sequence[Any], resource: Any, action: Any, record: Any, context: Context
) -> None:
    """Tell now, or after the commit of the transaction that is open."""
    if not notifiers:
        return
    notification = Notification(
        resource=resource,
        action=action.name,
        kind=action.kind,
        record=record,
        actor=context.actor,
        at=context.now(),
        metadata=context.metadata,
    )
    transaction = store.current_transaction()
    if transaction is None:
        await _tell(notifiers, notification)
    else:
        transaction.after_commit(lambda: _tell(notifiers, notification))


async def _tell(notifiers: Sequence[Any], notification: Notification) -> None:
    for notifier in notifiers:
        notify: Notifier = getattr(notifier, "notify", notifier)
        try:
            told = notify(notification)
            if inspect.isawaitable(told):
                await _waited_for(told)
        except Exception as error:  # the write stands; a notifier cannot undo it
            name = getattr(notifier, "__qualname__", type(notifier).__qualname__)
            why = error if isinstance(error, WrongColour) else type(error).__name__  # others may quote a record
            logger("notify").error("notifier %s failed: %s", name, why)


async def _waited_for(told: Awaitable[object]) -> None:
    """Await a notifier; in a sync call by itself, so that one that has to wait fails alone."""
    if colour.get() is not Colour.SYNC:
        await told
        return

    async def wait() -> None:
        await told

    drive(wait())
