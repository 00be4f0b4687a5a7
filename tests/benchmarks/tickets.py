"""A table of tickets, as a resource and by hand with SQLAlchemy Core: the two sides of the benchmarks of general work."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import UUID

import attrs
import sqlalchemy as sa
from attrs.validators import and_, in_, instance_of, max_len, min_len
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url

from resourcekit import (
    Attr,
    Domain,
    Resource,
    attribute,
    compare,
    create,
    increment,
    set_attribute,
    update,
    utc_now,
    uuid7,
)
from resourcekit.data_layers import SQL

__all__ = ["AttrsTicket", "Hand", "Row", "declare"]

Row = dict[str, Any]


def declare(url: str) -> Any:
    """Return the resource, with its table made."""
    domain = Domain(f"benchmark {secrets.token_hex(4)}")

    class Ticket(Resource, domain=domain, data_layer=SQL(url, table="tickets")):
        """A ticket."""

        id: Attr[UUID] = attribute(primary_key=True, default_factory=uuid7)
        subject: Attr[str] = attribute(public=True, min_length=1, max_length=200)
        status: Attr[Literal["open", "closed"]] = attribute(default="open")
        opened_at: Attr[datetime] = attribute(default_factory=utc_now)
        visits: Attr[int] = attribute(default=0)

        submit = create(accept=["subject"])
        put = create(accept=["id", "subject"], upsert=True)
        close = update(changes=[set_attribute("status", "closed")])
        visit = update(changes=[increment("visits")])
        rename = update(accept=["subject"], validations=[compare("visits", "<", 1_000_000_000)])

    domain.create_storage()
    Ticket.__kept__ = domain  # type: ignore[attr-defined]  # the registry holds it weakly
    return Ticket


@attrs.frozen(kw_only=True)
class AttrsTicket:
    """A ticket that only attrs checks."""

    id: UUID = attrs.field(factory=uuid7, validator=instance_of(UUID))
    subject: str = attrs.field(validator=and_(instance_of(str), min_len(1), max_len(200)))
    status: Literal["open", "closed"] = attrs.field(default="open", validator=in_(("open", "closed")))
    opened_at: datetime = attrs.field(factory=utc_now, validator=instance_of(datetime))
    visits: int = attrs.field(default=0, validator=instance_of(int))


class Hand:
    """What one writes without us: statements built once, a transaction for each write, rows as dicts."""

    def __init__(self, url: str) -> None:
        is_sqlite = url.startswith("sqlite")
        self.engine = sa.create_engine(url if is_sqlite else make_url(url).set(drivername="postgresql+psycopg"))
        self.table = table = sa.Table(
            "tickets_by_hand",
            sa.MetaData(),
            sa.Column("id", sa.Uuid(), primary_key=True),
            sa.Column("subject", sa.String(200), nullable=False),
            sa.Column("status", sa.Enum("open", "closed", native_enum=False), nullable=False),
            sa.Column("opened_at", sa.DateTime() if is_sqlite else sa.DateTime(timezone=True), nullable=False),
            sa.Column("visits", sa.BigInteger(), nullable=False),
        )
        self._naive = is_sqlite
        with self.engine.begin() as connection:
            if is_sqlite:
                connection.exec_driver_sql("PRAGMA journal_mode=WAL")
            table.metadata.create_all(connection)
        self.insert, self.every = sa.insert(table), sa.select(table)
        met: Any = (sqlite if is_sqlite else postgresql).insert(table)
        self._put = met.on_conflict_do_update(index_elements=["id"], set_={"subject": met.excluded.subject})
        is_it = table.c.id == sa.bindparam("key")
        self.one = sa.select(table).where(is_it)
        change = sa.update(table).where(is_it)
        self._close = change.values(status="closed").returning(table)
        self._visit = change.values(visits=table.c.visits + 1).returning(table)
        self._rename = change.where(table.c.visits < 1_000_000_000).values(subject=sa.bindparam("subject_")).returning(table)

    def row(self, subject: str) -> Row:
        """Return a new row."""
        moment = datetime.now(UTC)
        return {
            "id": uuid7(),
            "subject": subject,
            "status": "open",
            "opened_at": moment.replace(tzinfo=None) if self._naive else moment,
            "visits": 0,
        }

    def create(self, subject: str) -> Row:
        """Insert a row."""
        row = self.row(subject)
        with self.engine.begin() as connection:
            connection.execute(self.insert, row)
        return row

    def bulk(self, subjects: Sequence[str]) -> list[Row]:
        """Insert many rows."""
        rows = [self.row(subject) for subject in subjects]
        with self.engine.begin() as connection:
            connection.execute(self.insert, rows)
        return rows

    def put(self, keys: Sequence[UUID], subject: str) -> list[Row]:
        """Insert or update many rows."""
        rows = [{**self.row(subject), "id": key} for key in keys]
        with self.engine.begin() as connection:
            connection.execute(self._put, rows)
        return rows

    def three(self, subject: str) -> None:
        """Insert three rows, each with its statement, in one transaction."""
        with self.engine.begin() as connection:
            for _ in range(3):
                connection.execute(self.insert, self.row(subject))

    def get(self, key: UUID) -> Row:
        """Return a row by key."""
        with self.engine.connect() as connection:
            return dict(connection.execute(self.one, {"key": key}).mappings().one())

    def close(self, key: UUID) -> Row:
        """Set a value."""
        return self._changed(self._close, key=key)

    def visit(self, key: UUID) -> Row:
        """Add one."""
        return self._changed(self._visit, key=key)

    def rename(self, key: UUID, subject: str) -> Row:
        """Set a value on a condition."""
        return self._changed(self._rename, key=key, subject_=subject)

    def _changed(self, statement: Any, **values: object) -> Row:
        with self.engine.begin() as connection:
            return dict(connection.execute(statement, values).mappings().one())

    def all(self) -> list[Row]:
        """Return all rows."""
        with self.engine.connect() as connection:
            return [dict(row) for row in connection.execute(self.every).mappings()]

    def stream(self) -> Iterator[Row]:
        """Yield all rows, page by page."""
        with self.engine.connect() as connection:
            found = connection.execution_options(yield_per=1_000).execute(self.every)
            for row in found.mappings():
                yield dict(row)
