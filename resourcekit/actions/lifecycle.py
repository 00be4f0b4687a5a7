"""The order of hooks and transaction around a write.

The order is: before_transaction, [begin, read, before_action, write, after_action, commit], after_transaction. The last also gets
errors. If a transaction is open already, the part in brackets is a savepoint in it, and after_transaction waits for the end of
the outer transaction.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from resourcekit.actions.steps import settled, wrong_result
from resourcekit.call_context import Context, Suspended, pause
from resourcekit.changeset import NO_HOOKS, BeforeHook, Changeset
from resourcekit.data_layers.base import Capability, Store
from resourcekit.dsl.extension_checks import takes
from resourcekit.errors import SerializationFailure

__all__ = ["after_action", "after_transaction", "in_transaction", "run_lifecycle"]

_TRIES = 1000
"""Most attempts of a write. Each that fails means that another transaction was committed, so the writers as a whole make progress."""

_LONGEST_PAUSE_S = 0.002

T = TypeVar("T")
Write = Callable[[Changeset], Awaitable[Any]]
Read = Callable[[Changeset], Awaitable[Changeset]]


async def run_lifecycle(
    store: Store, changeset: Changeset, context: Context, write: Write, *, transaction: bool, read: Read | None = None
) -> Any:
    """Run a write with its hooks. A transaction is opened only if a hook or the action needs one.

    read: sets the record of the changeset, in the transaction and only if a hook inside it could look at the record.
    """
    if not transaction and changeset.hooks is NO_HOOKS:
        return await write(changeset)
    return await _Way(store, changeset, context, read).run(write, transaction=transaction)


async def in_transaction(store: Store, context: Context, work: Callable[[], Awaitable[T]], *, again: bool) -> T:
    """Return the result of work that runs in a transaction, or in a savepoint of the open one.

    again: run it again if another transaction was first; never in a transaction of the caller, which must be run again as a whole.
    """
    tries = _TRIES if again and store.current_transaction() is None else 1
    while True:
        try:
            async with store.transaction():
                return await work()
        except SerializationFailure:
            tries -= 1
            if not tries or (context.deadline is not None and context.deadline.expired):
                raise
        await pause(random.uniform(0.0, _LONGEST_PAUSE_S))  # noqa: S311  # no secret


async def after_action(store: Store, changeset: Changeset, record: Any, context: Context) -> Any:
    """Run the after_action hooks of a changeset whose record was written, and return the record as they left it."""
    return await _Way(store, changeset, context).acted(record)


async def after_transaction(store: Store, changeset: Changeset, outcome: Any, context: Context) -> None:
    """Run the after_transaction hooks of a changeset: now, or after the end of the transaction that is still open."""
    await _Way(store, changeset, context).after(outcome)


class _Way:
    """Runs a changeset's hooks. A hook may return a new changeset, whose own hooks then replace the remaining ones."""

    def __init__(self, store: Store, changeset: Changeset, context: Context, read: Read | None = None) -> None:
        self.store, self.changeset, self.context, self._read = store, changeset, context, read

    async def run(self, write: Write, *, transaction: bool) -> Any:
        """Run all stages and return the written record."""
        try:
            await self._before(self.changeset.hooks.before_transaction)
            hooks = self.changeset.hooks
            if transaction or hooks.before_action or hooks.after_action:
                outcome = await self._in_transaction(write)
            else:
                outcome = await write(self.changeset)
        except (Suspended, GeneratorExit):
            raise  # the coroutine is being unwound and cannot await
        except BaseException as error:
            await self.after(error)
            raise
        await self.after(outcome)
        return outcome

    async def _in_transaction(self, write: Write) -> Any:
        """Run the stages inside the transaction, and again if another one was first and the store cannot lock what they read.

        A write that reads for its hooks alone promises that no other write is lost. Where there are row locks it waits for its turn.
        In a transaction of the caller it is not repeated, because that must be run again as a whole.
        """
        ready = self.changeset

        async def work() -> Any:
            self.changeset = ready
            return await self._inside(write)

        again = self._read is not None and Capability.LOCK not in self.store.capabilities
        return await in_transaction(self.store, self.context, work, again=again)

    async def _before(self, hooks: Sequence[BeforeHook]) -> None:
        for hook in hooks:
            returned = await settled(self._called(hook, self.changeset, self.context))
            self.changeset = _checked(hook, returned, self.changeset, Changeset, self.changeset)

    async def _inside(self, write: Write) -> Any:
        hooks = self.changeset.hooks
        if self._read is not None and (hooks.before_action or hooks.after_action):
            self.changeset = await self._read(self.changeset)
        await self._before(self.changeset.hooks.before_action)
        return await self.acted(await write(self.changeset))

    async def acted(self, outcome: Any) -> Any:
        """Run the after_action hooks, and return the record as they left it."""
        for hook in self.changeset.hooks.after_action:
            returned = await settled(self._called(hook, self.changeset, outcome, self.context))
            outcome = _checked(hook, returned, outcome, type(outcome), self.changeset)
        return outcome

    async def after(self, outcome: Any) -> None:
        """Run the after_transaction hooks: now, or after the end of the transaction that is still open."""
        if not self.changeset.hooks.after_transaction:
            return

        def ended(error: BaseException | None) -> Awaitable[None]:
            # An action that failed reports its own error. An action that succeeded and was rolled back later reports the cause
            # of the rollback. The rollback of a savepoint is not the end: the end is that of the outer transaction.
            return self.after(outcome if error is None or isinstance(outcome, BaseException) else error)

        if not self.store.after_end(ended):
            await self._told(outcome)

    async def _told(self, outcome: Any) -> None:
        for hook in self.changeset.hooks.after_transaction:
            await settled(self._called(hook, self.changeset, outcome, self.context))

    def _called(self, hook: Callable[..., Any], *given: object) -> Any:
        """Return what a hook returns. Raise WrongResult if it does not take what hooks are given."""
        try:
            return hook(*given)
        except TypeError as error:
            if takes(hook, len(given)):
                raise
            name = getattr(hook, "__qualname__", type(hook).__name__)
            what = f"the hook {name} does not take {len(given)} arguments"
            parameters = "changeset, context" if len(given) == 2 else "changeset, outcome, context"
            raise wrong_result(self.changeset.resource, self.changeset.action, what, f"Give it these: ({parameters}).") from error


def _checked(hook: Any, returned: Any, former: Any, kind: type, changeset: Changeset) -> Any:
    """Return the value that a hook returned, or the former value if the hook returned ``None``."""
    if returned is None:
        return former
    if isinstance(returned, kind):
        return returned
    name = getattr(hook, "__qualname__", type(hook).__name__)
    what = f"the hook {name} must return a {kind.__name__} or nothing, not {type(returned).__name__}"
    raise wrong_result(changeset.resource, changeset.action, what, "Return what it got, changed or not, or None.")
