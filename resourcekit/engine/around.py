"""The hooks and the transaction around a write, in their one order. It knows nothing of what is written.

before_transaction, [begin, before_action, write, after_action, commit], after_transaction (which also sees errors).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from resourcekit.data_layers.base import Store
from resourcekit.engine.steps import settled
from resourcekit.flow.changeset import BeforeHook, Changeset
from resourcekit.flow.context import Context

__all__ = ["run_around"]

Write = Callable[[Changeset], Awaitable[Any]]


async def run_around(store: Store, changeset: Changeset, context: Context, write: Write, *, transaction: bool) -> Any:
    """Run a write with its hooks; opens a transaction only where a hook or the action needs one."""
    hooks = changeset.hooks
    if not transaction and hooks is _NONE:
        return await write(changeset)
    changeset = await _before(hooks.before_transaction, changeset, context)
    try:
        if transaction or hooks.before_action or hooks.after_action:
            async with store.transaction():
                outcome = await _inside(changeset, context, write)
        else:
            outcome = await write(changeset)
    except Exception as error:
        await _after(changeset, error, context)
        raise
    await _after(changeset, outcome, context)
    return outcome


_NONE = Changeset("create").hooks


async def _before(hooks: tuple[BeforeHook, ...], changeset: Changeset, context: Context) -> Changeset:
    for hook in hooks:
        changeset = await settled(hook(changeset, context))
    return changeset


async def _inside(changeset: Changeset, context: Context, write: Write) -> Any:
    changeset = await _before(changeset.hooks.before_action, changeset, context)
    outcome = await write(changeset)
    for hook in changeset.hooks.after_action:
        outcome = await settled(hook(changeset, outcome, context))
    return outcome


async def _after(changeset: Changeset, outcome: Any, context: Context) -> None:
    for hook in changeset.hooks.after_transaction:
        await settled(hook(changeset, outcome, context))
