"""Tickets in other ORMs, as their documentation writes them: peewee, SQLModel, Piccolo and Tortoise. Each is a peer of ``tickets.Hand``.

Keys are made by ``uuid7`` everywhere, and files have a write-ahead log with durable commits, so that all do the same work.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from resourcekit import uuid7

__all__ = ["ASYNC", "SYNC", "piccolo", "tortoise"]

Peer = dict[str, Callable[..., Any]]
"""What is measured: ``create(subject)``, ``get(key)``, ``all()``, ``bulk(subjects)``, ``three(subject)``; ``close()`` ends it."""


def _now() -> datetime:
    return datetime.now(UTC)


def peewee(path: Path) -> Peer:
    """peewee, with the settings of its documentation for WAL. Raise ImportError if it is not installed."""
    import peewee as pw

    database = pw.SqliteDatabase(str(path), pragmas={"journal_mode": "wal"})

    class Ticket(pw.Model):  # type: ignore[misc]  # untyped
        id = pw.UUIDField(primary_key=True, default=uuid7)
        subject = pw.CharField(max_length=200)
        status = pw.CharField(max_length=10, default="open")
        opened_at = pw.DateTimeField(default=_now)
        visits = pw.BigIntegerField(default=0)

        class Meta:
            database = None

    database.bind([Ticket])
    database.create_tables([Ticket])

    def bulk(subjects: Sequence[str]) -> list[Any]:
        tickets = [Ticket(subject=subject) for subject in subjects]
        with database.atomic():
            Ticket.bulk_create(tickets, batch_size=1_000)
        return [ticket.id for ticket in tickets]

    def three(subject: str) -> None:
        with database.atomic():
            for _ in range(3):
                Ticket.create(subject=subject)

    return {
        "create": lambda subject: Ticket.create(subject=subject),
        "get": Ticket.get_by_id,
        "all": lambda: list(Ticket.select()),
        "bulk": bulk,
        "three": three,
        "close": database.close,
    }


def sqlmodel(path: Path) -> Peer:
    """SQLModel: a session for each call. Raise ImportError if it is not installed."""
    import sqlalchemy as sa
    from sqlmodel import Field, Session, SQLModel, create_engine, select

    class Ticket(SQLModel, table=True):  # type: ignore[call-arg]  # its metaclass takes it
        __tablename__ = "tickets_sqlmodel"
        id: UUID = Field(default_factory=uuid7, primary_key=True)
        subject: str = Field(max_length=200)
        status: str = "open"
        opened_at: datetime = Field(default_factory=_now)
        visits: int = 0

    Ticket.model_rebuild(_types_namespace={"UUID": UUID, "datetime": datetime})
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA journal_mode=WAL")
    sa.MetaData.create_all(SQLModel.metadata, engine)

    def bulk(subjects: Sequence[str]) -> list[Any]:
        tickets = [Ticket(subject=subject) for subject in subjects]
        keys = [ticket.id for ticket in tickets]
        with Session(engine) as session:
            session.add_all(tickets)
            session.commit()
        return keys

    def three(subject: str) -> None:
        with Session(engine, expire_on_commit=False) as session:
            for _ in range(3):
                session.add(Ticket(subject=subject))
                session.flush()
            session.commit()

    def create(subject: str) -> Any:
        with Session(engine, expire_on_commit=False) as session:
            session.add(ticket := Ticket(subject=subject))
            session.commit()
        return ticket

    def get(key: UUID) -> Any:
        with Session(engine) as session:
            return session.get_one(Ticket, key)

    def every() -> list[Any]:
        with Session(engine) as session:
            return list(session.exec(select(Ticket)).all())

    return {"create": create, "get": get, "all": every, "bulk": bulk, "three": three, "close": engine.dispose}


async def piccolo(path: Path) -> Peer:
    """Piccolo, async. Raise ImportError if it is not installed."""
    from piccolo import columns
    from piccolo.engine.sqlite import SQLiteEngine
    from piccolo.table import Table

    engine = SQLiteEngine(path=str(path), log_queries=False)

    class Ticket(Table, db=engine, tablename="tickets_piccolo"):  # type: ignore[call-arg, misc]  # untyped
        id = columns.UUID(primary_key=True, default=uuid7)
        subject = columns.Varchar(length=200)
        status = columns.Varchar(length=10, default="open")
        opened_at = columns.Timestamptz(default=_now)
        visits = columns.BigInt(default=0)

    await Ticket.create_table(if_not_exists=True)
    await Ticket.raw("PRAGMA journal_mode=WAL")

    async def create(subject: str) -> Any:
        ticket = Ticket(subject=subject)
        await ticket.save()
        return ticket

    async def bulk(subjects: Sequence[str]) -> list[Any]:
        tickets = [Ticket(subject=subject) for subject in subjects]
        async with engine.transaction():
            for start in range(0, len(tickets), 1_000):
                await Ticket.insert(*tickets[start : start + 1_000])
        return [ticket.id for ticket in tickets]

    async def three(subject: str) -> None:
        async with engine.transaction():
            for _ in range(3):
                await create(subject)

    async def get(key: UUID) -> Any:
        return await Ticket.objects().get(Ticket.id == key)

    async def every() -> list[Any]:
        return list(await Ticket.objects())

    async def close() -> None:
        """It opens a connection for each query, and closes it."""

    return {"create": create, "get": get, "all": every, "bulk": bulk, "three": three, "close": close}


async def tortoise(path: Path) -> Peer:
    """Tortoise, async. Raise ImportError if it is not installed."""
    import tortoise_ticket
    from tortoise import Tortoise
    from tortoise.transactions import in_transaction

    ticket_model = tortoise_ticket.Ticket
    await Tortoise.init(db_url=f"sqlite://{path}", modules={"models": ["tortoise_ticket"]})
    await Tortoise.generate_schemas()

    async def bulk(subjects: Sequence[str]) -> list[Any]:
        tickets = [ticket_model(subject=subject) for subject in subjects]
        async with in_transaction():
            await ticket_model.bulk_create(tickets, batch_size=1_000)
        return [ticket.id for ticket in tickets]

    async def three(subject: str) -> None:
        async with in_transaction():
            for _ in range(3):
                await ticket_model.create(subject=subject)

    async def every() -> list[Any]:
        return list(await ticket_model.all())

    return {
        "create": lambda subject: ticket_model.create(subject=subject),
        "get": lambda key: ticket_model.get(id=key),
        "all": every,
        "bulk": bulk,
        "three": three,
        "close": Tortoise.close_connections,
    }


SYNC = {"peewee": peewee, "SQLModel": sqlmodel}
ASYNC = {"Piccolo": piccolo, "Tortoise": tortoise}
