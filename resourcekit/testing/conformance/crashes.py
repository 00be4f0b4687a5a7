"""Conformance tests of processes: a write that one process acknowledged is there for all others, even after a kill.

They apply to every layer that is not in-process (``DataLayer.in_process``).
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import ClassVar, Literal

import pytest

from resourcekit.call_context import CallMode
from resourcekit.data_layers.base import Capability, Row
from resourcekit.errors import UniqueViolation
from resourcekit.expressions.nodes import Field
from resourcekit.testing.conformance.harness import OUTLIVING, ConformanceSuite, Harness, conformance_test, key
from resourcekit.testing.conformance.processes import ProcessDied, SecondProcess, Send
from resourcekit.testing.conformance.samples import sample
from resourcekit.testing.plugin import MISSING_CAPABILITY

__all__ = ["ProcessSuite"]

_TTL = timedelta(minutes=5)
_ROUNDS = 6
_BATCH = 40
"""Rows of one write that may be cut off in its middle."""

_TEXT = "0123456789" * 200
"""Makes a row so large that a batch is about 80 kB of a file."""


class ProcessSuite(ConformanceSuite):
    """Tests of a layer while several processes use its place, and after one of them is killed.

    Attributes:
        start_method: How ``multiprocessing`` starts the second process. ``"fork"``: it inherits the layer. ``"spawn"``, for a
            driver that must not be forked and for systems without ``fork``: the layer must be picklable.
    """

    start_method: ClassVar[Literal["fork", "spawn"]] = "fork" if hasattr(os, "fork") else "spawn"

    @pytest.fixture
    def peers(self, tmp_path: Path, call_mode: CallMode) -> Iterator[Callable[[], SecondProcess]]:
        """Start five processes before this one opens anything, and provide them to the test; all are ended after the test."""
        if self.make_data_layer(tmp_path).in_process:
            pytest.skip(MISSING_CAPABILITY + OUTLIVING)
        started = [SecondProcess(self.make_data_layer(tmp_path), call_mode, self.start_method) for _ in range(5)]
        waiting = iter(started)
        yield lambda: next(waiting)
        for process in started:
            process.stop()

    @pytest.fixture
    def peer(self, peers: Callable[[], SecondProcess]) -> SecondProcess:
        """Provide one second process."""
        return peers()

    @conformance_test(Capability.UPDATE_WHERE, Capability.DELETE_WHERE)
    async def test_a_second_process_sees_each_write_at_once(self, peer: SecondProcess, harness: Harness) -> None:
        """Each process sees the inserts, updates and deletes of the other one in the next call."""
        await harness.add(sample("a", number=-1))
        for number in range(_ROUNDS):
            await harness.change(key == "a", number=number)
            assert [("a", number)] == peer.call(_rows)
            peer.call(_set, "a", number + 100)
            assert [("a", number + 100)] == await _rows(harness, print)
            assert 1 == peer.call(_insert, [sample("b")])
            assert ["a", "b"] == await harness.keys()
            await harness.remove(key == "b")
            assert [("a", number + 100)] == peer.call(_rows)

    @conformance_test(Capability.UPDATE_WHERE)
    async def test_a_write_keeps_what_a_second_process_wrote(self, peer: SecondProcess, harness: Harness) -> None:
        """A write of one process keeps rows and values that another one wrote since this one last read."""
        await harness.add(sample("a"))
        peer.call(_insert, [sample("b")])
        await harness.change(key == "a", text="here")
        peer.call(_set, "a", 7)
        await harness.add(sample("c"))

        assert [sample("a", text="here", number=7), sample("b"), sample("c")] == await harness.find(None, key)
        assert [("a", 7), ("b", 0), ("c", 0)] == peer.call(_rows)

    @conformance_test()
    async def test_an_identity_is_unique_over_all_processes(self, peer: SecondProcess, harness: Harness) -> None:
        """A key and an identity that one process took are refused in another; of concurrent inserts exactly one is written."""
        assert 1 == peer.call(_insert, [sample("a", code="x")])
        for row in (sample("a"), sample("b", code="x")):
            assert [UniqueViolation] == [type(failure.error) for failure in (await harness.add(row)).failures]
        rows = [sample(f"race {number}", code=f"race {number}") for number in range(30)]
        peer.begin(_insert_each, rows)
        here = await _insert_each(harness, print, rows)

        assert [1] * 30 == [mine + other for mine, other in zip(here, peer.result(), strict=True)]

    @conformance_test(Capability.CAS, Capability.ATOMIC_EXPR)
    async def test_no_write_of_any_process_is_lost(self, peer: SecondProcess, harness: Harness) -> None:
        """If two processes write concurrently, every row is there, increments add up, each compare and set has one winner."""
        await harness.add(*(sample(f"race {number}") for number in range(30)), sample("sum"))
        peer.begin(_compete, "second")
        here = await _compete(harness, print, "first")
        there = peer.result()
        rows = {row["id"]: row for row in await harness.find()}

        assert [1] * 30 == [mine + other for mine, other in zip(here, there, strict=True)]
        assert ["first" if mine else "second" for mine in here] == [rows[f"race {number}"]["text"] for number in range(30)]
        assert (60, 91) == (rows["sum"]["number"], len(rows))

    @conformance_test(Capability.LEASE)
    async def test_a_lease_has_one_holder_over_all_processes(self, peer: SecondProcess, harness: Harness) -> None:
        """A lease that this process holds is refused in another one, and is free there as soon as it is released."""
        for _ in range(_ROUNDS):
            async with harness.store.lease("one", _TTL) as held:
                got = [held, peer.call(_lease)]
            assert [True, False, True] == [*got, peer.call(_lease)]

    @conformance_test(Capability.DELETE_IN_BATCHES)
    async def test_a_sweep_sees_rows_of_a_second_process(self, peer: SecondProcess, harness: Harness) -> None:
        """A sweep removes rows that another process wrote, and that process no longer finds them."""
        await harness.find()
        peer.call(_insert, [sample(str(number), number=number % 2) for number in range(20)])
        assert 10 == sum([count async for count in harness.sweep(Field("number") == 1)])
        assert 10 == len(peer.call(_rows))

    # Death

    @conformance_test(Capability.UPDATE_WHERE)
    async def test_what_a_killed_process_acknowledged_is_there(
        self, peers: Callable[[], SecondProcess], harness: Harness
    ) -> None:
        """A process that is killed in the moment in which its write returned has written it."""
        await harness.add(sample("a"))
        for number, work in enumerate([_insert_and_die, _set_and_die, _insert_and_die]):
            with pytest.raises(ProcessDied) as died:
                peers().call(work, number)
            assert -signal.SIGKILL == died.value.args[0]
        assert [("a", 1), ("row 0", 0), ("row 2", 2)] == await _rows(harness, print)
        assert [("a", 1), ("row 0", 0), ("row 2", 2)] == await _rows(await harness.another(), print)

    @conformance_test()
    async def test_a_write_that_a_kill_cut_off_is_there_whole_or_not_at_all(
        self, peers: Callable[[], SecondProcess], harness: Harness
    ) -> None:
        """A process is killed during many writes: all acknowledged ones are there, and of the next one all rows or none."""
        moments, done = random.Random(4), list[int]()  # noqa: S311  # the same in each run
        for kill in range(3):
            process = peers()
            process.begin(_insert_batches, kill * 1000)
            begun = time.monotonic()
            acknowledged = [process.received() for _ in range(4)]
            time.sleep(moments.random() * (time.monotonic() - begun) / 4)  # noqa: ASYNC251  # nothing else runs in this process
            process.kill()
            try:
                while True:
                    acknowledged.append(process.received())
            except ProcessDied:
                done += acknowledged
            await self._require_whole(harness, done, acknowledged[-1] + 1)

    @conformance_test()
    async def test_a_process_that_dies_within_a_write_leaves_it_whole_or_not_at_all(
        self, peers: Callable[[], SecondProcess], harness: Harness
    ) -> None:
        """The system kills a process at a byte of a file (RLIMIT_FSIZE): acknowledged writes are there, and no write is half
        done.

        A layer that writes no files acknowledges the write, and then has it. A layer that notices a short write may raise.
        """
        pytest.importorskip("resource")
        done: list[int] = []
        for number, most_bytes in enumerate([40_000, 200_000, 60_000, 350_000]):
            try:
                is_acknowledged = peers().call(_insert_within, number, most_bytes)
            except ProcessDied:
                is_acknowledged = False
            if is_acknowledged:
                done.append(number)
            else:
                await self._require_whole(harness, done, number)
            await harness.add(*_batch(10 + number), returning=False)
            done.append(10 + number)
        await self._require_whole(harness, done, -1)

    async def _require_whole(self, harness: Harness, done: list[int], last: int) -> None:
        """Require all rows of the acknowledged batches, all or none of the last one, and no others; here and after a restart.

        If the last one is there, it counts as acknowledged from then on.
        """
        for each in (harness, await harness.another()):
            numbers = [row["number"] for row in await each.find(fields=("id", "number"))]
            there = {number: numbers.count(number) for number in sorted(set(numbers))}
            if each is harness and there.get(last) == _BATCH:
                done.append(last)
            assert dict.fromkeys(sorted(done), _BATCH) == there


# Functions of the second process, which gets their module and name


def _batch(number: int) -> list[Row]:
    return [sample(f"{number}-{each}", number=number, text=_TEXT) for each in range(_BATCH)]


async def _rows(harness: Harness, send: Send) -> list[tuple[str, int]]:
    del send
    return sorted((row["id"], row["number"]) for row in await harness.find())


async def _set(harness: Harness, send: Send, wanted: str, number: int) -> int:
    del send
    return (await harness.change(key == wanted, number=number)).count


async def _insert(harness: Harness, send: Send, rows: Sequence[Row]) -> int:
    del send
    return (await harness.add(*rows)).count


async def _insert_each(harness: Harness, send: Send, rows: Sequence[Row]) -> list[int]:
    return [await _insert(harness, send, [row]) for row in rows]


async def _compete(harness: Harness, send: Send, name: str) -> list[int]:
    del send
    wins = []
    for number in range(30):
        free = (key == f"race {number}") & Field("text").is_none()
        wins.append((await harness.change(free, text=name)).count)
        await harness.change(key == "sum", number=Field("number") + 1)
        await harness.add(sample(f"{name} {number}"))
    return wins


async def _lease(harness: Harness, send: Send) -> bool:
    del send
    async with harness.store.lease("one", _TTL) as held:
        return held


async def _insert_and_die(harness: Harness, send: Send, number: int) -> None:
    await _insert(harness, send, [sample(f"row {number}", number=number)])
    os.kill(os.getpid(), signal.SIGKILL)


async def _set_and_die(harness: Harness, send: Send, number: int) -> None:
    await _set(harness, send, "a", number)
    os.kill(os.getpid(), signal.SIGKILL)


async def _insert_batches(harness: Harness, send: Send, first: int) -> None:
    for number in range(first, first + 300):
        await harness.add(*_batch(number), returning=False)
        send(number)


async def _insert_within(harness: Harness, send: Send, number: int, most_bytes: int) -> bool:
    """Return whether the write was acknowledged; it may raise, or the system kills the process."""
    del send
    import resource  # POSIX only

    await harness.find(key == "nothing")  # opens files and connections before the limit applies
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))
    with contextlib.suppress(Exception):
        return (await harness.add(*_batch(number), returning=False)).count == _BATCH
    return False
