from __future__ import annotations

import sqlite3
from contextlib import closing
from uuid import UUID

import pytest

from resourcekit import Attr, Domain, Resource, attribute, create, destroy, index, now, query, uuid7
from resourcekit.data_layers import SQL
from resourcekit.extending import Expression, Field
from resourcekit.testing import declaration_errors


def tickets(path, where: Expression):
    """Declare tickets with an index over a part of them, and make their table."""
    domain = Domain("partial indexes")

    class Ticket(Resource, domain=domain, data_layer=SQL(f"sqlite:///{path}")):
        """A ticket."""

        id: Attr[UUID] = attribute(primary_key=True, default_factory=uuid7)
        owner: Attr[str] = attribute(default="me")
        status: Attr[str] = attribute(default="it's open")
        rank: Attr[int | None] = attribute(default=None)

        by_owner = index("owner", where=where)

        submit = create(accept=["owner", "status", "rank"])
        remove = destroy()

    domain.create_storage()
    return Ticket


def index_of(path) -> str:
    """Return the statement that made the index."""
    with closing(sqlite3.connect(path)) as connection:
        return str(connection.execute("SELECT sql FROM sqlite_master WHERE name = 'ticket_by_owner'").fetchone()[0])


@pytest.mark.parametrize(
    ("where", "text"),
    [
        (Field("rank").is_none(), "WHERE rank IS NULL"),
        (Field("status") == "it's open", "WHERE status = 'it''s open'"),
        (Field("rank") > 3, "WHERE rank > 3"),
    ],
)
def test_an_index_over_a_part_of_a_table(tmp_path, where, text):
    """SQLite gets an index over the records for which the condition holds, and only those."""
    tickets(tmp_path / "tickets.db", where)

    assert index_of(tmp_path / "tickets.db").replace('"', "").endswith(text)


def test_an_index_over_a_part_changes_no_answer(tmp_path):
    """Records inside and outside of the index are found alike."""
    ticket = tickets(tmp_path / "tickets.db", Field("rank").is_none())
    ticket.submit(owner="you")
    ticket.submit(owner="you", rank=1)

    assert 2 == query(ticket).filter(Field("owner") == "you").count()
    assert 1 == query(ticket).filter(Field("owner") == "you", Field("rank").is_none()).count()


@pytest.mark.parametrize("where", [Field("rank") > Field("rank") + "text", Field("id") == "no uuid", Field("rank") == "high"])
def test_a_condition_that_no_index_can_have_indexes_all(tmp_path, where):
    """An index is a hint: if its condition cannot be kept, all records are indexed, and the class is accepted."""
    tickets(tmp_path / "tickets.db", where)

    assert "WHERE" not in index_of(tmp_path / "tickets.db")


def test_a_moment_that_passes_is_no_part_of_an_index(tmp_path):
    """What now() says changes, and an index over it would not: it covers all records."""
    tickets(tmp_path / "tickets.db", now() > now())

    assert "WHERE" not in index_of(tmp_path / "tickets.db")


def test_the_condition_of_an_index_names_attributes_that_exist():
    """An unknown attribute in the condition is a finding, with a suggestion."""
    with declaration_errors() as errors:

        class Ticket(Resource):
            """A ticket."""

            id: Attr[UUID] = attribute(primary_key=True, default_factory=uuid7)
            rank: Attr[int] = attribute(default=0)

            by_rank = index("rank", where=Field("rnk") == 1)

    assert ["RK042"] == [error.code for error in errors]
    assert "rank" in errors[0].hint
