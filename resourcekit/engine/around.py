"""The hooks and the transaction around a write, in their one order. It knows nothing of what is written.

before_transaction, [begin, before_action, write, after_action, commit], after_transaction (which also sees errors).
Where a transaction is open already, the brackets are a savepoint in it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from resourcekit.data_layers.base import Store
from resourcekit.engine.steps import settled
from resourcekit.flow.changeset import NO_HOOKS, BeforeHook, Changeset
from resourcekit.flow.context import Context

__all__ = ["run_around"]

Write = Callable[[Changeset], Awaitable[Any]]


async def run_around(store: Store, changeset: Changeset, context: Context, write: Write, *, transaction: bool) -> Any:
    """Run a write with its hooks; opens a transaction only where a hook or the action needs one."""
    if not transaction and changeset.hooks is NO_HOOKS:
        return await write(changeset)
    return await _Way(changeset, context).run(store, write, transaction=transaction)


class _Way:
    """A changeset on its way. What a hook returns takes its place, and so brings its hooks for the stages to come."""

    def __init__(self, changeset: Changeset, context: Context) -> None:
        self.changeset, self.context = changeset, context

    async def run(self, store: Store, write: Write, *, transaction: bool) -> Any:
        """Go through all stages and return what was written."""
        try:
            await self._before(self.changeset.hooks.before_transaction)
            hooks = self.changeset.hooks
            if transaction or hooks.before_action or hooks.after_action:
                async with store.transaction():
                    outcome = await self._inside(write)
            else:
                outcome = await write(self.changeset)
        except Exception as error:
            await self._after(error)
            raise
        await self._after(outcome)
        return outcome

    async def _before(self, hooks: Sequence[BeforeHook]) -> None:
        for hook in hooks:
            returned = await settled(hook(self.changeset, self.context))
            self.changeset = _checked(hook, returned, self.changeset, Changeset)

    async def _inside(self, write: Write) -> Any:
        await self._before(self.changeset.hooks.before_action)
        outcome = await write(self.changeset)
        for hook in self.changeset.hooks.after_action:
            returned = await settled(hook(self.changeset, outcome, self.context))
            outcome = _checked(hook, returned, outcome, type(outcome))
        return outcome

    async def _after(self, outcome: Any) -> None:
        for hook in self.changeset.hooks.after_transaction:
            await settled(hook(self.changeset, outcome, self.context))


def _checked(hook: Any, returned: Any, former: Any, kind: type) -> Any:
    """Return what a hook made of a value; the value itself where the hook returned nothing."""
    if returned is None:
        return former
    if isinstance(returned, kind):
        return returned
    name = getattr(hook, "__qualname__", type(hook).__name__)
    msg = f"the hook {name} must return a {kind.__name__} or nothing, not {type(returned).__name__}"
    raise TypeError(msg)
