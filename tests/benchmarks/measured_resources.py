"""Ordinary actions of an ordinary resource, on SQLite, against SQLAlchemy Core written by hand over a table of its own."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

import sqlalchemy as sa
from interleaving import Race
from plan import Run
from report import Line

from resourcekit import Attr, Domain, Resource, attribute, create, destroy, get, query, set_attribute, update, utc_now, uuid7
from resourcekit.data_layers import SQL

__all__ = ["resources"]


def _declare(path: Path) -> Any:
    domain = Domain(f"benchmark of {path.name}")

    class Ticket(Resource, domain=domain, data_layer=SQL(f"sqlite:///{path}")):
        """A ticket."""

        id: Attr[UUID] = attribute(primary_key=True, default_factory=uuid7)
        subject: Attr[str] = attribute(public=True, min_length=1, max_length=200)
        status: Attr[Literal["open", "closed"]] = attribute(default="open")
        opened_at: Attr[datetime] = attribute(default_factory=utc_now)
        visits: Attr[int] = attribute(default=0)

        submit = create(accept=["subject"])
        close = update(changes=[set_attribute("status", "closed")])
        remove = destroy()

    domain.create_storage()
    return Ticket


class _Hand:
    """What one writes without us: statements built once, a transaction for each write, rows as dicts."""

    def __init__(self, path: Path) -> None:
        self.engine = sa.create_engine(f"sqlite:///{path}")
        self.table = table = sa.Table(
            "tickets",
            sa.MetaData(),
            sa.Column("id", sa.Uuid(), primary_key=True),
            sa.Column("subject", sa.String(200), nullable=False),
            sa.Column("status", sa.Enum("open", "closed", native_enum=False), nullable=False),
            sa.Column("opened_at", sa.DateTime(), nullable=False),
            sa.Column("visits", sa.Integer(), nullable=False),
        )
        with self.engine.begin() as connection:
            connection.exec_driver_sql("PRAGMA journal_mode=WAL")
            table.metadata.create_all(connection)
        self._insert, self._all = sa.insert(table), sa.select(table)
        self._one = sa.select(table).where(table.c.id == sa.bindparam("key"))
        self._close = sa.update(table).where(table.c.id == sa.bindparam("key")).values(status="closed").returning(table)

    def _row(self, subject: str) -> dict[str, Any]:
        moment = datetime.now(UTC).replace(tzinfo=None)
        return {"id": uuid7(), "subject": subject, "status": "open", "opened_at": moment, "visits": 0}

    def create(self, subject: str) -> dict[str, Any]:
        row = self._row(subject)
        with self.engine.begin() as connection:
            connection.execute(self._insert, row)
        return row

    def bulk(self, subjects: list[str]) -> list[dict[str, Any]]:
        rows = [self._row(subject) for subject in subjects]
        with self.engine.begin() as connection:
            connection.execute(self._insert, rows)
        return rows

    def get(self, key: UUID) -> dict[str, Any]:
        with self.engine.connect() as connection:
            return dict(connection.execute(self._one, {"key": key}).mappings().one())

    def close(self, key: UUID) -> dict[str, Any]:
        with self.engine.begin() as connection:
            return dict(connection.execute(self._close, {"key": key}).mappings().one())

    def all(self) -> list[dict[str, Any]]:
        with self.engine.connect() as connection:
            return [dict(row) for row in connection.execute(self._all).mappings()]


def resources(run: Run) -> Iterable[Line]:
    """Create, get, update, read 1,000 rows, create 10,000 rows at once."""
    for left in run.folder.glob("tickets*"):
        left.unlink()
    ticket, hand = _declare(run.folder / "tickets.db"), _Hand(run.folder / "tickets-by-hand.db")
    count = min(1_000, run.sizes.rows)
    subjects = [f"Printer {number} is on fire" for number in range(count)]
    ours = [ticket.submit(subject=subject).id for subject in subjects]
    theirs = [hand.create(subject)["id"] for subject in subjects]
    pairs: list[tuple[str, Any, Any]] = [
        (f"query(Ticket).all(), {count:,} rows", lambda _: query(ticket).all(), lambda _: hand.all()),
        ("get(Ticket, key)", lambda number: get(ticket, ours[number % count]), lambda number: hand.get(theirs[number % count])),
        (
            "Ticket.close(key)",
            lambda number: ticket.close(ours[number % count]),
            lambda number: hand.close(theirs[number % count]),
        ),
        ("Ticket.submit(...)", lambda _: ticket.submit(subject="Paper jam"), lambda _: hand.create("Paper jam")),
        (
            f"Ticket.submit.bulk(...), {run.sizes.bulk:,} rows",
            lambda _: ticket.submit.bulk([{"subject": "Paper jam"}] * run.sizes.bulk),
            lambda _: hand.bulk(["Paper jam"] * run.sizes.bulk),
        ),
    ]
    for what, one, other in pairs:
        race = Race({"ours": one, "by hand": other}, run.sizes.pace)
        yield Line.of(f"{what} / SQLAlchemy Core by hand", race.ratio("ours", "by hand"))
        for name, microseconds in race.microseconds().items():
            yield Line(f"one call: {what}, {name}", microseconds, "us")
