"""Conformance tests of lost connections: no half write, and no acknowledged write that is missing."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import Any

from resourcekit.call_context import CallMode
from resourcekit.data_layers.base import Capability
from resourcekit.errors import DataLayerError, OutcomeUnknown
from resourcekit.testing.conformance.harness import ConformanceSuite, Harness, conformance_test, key
from resourcekit.testing.conformance.samples import sample

__all__ = ["LossSuite"]

_ROWS = 300
"""Rows of one write: so many that a cut may come in the middle of it."""


class LossSuite(ConformanceSuite):
    """Tests of a layer whose connections are cut."""

    @conformance_test()
    async def test_the_call_after_a_loss_works(self, harness: Harness) -> None:
        """A restart of the server between two calls causes no error."""
        await harness.add(sample("a"))
        self.cut_connections()
        found = await harness.find(key == "a")
        self.cut_connections()
        written = await harness.add(sample("b"))

        assert ([sample("a")], 1) == (found, written.count)
        assert ["a", "b"] == await harness.keys()

    @conformance_test(Capability.TRANSACTION)
    async def test_a_transaction_that_was_cut_stands_whole_or_not_at_all(self, harness: Harness) -> None:
        """If the commit raises, nothing of the transaction is stored, not even a write after the cut, and no ``after_commit``
        runs.
        """
        ran: list[str] = []
        acknowledged = ["a"]
        try:
            async with harness.store.transaction() as transaction:
                transaction.after_commit(lambda: ran.append("cut"))
                await harness.add(sample("a"))
                self.cut_connections()
                for name in "bcd":
                    with contextlib.suppress(DataLayerError):
                        await harness.add(sample(name))
                        acknowledged.append(name)
        except DataLayerError:
            acknowledged = []

        assert acknowledged == await harness.keys()
        assert (["cut"] if acknowledged else []) == ran

        async with harness.store.transaction() as transaction:
            transaction.after_commit(lambda: ran.append("next"))
            await harness.add(sample("z"))

        assert [*acknowledged, "z"] == await harness.keys()
        assert "next" == ran[-1]

    @conformance_test()
    async def test_a_write_that_was_cut_off_stands_whole_or_not_at_all(self, harness: Harness) -> None:
        """After an acknowledged write, all rows are there. After OutcomeUnknown, all or none are. After any other error, none
        is.
        """
        self.cut_connections()
        for number in range(8):
            rows = [sample(f"{number}-{each:03}") for each in range(_ROWS)]
            error = await self._cut_into(harness, rows, after=number / 400)
            there = len(await harness.find(key.like(f"{number}-%"), fields=("id",)))

            allowed = {_ROWS} if error is None else {0, _ROWS} if error is OutcomeUnknown else {0}
            assert there in allowed, (error, there)

    async def _cut_into(self, harness: Harness, rows: list[Any], *, after: float) -> type[Exception] | None:
        """Write rows, and cut all connections shortly after the start. Return the type of the error, if one was raised."""
        if harness.call_mode is CallMode.ASYNC:
            cut: Any = asyncio.create_task(self._cut_later(after))
        else:
            cut = threading.Timer(after, self.cut_connections)
            cut.start()
        try:
            await harness.add(*rows, returning=False)
        except DataLayerError as error:
            return type(error)
        finally:
            if isinstance(cut, threading.Timer):
                cut.join()
            else:
                await cut
        return None

    async def _cut_later(self, after: float) -> None:
        await asyncio.sleep(after)
        await asyncio.to_thread(self.cut_connections)
