"""Laws of lost connections: nothing half, nothing acknowledged that does not stand. It knows the port only."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import Any

from resourcekit.data_layers.base import Capability
from resourcekit.errors import DataLayerError, OutcomeUnknown
from resourcekit.flow.context import Colour
from resourcekit.testing.laws.ledger import LawBook, Ledger, key, law
from resourcekit.testing.laws.samples import sample

__all__ = ["LossLaws"]

_ROWS = 300
"""Rows of one write: so many that a cut may come in the middle of it."""


class LossLaws(LawBook):
    """What a layer keeps when its connections are cut."""

    @law()
    async def test_the_call_after_a_loss_works(self, ledger: Ledger) -> None:
        """A server that was restarted between two calls costs nobody an error."""
        await ledger.add(sample("a"))
        self.cut_connections()
        found = await ledger.find(key == "a")
        self.cut_connections()
        written = await ledger.add(sample("b"))

        assert ([sample("a")], 1) == (found, written.count)
        assert ["a", "b"] == await ledger.keys()

    @law(Capability.TRANSACTION)
    async def test_a_transaction_that_was_cut_stands_whole_or_not_at_all(self, ledger: Ledger) -> None:
        """Where its commit raises, nothing of it stands, not even what was written after the cut, and no function runs."""
        ran: list[str] = []
        acknowledged = ["a"]
        try:
            async with ledger.store.transaction() as transaction:
                transaction.after_commit(lambda: ran.append("cut"))
                await ledger.add(sample("a"))
                self.cut_connections()
                for name in "bcd":
                    with contextlib.suppress(DataLayerError):
                        await ledger.add(sample(name))
                        acknowledged.append(name)
        except DataLayerError:
            acknowledged = []

        assert acknowledged == await ledger.keys()
        assert (["cut"] if acknowledged else []) == ran

        async with ledger.store.transaction() as transaction:
            transaction.after_commit(lambda: ran.append("next"))
            await ledger.add(sample("z"))

        assert [*acknowledged, "z"] == await ledger.keys()
        assert "next" == ran[-1]

    @law()
    async def test_a_write_that_was_cut_off_stands_whole_or_not_at_all(self, ledger: Ledger) -> None:
        """Acknowledged: all of it is there. OutcomeUnknown: all or nothing. Any other error: nothing."""
        self.cut_connections()
        for number in range(8):
            rows = [sample(f"{number}-{each:03}") for each in range(_ROWS)]
            told = await self._cut_into(ledger, rows, after=number / 400)
            there = len(await ledger.find(key.like(f"{number}-%"), fields=("id",)))

            allowed = {_ROWS} if told is None else {0, _ROWS} if told is OutcomeUnknown else {0}
            assert there in allowed, (told, there)

    async def _cut_into(self, ledger: Ledger, rows: list[Any], *, after: float) -> type[Exception] | None:
        """Write rows, and cut all connections a moment after the beginning; return what was raised, if anything."""
        if ledger.colour is Colour.ASYNC:
            cut: Any = asyncio.create_task(self._cut_later(after))
        else:
            cut = threading.Timer(after, self.cut_connections)
            cut.start()
        try:
            await ledger.add(*rows, returning=False)
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
