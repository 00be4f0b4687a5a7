"""Sweeps on Redis: deletes matching records in short steps, on the server if that can evaluate the condition."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import attrs

from resourcekit.call_context import Call, apart
from resourcekit.data_layers.base import DeleteInBatches, Params
from resourcekit.data_layers.redis.codec import RowCodec, sortable
from resourcekit.data_layers.redis.keyspace import INDEX
from resourcekit.data_layers.redis.reading import Reader
from resourcekit.data_layers.redis.scripts import SWEEP, Words
from resourcekit.data_layers.redis.server import Server
from resourcekit.data_layers.redis.snapshot import KeyLayout
from resourcekit.data_layers.rows.plan import RowPlan, moment
from resourcekit.errors import Unavailable
from resourcekit.expressions.nodes import And, Compare, Expression, Field, Param
from resourcekit.resource_info import ResourceInfo

__all__ = ["Sweep"]

_FIRST = 200
"""Records of the first step, before the duration of a step is known."""

_MOST = 5_000


@attrs.frozen
class Test:
    """A comparison that the server makes.

    field: the field of the hash.
    op: the operator.
    encode: returns the bytes to compare with.
    lacking: the value for a record that lacks the field; empty if it has none, so that it does not match.
    """

    field: bytes
    op: str
    encode: Callable[[Params], bytes]
    lacking: bytes = b""


def server_tests(condition: Expression | None, info: ResourceInfo, codec: RowCodec) -> list[Test] | None:
    """Return a condition as tests on the server; ``None`` if the server cannot evaluate it."""
    parts = condition.parts if isinstance(condition, And) else () if condition is None else (condition,)
    tests: list[Test] = []
    for part in parts:
        match part:
            case Compare("<" | "<=" | ">" | ">=" as op, Field(name), Param(param)) if sortable(info.attributes[name].type):
                encode, lacking = codec.encoders[name], codec.lacking(name)
                if lacking is None:
                    return None
                tests.append(Test(name.encode(), op, lambda params, encode=encode, param=param: encode(params[param]), lacking))  # type: ignore[misc]  # defaults in a lambda
            case _:
                return None
    return tests


class Sweep:
    """One pass over all records in key order."""

    def __init__(self, store: Any, layout: KeyLayout, server: Server, tag: str, reader: Reader) -> None:
        self._store, self._layout, self._server, self._tag, self._reader = store, layout, server, tag, reader
        self._marker = b""

    async def run(self, plan: RowPlan, params: Params, pace: float, size: int | None) -> AsyncIterator[int]:
        """Yield the number of removed records of each step, even if it is zero."""
        assert isinstance(plan.operation, DeleteInBatches)
        tests = server_tests(plan.operation.condition, self._layout.info, self._layout.codec)
        low, count = b"-", size or _FIRST
        # The current marker, not the one that this process began with: a sweep also serves storage that was created again
        # meanwhile.
        self._marker = await self._reader.present_marker()
        while True:
            began = time.perf_counter()
            with apart(Call()):  # each step has the full timeout of a call
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

    async def _step_there(self, tests: list[Test], params: Params, low: bytes, count: int) -> tuple[bytes, int]:
        names = self._layout.names
        run = moment(params)
        sets = [word for index, group in names.sets.items() for word in (INDEX + index.encode(), group)]
        words: Words = [
            self._marker,
            names.row_start,
            low,
            count,
            names.commits,
            os.urandom(8),
            int(self._reader.forgets),
            len(names.sets),
            *sets,
            len(tests),
            *(word for test in tests for word in (test.field, test.op.encode(), test.encode(run), test.lacking)),
        ]
        ((how, last, removed),) = await self._server.script(self._tag, SWEEP, names.keys, words, writes=True)
        if how == b"emptied":
            raise Unavailable("the store was emptied while it was swept")
        return last, removed

    async def _step_here(self, plan: RowPlan, params: Params, low: bytes, count: int) -> tuple[bytes, int]:
        """Read a page, and delete its matching records. If another write comes first, the delete is retried."""
        last, keys = await self._store.keys_after(low, count)
        return last, await self._store.remove_among(keys, plan, params) if keys else 0
