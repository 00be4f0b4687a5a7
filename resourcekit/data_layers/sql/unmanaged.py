"""The store of a resource whose table another program owns: it is neither created nor changed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Hashable, Iterable, Sequence
from contextlib import aclosing
from datetime import timedelta
from typing import Any

from resourcekit.call_context import Call, CallMode, apart, call_mode
from resourcekit.data_layers.base import Params, Plan, Row
from resourcekit.data_layers.owned_streams import OwnedStream
from resourcekit.data_layers.sql.execution.execute import execute, execute_async
from resourcekit.data_layers.sql.maintenance import existing, storage
from resourcekit.data_layers.sql.store import SQLStore
from resourcekit.dsl.diagnostics import Finding
from resourcekit.results import WriteResult

__all__ = ["UnmanagedStore"]


class UnmanagedStore(SQLStore):
    """The store of one resource in a table of another program.

    Before its first operation it reads the types and collations of the columns. It refuses operations that compare a column
    which compares otherwise than Python, unless the attribute accepts that.
    """

    _broken: existing.Broken | None = None

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._is_unchecked = not self.repo.dialect.is_server  # ``_refuse`` looks closer at the columns

    @property
    def place(self) -> Hashable:
        """Return ``None``: several resources may use one table of another program."""
        return None

    async def identity(self) -> Hashable:
        """Return ``None``, as ``place``."""
        return None

    async def _refuse(self, plan: Plan) -> None:
        """Raise InvalidArgument for an operation that the table would compute otherwise than the resource."""
        if self._broken is None:
            self._broken = await self.do(existing.differences_of, self.info, self.table, writes=False)
        if self._broken:
            existing.refuse(self.info, self._broken, plan.operation)

    async def select(self, plan: Plan, params: Params) -> Sequence[Row]:
        await self._refuse(plan)
        return await super().select(plan, params)

    async def stream(self, plan: Plan, params: Params) -> AsyncIterator[Row]:
        """Yield the rows of a Select."""
        await self._refuse(plan)
        async with aclosing(OwnedStream(super().stream(plan, params))) as rows:  # also if the caller leaves it in the middle
            async for row in rows:
                yield row

    async def aggregate(self, plan: Plan, params: Params) -> Any:
        await self._refuse(plan)
        return await super().aggregate(plan, params)

    async def insert(self, plan: Plan, rows: Sequence[Row], params: Params) -> WriteResult:
        await self._refuse(plan)
        return await super().insert(plan, rows, params)

    async def update(self, plan: Plan, params: Params) -> WriteResult:
        await self._refuse(plan)
        return await super().update(plan, params)

    async def delete(self, plan: Plan, params: Params) -> WriteResult:
        await self._refuse(plan)
        return await super().delete(plan, params)

    async def delete_in_batches(
        self, plan: Plan, params: Params, *, pace: timedelta = timedelta(milliseconds=50), size: int | None = None
    ) -> AsyncIterator[int]:
        """Delete in the order of the table's layout."""
        await self._refuse(plan)
        async for removed in super().delete_in_batches(plan, params, pace=pace, size=size):
            yield removed

    async def create_storage(self) -> None:
        """Create nothing: the table belongs to another program."""

    async def health(self) -> Iterable[Finding]:
        if (path := self.repo.dialect.missing_file(self.repo.url)) is not None:
            return (storage.missing_file(path, self.info),)  # a connection would make an empty file
        args = self.info, self.table
        try:
            with apart(Call()):
                if call_mode.get() is CallMode.SYNC:
                    return execute(self.repo.stale, existing.findings, args, False)
                return await execute_async(self.repo.stale, existing.findings, *args, writes=False)
        except Exception as error:
            raised = self._placed(error)
        raise raised  # outside of the except block, as in SQLStore
