"""Calls notifiers after the commit of an action, at most once. An error of a notifier never fails the action."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

from resourcekit.actions.runtime import Runtime
from resourcekit.call_context import CallMode, Context, ambient_context, call_mode, drive
from resourcekit.changeset import PHASES
from resourcekit.data_layers.base import Row, Store
from resourcekit.errors import MixedCallMode
from resourcekit.results import Notification
from resourcekit.signals import require_no_signal
from resourcekit.telemetry import logger

__all__ = ["Notifier", "notifiers_of", "notify_after_commit", "notify_rows"]

Notifier = Callable[[Notification], object]


async def notify_after_commit(
    store: Store, notifiers: Sequence[Any], resource: Any, action: Any, record: Any, context: Context
) -> None:
    """Call notifiers now, or after the commit of the open transaction."""
    if notifiers:
        await _notify(store, notifiers, resource, action.name, action.kind, record, context)


def notifiers_of(runtime: Runtime, action: str) -> tuple[Any, ...]:
    """Return the notifiers of a resource and those of its action of this name, if there is one, in the order of their phases."""
    return runtime.keep(("notifiers", action), _find_notifiers, runtime, action)


def _find_notifiers(runtime: Runtime, action: str) -> tuple[Any, ...]:
    declared = runtime.info.actions.get(action)
    of_resource: Any = runtime.info.options.get("notifiers") or ()
    found = (*of_resource, *(() if declared is None else declared.notifiers))
    return tuple(sorted(found, key=lambda notifier: PHASES.index(getattr(notifier, "phase", "normal"))))


async def notify_rows(runtime: Runtime, action: str, kind: str, rows: Iterable[Row]) -> None:
    """Call notifiers for each row that a function of an extension has written with a statement of its own.

    Args:
        runtime: of the resource.
        action: the action name in the notification. Notifiers of a declared action of that name are called, too.
        kind: ``"create"``, ``"update"`` or ``"destroy"``.
        rows: complete rows, as written.
    """
    notifiers = notifiers_of(runtime, action)
    if notifiers:
        for row in rows:
            record = runtime.record(row)
            await _notify(runtime.store, notifiers, runtime.resource, action, kind, record, ambient_context())


async def _notify(
    store: Store, notifiers: Sequence[Any], resource: Any, action: str, kind: str, record: Any, context: Context
) -> None:
    notification = Notification(
        resource=resource,
        action=action,
        kind=kind,
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
            returned = notify(notification)
            if inspect.isawaitable(returned):
                await _waited_for(returned)
        except Exception as error:  # the write is committed, and a notifier cannot undo it
            require_no_signal(error)
            name = getattr(notifier, "__qualname__", type(notifier).__qualname__)
            why = error if isinstance(error, MixedCallMode) else type(error).__name__  # other errors may quote a record
            logger("notify").error("notifier %s failed: %s", name, why)


async def _waited_for(returned: Awaitable[object]) -> None:
    """Await a notifier. In a sync call it runs on its own, so that only a notifier that waits fails."""
    if call_mode.get() is not CallMode.SYNC:
        await returned
        return

    async def wait() -> None:
        await returned

    drive(wait())
