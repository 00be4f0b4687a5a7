"""The user's own transaction, as the blocks that joined it see it: it notices how that transaction ends.

A maintainer opens it when functions after a commit of the user run too early, too late or not at all.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import attrs
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.util import await_only

from resourcekit.call_context import CallMode, call_mode
from resourcekit.data_layers.callbacks import Callback, run_callbacks, run_callbacks_sync
from resourcekit.data_layers.driver_names import require_names
from resourcekit.data_layers.sql.dialects.base import Dialect
from resourcekit.data_layers.sql.execution.execute import INTERRUPTED, OpenTransaction
from resourcekit.data_layers.sql.execution.failures import AtCommit, as_ours, unknown_outcome
from resourcekit.data_layers.transactions import outside_transaction, rolled_back
from resourcekit.errors import DataLayerError

__all__ = ["ExternalTransaction", "external_transaction_of"]

_OVER = "the transaction that was joined has ended inside of the block; leave the block, and join the next one"


class ExternalTransaction:
    """The functions and blocks that depend on the transactions of a SQLAlchemy connection. It lives as long as the connection.

    callbacks: functions to call after the user's transaction ends, or after the savepoint around them is rolled back.
    open_transactions: the OpenTransaction of each block that is open.

    If a call inside a block was interrupted from outside, how much it wrote is not known. Then a commit is refused, unless a
    savepoint from before the call was rolled back.
    """

    def __init__(self, sa_connection: sa.Connection, dialect: Dialect, *, is_async: bool) -> None:
        self.callbacks: list[Callback] = []
        self.open_transactions: list[OpenTransaction] = []
        self._marks: dict[str, int] = {}
        self._ages: dict[str, int] = {}
        self._interrupted_at: int | None = None
        self._dialect, self._is_async = dialect, is_async
        # SQLAlchemy reports a commit or a rollback before it happens, and a savepoint before it has a name. The methods that do
        # these things have no public names.
        require_names("sqlalchemy")
        own: Any = sa_connection
        for name in ("_commit_impl", "_commit_twophase_impl"):
            setattr(own, name, self._then(self._unless_interrupted(own, getattr(own, name)), self._committed, self._failed))
        for name in ("_rollback_impl", "_rollback_twophase_impl"):
            setattr(own, name, self._then(getattr(own, name), self._rolled_back, self._rolled_back))
        own._savepoint_impl = self._then(own._savepoint_impl, self._marked, None)  # noqa: SLF001  # see above
        event.listen(sa_connection, "rollback_savepoint", lambda sa_connection, name, context: self._rolled_back_to(name))

    @property
    def open_transaction(self) -> OpenTransaction | None:
        """The OpenTransaction of the innermost block, if one is open in this transaction."""
        return self.open_transactions[-1] if self.open_transactions and not self.open_transactions[-1].reason else None

    @staticmethod
    def _then(
        first: Callable[..., Any], then: Callable[[Any], None], failed: Callable[[BaseException], None] | None
    ) -> Callable[..., Any]:
        def both(*args: Any, **kwargs: Any) -> Any:
            try:
                result = first(*args, **kwargs)
            except BaseException as error:
                if failed is not None:
                    failed(error)
                raise
            then(result)
            return result

        return both

    def _unless_interrupted(self, sa_connection: Any, commit: Callable[..., Any]) -> Callable[..., Any]:
        refer = weakref.ref(sa_connection)

        def checked(*args: Any, **kwargs: Any) -> Any:
            if self._interrupted_at is not None:
                if (own := refer()) is not None:  # SQLAlchemy takes the transaction for ended after a failed commit
                    own.dialect.do_rollback(own.connection)
                raise DataLayerError(INTERRUPTED)
            return commit(*args, **kwargs)

        return checked

    def left(self, open_transaction: OpenTransaction) -> None:
        """Forget a block that has ended, and note whether a call inside of it was interrupted."""
        if open_transaction.reason == INTERRUPTED and self._interrupted_at is None:
            self._interrupted_at = len(self._ages)
        self.open_transactions[:] = [each for each in self.open_transactions if each is not open_transaction]

    def _committed(self, _: object) -> None:
        self._run(self._over(), None)

    def _failed(self, error: BaseException) -> None:
        raised = as_ours(AtCommit(error), self._dialect) if isinstance(error, Exception) else unknown_outcome()
        self._run(self._over(), raised)

    def _rolled_back(self, _: object) -> None:
        self._run(self._over(), rolled_back())

    def _run(self, callbacks: list[Callback], error: BaseException | None) -> None:
        if not callbacks:
            return
        with outside_transaction():
            if self._is_async:  # the commit of an async connection runs in a greenlet of its loop
                await_only(self._in_loop(callbacks, error))
            else:
                run_callbacks_sync(callbacks, error)

    @staticmethod
    async def _in_loop(callbacks: list[Callback], error: BaseException | None) -> None:
        token = call_mode.set(CallMode.ASYNC)
        try:
            await run_callbacks(callbacks, error)
        finally:
            call_mode.reset(token)

    def _over(self) -> list[Callback]:
        """Return the callbacks.

        Mark open blocks as lost, so that none of them writes into the next transaction by mistake.
        """
        callbacks = self.callbacks[:]
        self.callbacks.clear()
        self._marks.clear()
        self._ages.clear()
        self._interrupted_at = None
        for open_transaction in self.open_transactions:
            open_transaction.lose(_OVER)
        return callbacks

    def _marked(self, name: str) -> None:
        self._marks[name] = len(self.callbacks)
        self._ages.setdefault(name, len(self._ages))

    def _rolled_back_to(self, name: str) -> None:
        # A savepoint without a mark is older than all callbacks.
        mark = self._marks.get(name, 0)
        if self._interrupted_at is not None and self._ages.get(name, -1) < self._interrupted_at:
            self._interrupted_at = None
        undone = [each for each in self.callbacks[mark:] if not each.needs_commit]
        self.callbacks[mark:] = [attrs.evolve(each, error=each.error or rolled_back()) for each in undone]
        for open_transaction in self.open_transactions:
            open_transaction.is_aborted = False


_external_transactions: weakref.WeakKeyDictionary[sa.Connection, ExternalTransaction] = weakref.WeakKeyDictionary()


def external_transaction_of(sa_connection: sa.Connection, dialect: Dialect, *, is_async: bool) -> ExternalTransaction:
    """Return the one ExternalTransaction of a connection."""
    ending = _external_transactions.get(sa_connection)
    if ending is None:
        ending = _external_transactions[sa_connection] = ExternalTransaction(sa_connection, dialect, is_async=is_async)
    return ending
