"""Removes what matches in short steps, on the server where it can compare. It knows plans and scripts, and no view."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import attrs

from resourcekit.data_layers.base import DeleteInBatches, Params
from resourcekit.data_layers.redis.codec import codec_for, sortable
from resourcekit.data_layers.redis.keyspace import INDEX
from resourcekit.data_layers.redis.scripts import SWEEP, TIDY, Words
from resourcekit.data_layers.redis.server import Server
from resourcekit.data_layers.redis.view import Plot
from resourcekit.data_layers.rows.plan import RowPlan, moment
from resourcekit.errors import Unavailable
from resourcekit.flow.expression import And, Compare, Expression, Field, Param
from resourcekit.resource_info import ResourceInfo

__all__ = ["Sweep"]

_FIRST = 200
"""Records of the first step, before it is known how long one takes."""

_MOST = 5_000


@attrs.frozen
class Test:
    """A comparison that the server makes: a field, an operator, and the bytes to compare with."""

    field: bytes
    op: str
    encode: Callable[[Params], bytes]


def server_tests(condition: Expression | None, info: ResourceInfo) -> list[Test] | None:
    """Return a condition as tests of the server; ``None`` where it cannot make them."""
    parts = condition.parts if isinstance(condition, And) else () if condition is None else (condition,)
    tests: list[Test] = []
    for part in parts:
        match part:
            case Compare("<" | "<=" | ">" | ">=" as op, Field(name), Param(param)) if sortable(info.attributes[name].type):
                encode = codec_for(info.attributes[name].type)[0]
                tests.append(Test(name.encode(), op, lambda params, encode=encode, param=param: encode(params[param])))  # type: ignore[misc]  # defaults in a lambda
            case _:
                return None
    return tests


class Sweep:
    """One pass over all records, in the order of their keys."""

    def __init__(self, store: Any, plot: Plot, server: Server, tag: str) -> None:
        self._store, self._plot, self._server, self._tag = store, plot, server, tag

    async def run(self, plan: RowPlan, params: Params, pace: float, size: int | None) -> AsyncIterator[int]:
        """Yield how many records went with each step, also a zero."""
        assert isinstance(plan.operation, DeleteInBatches)
        tests = server_tests(plan.operation.condition, self._plot.info)
        low, count = b"-", size or _FIRST
        while True:
            began = time.perf_counter()
            if tests is None:
                last, removed = await self._step_here(plan, params, low, count)
            else:
                last, removed = await self._step_there(tests, params, low, count)
            yield removed
            if not last:
                break
            low = b"(" + last
            if size is None:
                took = max(time.perf_counter() - began, 1e-6)
                count = max(1, min(_MOST, int(count * min(4.0, pace / took))))
        await self._tidy()

    async def _step_there(self, tests: list[Test], params: Params, low: bytes, count: int) -> tuple[bytes, int]:
        names = self._plot.names
        run = moment(params)
        sets = [word for index, group in names.sets.items() for word in (INDEX + index.encode(), group)]
        words = [
            await self._store.epoch(),
            names.keys,
            names.row_start,
            low,
            count,
            names.commits,
            len(names.sets),
            *sets,
            len(tests),
            *(word for test in tests for word in (test.field, test.op.encode(), test.encode(run))),
        ]
        ((how, last, removed),) = await self._server.script(self._tag, SWEEP, names.epoch, words, writes=True)
        if how == b"emptied":
            raise Unavailable("the store was emptied since this process began to use it")
        return last, removed

    async def _step_here(self, plan: RowPlan, params: Params, low: bytes, count: int) -> tuple[bytes, int]:
        """Read a page, and delete from it what matches, each step a transaction that is run again when others came first."""
        last, keys = await self._store.keys_after(low, count)
        return last, await self._store.remove_among(keys, plan, params) if keys else 0

    async def _tidy(self) -> None:
        """Drop members of indexes whose record the server itself has freed."""
        if self._plot.life is None:
            return
        names = self._plot.names
        for index, group in names.sets.items():
            low = b"-"
            while low:
                words: Words = [group, names.row_start, low, _FIRST, len(names.indexes[index])]
                (last,) = await self._server.script(self._tag, TIDY, names.epoch, words, writes=True)
                low = b"(" + last if last else b""
