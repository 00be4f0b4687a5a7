"""Tells notifiers of a committed action, at most once, and never lets one of them fail the action."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from resourcekit.data_layers.base import Store
from resourcekit.flow.context import Context
from resourcekit.flow.notification import Notification
from resourcekit.telemetry import logger

__all__ = ["Notifier", "notify_after_commit"]

Notifier = Callable[[Notification], object]


def notify_after_commit(
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
        _tell(notifiers, notification)
    else:
        transaction.after_commit(lambda: _tell(notifiers, notification))


def _tell(notifiers: Sequence[Any], notification: Notification) -> None:
    for notifier in notifiers:
        notify: Notifier = getattr(notifier, "notify", notifier)
        try:
            notify(notification)
        except Exception as error:  # the write stands; a notifier cannot undo it
            logger("notify").error(
                "notifier %s failed with %s", getattr(notifier, "__qualname__", type(notifier).__qualname__), type(error).__name__
            )
