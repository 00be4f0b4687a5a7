"""General work on SQLite beside other ORMs, and in tasks beside SQLAlchemy's async Core."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import peer_orms
from interleaving import Race, Step
from plan import Run
from report import Line
from sqlalchemy.ext.asyncio import create_async_engine
from tickets import Hand, declare

from resourcekit import get, query, transaction

__all__ = ["asynchronous", "orms", "quick_folder"]

_IN_MEMORY = Path("/dev/shm")
_LISTED = 1_000
_A_STEP = 20
"""Awaited calls of one step, so that starting a task for a step takes no part of the figure."""

_WORK = {"create": "create one", "get": "get by key", "all": "list 1,000", "three": "three creates in a transaction"}
_BUDGETS = {"get": 0.3, "create": 0.4, "three": 0.5}


@contextmanager
def quick_folder(run: Run) -> Iterator[Path]:
    """Yield a folder in memory if the system has one, else a folder of the run.

    A write to a disk waits for the disk, whichever library makes it, and most of the figure would be that wait.
    """
    place = _IN_MEMORY if _IN_MEMORY.is_dir() else run.folder
    with tempfile.TemporaryDirectory(dir=place) as folder:
        yield Path(folder)


def orms(run: Run) -> Iterable[Line]:
    """Create one, get, list 1,000, create 10,000: peewee and SQLModel, each beside Core by hand and us."""
    for name, make in peer_orms.SYNC.items():
        with quick_folder(run) as folder:
            try:
                peer = make(folder / "peer.db")
            except ImportError as missing:
                yield Line(f"{name} could not be measured: {missing}", 0, "package")
                continue
            yield from _of_orm(run, folder, name, peer)


def _of_orm(run: Run, folder: Path, name: str, peer: peer_orms.Peer) -> Iterator[Line]:
    subjects = [f"Printer {number} is on fire" for number in range(min(_LISTED, run.sizes.rows))]
    count, jams = len(subjects), ["Paper jam"] * run.sizes.bulk
    hand, ticket = Hand(f"sqlite:///{folder / 'hand.db'}"), declare(f"sqlite:///{folder / 'ours.db'}")
    theirs, by_hand = peer["bulk"](subjects), [row["id"] for row in hand.bulk(subjects)]
    ours = [record.id for record in ticket.submit.bulk([{"subject": each} for each in subjects]).records]
    assert len(peer["all"]()) == len(hand.all()) == count
    inputs = [{"subject": jam} for jam in jams]
    work: dict[str, tuple[Step, Step, Step]] = {
        "list 1,000": (lambda _: query(ticket).all(), lambda _: hand.all(), lambda _: peer["all"]()),
        "get by key": (
            lambda n: get(ticket, ours[n % count]),
            lambda n: hand.get(by_hand[n % count]),
            lambda n: peer["get"](theirs[n % count]),
        ),
        "create one": (
            lambda _: ticket.submit(subject="Paper jam"),
            lambda _: hand.create("Paper jam"),
            lambda _: peer["create"]("Paper jam"),
        ),
        f"create {len(jams):,} at once": (
            lambda _: ticket.submit.bulk(inputs),
            lambda _: hand.bulk(jams),
            lambda _: peer["bulk"](jams),
        ),
    }
    for what, sides in work.items():
        race = Race(dict(zip(("ours", "by hand", "peer"), sides, strict=True)), run.sizes.pace)
        yield from _lines(race, f"{what}, SQLite", name)
    peer["close"]()
    hand.engine.dispose()


def _lines(race: Race, what: str, name: str, budget: float | None = None) -> Iterator[Line]:
    yield Line.of(f"{what}, resourcekit / by hand (beside {name})", race.ratio("ours", "by hand"), budget=budget)
    yield Line.of(f"{what}, {name} / by hand", race.ratio("peer", "by hand"))


def asynchronous(run: Run) -> Iterable[Line]:
    """One task on SQLite: get, create, three writes and lists, beside SQLAlchemy's async Core, Piccolo and Tortoise."""
    for name, make in peer_orms.ASYNC.items():
        with quick_folder(run) as folder, asyncio.Runner() as runner:
            try:
                peer = runner.run(make(folder / "peer.db"))
            except ImportError as missing:
                yield Line(f"{name} could not be measured: {missing}", 0, "package")
                continue
            yield from _in_tasks(run, runner, folder, name, peer)


def _in_tasks(run: Run, runner: asyncio.Runner, folder: Path, name: str, peer: peer_orms.Peer) -> Iterator[Line]:
    subjects = [f"Printer {number} is on fire" for number in range(min(_LISTED, run.sizes.rows))]
    count = len(subjects)
    hand, ticket = Hand(url := f"sqlite:///{folder / 'hand.db'}"), declare(f"sqlite:///{folder / 'ours.db'}")
    by_hand = _by_hand(url, hand)
    keys = {
        "ours": [record.id for record in ticket.submit.bulk([{"subject": each} for each in subjects]).records],
        "by hand": [row["id"] for row in hand.bulk(subjects)],
        "peer": runner.run(peer["bulk"](subjects)),
    }

    async def three() -> None:
        async with transaction(ticket):
            for _ in range(3):
                await ticket.submit.aio(subject="Paper jam")

    ours: peer_orms.Peer = {
        "create": lambda subject: ticket.submit.aio(subject=subject),
        "get": lambda key: get.aio(ticket, key),
        "all": query(ticket).all.aio,
        "three": lambda _: three(),
    }

    def stepping(call: Callable[[int], Awaitable[Any]]) -> Step:
        async def several(number: int) -> None:
            for each in range(number * _A_STEP, (number + 1) * _A_STEP):
                await call(each)

        return lambda number: runner.run(several(number))

    for kind, what in _WORK.items():
        sides = {}
        for side, does in (("ours", ours), ("by hand", by_hand), ("peer", peer)):
            calls: dict[str, Callable[[int], Awaitable[Any]]] = {
                "create": lambda _, does=does: does["create"]("Paper jam"),
                "get": lambda n, does=does, side=side: does["get"](keys[side][n % count]),
                "all": lambda _, does=does: does["all"](),
                "three": lambda _, does=does: does["three"]("Paper jam"),
            }
            sides[side] = stepping(calls[kind])
        yield from _lines(Race(sides, run.sizes.pace), f"{what} in a task, SQLite", name, _BUDGETS.get(kind))

    async def end() -> None:
        await ticket.__runtime__.store.close()
        await by_hand["close"]()
        await peer["close"]()

    runner.run(end())
    hand.engine.dispose()


def _by_hand(url: str, hand: Hand) -> peer_orms.Peer:
    """The statements of ``Hand`` on SQLAlchemy's async engine."""
    engine = create_async_engine(url.replace("sqlite:", "sqlite+aiosqlite:"))

    async def create(subject: str) -> Any:
        row = hand.row(subject)
        async with engine.begin() as connection:
            await connection.execute(hand.insert, row)
        return row

    async def three(subject: str) -> None:
        async with engine.begin() as connection:
            for _ in range(3):
                await connection.execute(hand.insert, hand.row(subject))

    async def one(key: Any) -> Any:
        async with engine.connect() as connection:
            return dict((await connection.execute(hand.one, {"key": key})).mappings().one())

    async def every() -> Any:
        async with engine.connect() as connection:
            return [dict(row) for row in (await connection.execute(hand.every)).mappings()]

    return {"create": create, "get": one, "all": every, "three": three, "close": engine.dispose}
