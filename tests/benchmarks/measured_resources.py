"""Ordinary actions of an ordinary resource, against SQLAlchemy Core written by hand over a table of its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import server_databases as servers
from interleaving import Race
from measured_peers import quick_folder
from plan import Run
from report import Line
from tickets import AttrsTicket, Hand, declare

from resourcekit import get, query, transaction

__all__ = ["databases", "resources"]

_LISTED = 1_000

Budgets = dict[str, float]

_BUDGETS: dict[str, Budgets] = {
    "SQLite": {
        "bulk": 1.2,
        "bulk kept": 1.4,
        "put": 1.3,
        "put kept": 1.4,
        "three": 1.1,
        "create": 0.5,
        "visit": 0.4,
        "rename": 0.6,
        "list": 0.5,
    },
    "PostgreSQL": {
        "bulk": 0.6,
        "bulk kept": 0.7,
        "put": 1.3,
        "put kept": 1.4,
        "three": 1.2,
        "create": 0.8,
        "visit": 0.6,
        "rename": 0.6,
        "list": 0.7,
    },
}


@contextmanager
def databases(run: Run, kind: str) -> Iterator[str]:
    """Yield the URL of an empty database of a kind, removed afterwards. Raises MissingServer."""
    if kind == "SQLite":
        with quick_folder(run) as folder:
            yield f"sqlite:///{folder / 'tickets.db'}"
        return
    with servers.empty(kind.lower()) as url:
        yield url


def resources(run: Run) -> Iterable[Line]:
    """Create, get, update, three writes, read 1,000 rows, create and upsert 10,000 rows at once, make a record."""
    for kind in ("SQLite", "PostgreSQL"):
        try:
            with databases(run, kind) as url:
                yield from _measured(run, url, kind)
        except servers.MissingServer as missing:
            yield Line(f"{kind} could not be measured: {missing}", 0, "server")
    yield _unsaved(run)


def _measured(run: Run, url: str, kind: str) -> Iterable[Line]:
    ticket, hand = declare(url), Hand(url)
    count, bulk = min(_LISTED, run.sizes.rows), run.sizes.bulk
    subjects = [f"Printer {number} is on fire" for number in range(count)]
    ours = [record.id for record in ticket.submit.bulk([{"subject": subject} for subject in subjects]).records]
    theirs = [row["id"] for row in hand.bulk(subjects)]
    budgets = _BUDGETS[kind]
    yield _listed(run, ticket, hand, count, f", {kind} / Core by hand", budgets)
    inputs, jams = [{"subject": "Paper jam"}] * bulk, ["Paper jam"] * bulk

    def three(_: int) -> None:
        with transaction(ticket):
            for _ in range(3):
                ticket.submit(subject="Paper jam")

    many = [{"id": record.id, "subject": "Solved"} for record in ticket.submit.bulk(inputs).records]
    many_by_hand = [row["id"] for row in hand.bulk(jams)]
    pairs: list[tuple[str, str, Any, Any]] = [
        ("get", "get(Ticket, key)", lambda n: get(ticket, ours[n % count]), lambda n: hand.get(theirs[n % count])),
        ("create", "Ticket.submit(...)", lambda _: ticket.submit(subject="Paper jam"), lambda _: hand.create("Paper jam")),
        ("close", "Ticket.close(key)", lambda n: ticket.close(ours[n % count]), lambda n: hand.close(theirs[n % count])),
        ("visit", "increment", lambda n: ticket.visit(ours[n % count]), lambda n: hand.visit(theirs[n % count])),
        (
            "rename",
            "a checked update",
            lambda n: ticket.rename(ours[n % count], subject=f"Jam {n}"),
            lambda n: hand.rename(theirs[n % count], f"Jam {n}"),
        ),
        ("three", "three creates in a transaction", three, lambda _: hand.three("Paper jam")),
        (
            "bulk",
            f"bulk create of {bulk:,}, records not wanted",
            lambda _: ticket.submit.bulk(inputs, return_records=False),
            lambda _: hand.bulk(jams),
        ),
        ("bulk kept", f"bulk create of {bulk:,}", lambda _: ticket.submit.bulk(inputs), lambda _: hand.bulk(jams)),
        (
            "put",
            f"bulk upsert of {bulk:,}, all there, records not wanted",
            lambda _: ticket.put.bulk(many, return_records=False),
            lambda _: hand.put(many_by_hand, "Solved"),
        ),
        (
            "put kept",
            f"bulk upsert of {bulk:,}, all there",
            lambda _: ticket.put.bulk(many),
            lambda _: hand.put(many_by_hand, "Solved"),
        ),
    ]
    for key, what, one, other in pairs:
        race = Race({"ours": one, "by hand": other}, run.sizes.pace)
        yield Line.of(f"{what}, {kind} / Core by hand", race.ratio("ours", "by hand"), budget=budgets.get(key))
    hand.engine.dispose()


def _listed(run: Run, ticket: Any, hand: Hand, count: int, suffix: str, budgets: Budgets) -> Line:
    assert len(query(ticket).all()) == len(hand.all()) == count
    race = Race({"ours": lambda _: query(ticket).all(), "by hand": lambda _: hand.all()}, run.sizes.pace)
    return Line.of(f"query(Ticket).all() of {count:,}{suffix}", race.ratio("ours", "by hand"), budget=budgets["list"])


def _unsaved(run: Run) -> Line:
    ticket = declare(f"sqlite:///{run.folder / 'unsaved.db'}")
    race = Race(
        {"ours": lambda _: ticket(subject="Paper jam"), "attrs": lambda _: AttrsTicket(subject="Paper jam")}, run.sizes.pace
    )
    return Line.of("a record that is not stored / attrs with validators", race.ratio("ours", "attrs"), budget=1.0)
