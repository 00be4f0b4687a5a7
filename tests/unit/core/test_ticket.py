"""The resource of the README and the design, word for word, and every call on it, on both layers in sync and async calls."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

import pytest

from resourcekit import (
    Attr,
    Context,
    Domain,
    Query,
    Resource,
    action,
    as_dict,
    attribute,
    context,
    create,
    destroy,
    get,
    identity,
    index,
    info,
    query,
    read,
    set_attribute,
    transaction,
    update,
    utc_now,
    uuid7,
)
from resourcekit.data_layers import SQL
from resourcekit.errors import Invalid, InvalidArgument, NotFound, UniqueViolation
from resourcekit.testing import ManualClock

START = datetime(2026, 11, 24, 12, tzinfo=UTC)


def ticket_on(make_layer: Callable[[], Any]) -> Any:
    """Declare the ticket, its storage made."""
    helpdesk = Domain("helpdesk")

    class Ticket(Resource, domain=helpdesk, data_layer=make_layer()):
        id: Attr[UUID] = attribute(primary_key=True, default_factory=uuid7)
        subject: Attr[str] = attribute(public=True, min_length=1, max_length=200)
        status: Attr[Literal["open", "closed"]] = attribute(default="open")
        opened_at: Attr[datetime] = attribute(default_factory=utc_now)
        secret_note: Attr[str | None] = attribute(default=None, sensitive=True)

        by_subject = identity("subject")
        recent = index("status", "opened_at")

        submit = create(accept=["subject"])
        close = update(changes=[set_attribute("status", "closed")])
        remove = destroy()
        note = update(accept=["secret_note"])

        @read
        @staticmethod
        def newer_than(query: Query[Ticket], moment: datetime) -> Query[Ticket]:
            return query.filter(Ticket.opened_at > moment)

        @action
        @staticmethod
        async def count_open(context: Context) -> int:
            return await query(Ticket).filter(Ticket.status == "open").count.aio()

    helpdesk.create_storage()
    return Ticket


@pytest.fixture
def ticket_class(layer: Callable[[], Any]) -> Any:
    """The ticket on a layer."""
    return ticket_on(layer)


def in_sync(function: Any, *args: Any, **given: Any) -> Any:
    """Call a function in this thread."""
    return function(*args, **given)


def in_async(function: Any, *args: Any, **given: Any) -> Any:
    """Call the same function in an event loop."""

    async def run() -> Any:
        waiting: Coroutine[Any, Any, Any] = function.aio(*args, **given)
        return await waiting

    return asyncio.run(run())


@pytest.fixture(params=[in_sync, in_async])
def call(request: pytest.FixtureRequest) -> Any:
    """A function that calls in one of the two call modes."""
    return request.param


def test_the_file_of_the_example_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The URL of the example, relative to the working folder, makes a file there."""
    monkeypatch.chdir(tmp_path)

    made = ticket_on(lambda: SQL("sqlite:///helpdesk.db")).submit(subject="Printer on fire")

    assert "Printer on fire" == made.subject
    assert (tmp_path / "helpdesk.db").exists()


def test_submitting_casts_validates_and_stores(ticket_class: Any, call: Any) -> None:
    """A create fills in the defaults and returns the record as it is kept."""
    with ManualClock(START, everywhere=True):
        ticket = call(ticket_class.submit, subject="Printer on fire")

    assert ("Printer on fire", "open", START, None) == (ticket.subject, ticket.status, ticket.opened_at, ticket.secret_note)
    assert 7 == ticket.id.version
    assert ticket == call(get, ticket_class, ticket.id)


@pytest.mark.parametrize(
    ("given", "paths"),
    [
        ({}, ["subject"]),
        ({"subject": ""}, ["subject"]),
        ({"subject": "x" * 201}, ["subject"]),
        ({"subject": 5, "status": "open", "sbject": "x"}, ["subject", "status", "sbject"]),
        ({"subject": "x", "id": None}, ["id"]),
    ],
)
def test_what_is_not_accepted_is_one_invalid(ticket_class: Any, call: Any, given: dict[str, Any], paths: list[str]) -> None:
    """Missing, ill-typed and unknown input comes as one Invalid with a finding a field, and nothing is written."""
    with pytest.raises(Invalid) as caught:
        call(ticket_class.submit, **given)

    assert paths == [finding.path for finding in caught.value.findings]
    assert all(finding.message for finding in caught.value.findings)
    assert ("Ticket", "submit") == (caught.value.resource, caught.value.action)
    assert call(query(ticket_class).count) == 0


def test_an_unknown_input_gets_a_suggestion(ticket_class: Any) -> None:
    """A misspelt name is answered with the near one."""
    with pytest.raises(Invalid, match=r"sbject: is not an input of this action\. Did you mean 'subject'\?"):
        ticket_class.submit(sbject="x")


def test_bulk_counts_what_was_written(ticket_class: Any, call: Any) -> None:
    """Two inputs make two records, returned in the order of the input."""
    result = call(ticket_class.submit.bulk, [{"subject": "a"}, {"subject": "b"}])

    assert (2, ("a", "b"), ()) == (result.count, tuple(each.subject for each in result.records), result.failures)
    assert call(query(ticket_class).count) == 2


def test_a_taken_subject_is_a_unique_violation(ticket_class: Any, call: Any) -> None:
    """An identity holds, and the error names it."""
    call(ticket_class.submit, subject="a")

    with pytest.raises(UniqueViolation) as caught:
        call(ticket_class.submit, subject="a")

    assert ("by_subject", ("subject",)) == (caught.value.identity, caught.value.fields)
    assert ["subject"] == [finding.path for finding in caught.value.findings]


def test_closing_by_record_by_key_and_on_the_record(ticket_class: Any, call: Any) -> None:
    """An update takes the record, its key or the key's text, and is found on the record, too."""
    tickets = [ticket_class.submit(subject=subject) for subject in "abcd"]

    closed = [
        call(ticket_class.close, tickets[0]),
        call(ticket_class.close, tickets[1].id),
        call(ticket_class.close, str(tickets[2].id)),
        call(tickets[3].close),
    ]

    assert ["closed"] * 4 == [each.status for each in closed]
    assert [each.id for each in tickets] == [each.id for each in closed]
    assert "open" == tickets[0].status
    assert closed == call(query(ticket_class).sort(ticket_class.subject).all)


def test_removing(ticket_class: Any, call: Any) -> None:
    """A destroy returns the record as it was; the next one finds nothing."""
    ticket = ticket_class.submit(subject="a")

    removed = call(ticket_class.remove, ticket)

    assert ticket == removed
    assert call(query(ticket_class).exists) is False
    with pytest.raises(NotFound):
        call(ticket.remove)


@pytest.mark.parametrize("strategy", ["atomic", "stream"])
def test_closing_all_of_a_query(ticket_class: Any, call: Any, strategy: str) -> None:
    """Both strategies close what is open, and count only that."""
    ticket_class.submit.bulk([{"subject": subject} for subject in "abc"])
    ticket_class.close(query(ticket_class).first())

    result = call(ticket_class.close.bulk, query(ticket_class).filter(ticket_class.status == "open"), strategy=strategy)

    assert (2, ()) == (result.count, result.failures)
    assert call(query(ticket_class).filter(ticket_class.status == "open").count) == 0


def test_the_query_of_the_example(ticket_class: Any, call: Any) -> None:
    """Filter, sort and limit work together."""
    with ManualClock(START, everywhere=True) as clock:
        for subject in "abc":
            ticket_class.submit(subject=subject)
            clock.advance(minutes=1)

    found = call(query(ticket_class).filter(ticket_class.status == "open").sort(ticket_class.opened_at.desc()).limit(2).all)

    assert ["c", "b"] == [each.subject for each in found]


def test_get_one_and_first(ticket_class: Any, call: Any) -> None:
    """What must be there raises NotFound, which is a LookupError; ``first`` may be ``None``."""
    absent_query = query(ticket_class).filter(ticket_class.subject == "unknown")

    for absent in (lambda: call(get, ticket_class, uuid7()), lambda: call(absent_query.one)):
        with pytest.raises(NotFound) as caught:
            absent()
        assert isinstance(caught.value, LookupError)
    assert call(absent_query.first) is None
    ticket = ticket_class.submit(subject="a")
    assert ticket == call(query(ticket_class).one)
    assert ticket == call(query(ticket_class).first)
    ticket_class.submit(subject="b")
    with pytest.raises(Invalid, match="more than one"):
        call(query(ticket_class).one)


def test_the_decorated_read(ticket_class: Any, call: Any) -> None:
    """Its signature is the action's arguments: by position, by name, cast, and required."""
    with ManualClock(START, everywhere=True) as clock:
        ticket_class.submit(subject="old")
        clock.advance(hours=1)
        new = ticket_class.submit(subject="new")

    assert [new] == call(ticket_class.newer_than, START)
    assert [new] == call(ticket_class.newer_than, moment="2026-11-24T12:00:00Z")
    with pytest.raises(Invalid, match="moment: is required"):
        call(ticket_class.newer_than)
    with pytest.raises(Invalid, match="moment: must be a date and time"):
        call(ticket_class.newer_than, 5)
    with pytest.raises(InvalidArgument, match="takes 1 arguments by position, not 2"):
        call(ticket_class.newer_than, START, START)


def test_the_generic_action(ticket_class: Any, call: Any) -> None:
    """An async function runs in sync and async calls, and what it awaits stays in the call mode."""
    ticket_class.submit.bulk([{"subject": "a"}, {"subject": "b"}])

    assert call(ticket_class.count_open) == 2


def test_using_and_context(ticket_class: Any, call: Any) -> None:
    """Facts of one call, and ambient ones, lead to the same record; they end with the call and the block."""
    ticket = call(ticket_class.submit.using(actor="user", deadline=timedelta(seconds=2)), subject="a")
    with context(actor="user", deadline=timedelta(seconds=2)) as deployment:
        closed = call(ticket_class.close, ticket)

    assert "closed" == closed.status
    assert "user" == deployment.actor
    assert 0 < deployment.deadline.remaining() <= 2


def test_a_sync_transaction(ticket_class: Any) -> None:
    """Either the whole block is committed or nothing; functions wait for the commit."""
    received: list[str] = []
    with transaction(ticket_class) as tx:
        ticket = ticket_class.submit(subject="kept")
        tx.after_commit(lambda: received.append(ticket.subject))
        assert received == []
    with pytest.raises(ZeroDivisionError), transaction(ticket_class) as tx:
        ticket_class.submit(subject="lost")
        tx.after_commit(lambda: received.append("lost"))
        raise ZeroDivisionError

    assert ["kept"] == received
    assert [ticket] == query(ticket_class).all()


def test_an_async_transaction(ticket_class: Any) -> None:
    """The same in an event loop."""
    received: list[str] = []

    async def run() -> None:
        async with transaction(ticket_class) as tx:
            await ticket_class.submit.aio(subject="kept")
            tx.after_commit(lambda: received.append("kept"))
        with pytest.raises(ZeroDivisionError):
            async with transaction(ticket_class) as tx:
                await ticket_class.submit.aio(subject="lost")
                tx.after_commit(lambda: received.append("lost"))
                raise ZeroDivisionError

    asyncio.run(run())

    assert ["kept"] == received
    assert ["kept"] == [each.subject for each in query(ticket_class).all()]


def test_introspection(ticket_class: Any) -> None:
    """The facts say what was declared, where, and by whom; nothing can be changed through them."""
    facts = info(ticket_class)
    lines = Path(__file__).read_text(encoding="utf-8").splitlines()

    assert ["id", "subject", "status", "opened_at", "secret_note"] == list(facts.attributes)
    assert {"submit", "close", "remove", "note", "newer_than", "count_open", "read"} == set(facts.actions)
    assert {"by_subject": ("subject",)} == {name: each.fields for name, each in facts.identities.items()}
    assert {"recent": ("status", "opened_at")} == {name: each.fields for name, each in facts.indexes.items()}
    assert ("id",) == facts.primary_key
    for name, fact in [*facts.attributes.items(), *facts.actions.items(), *facts.identities.items(), *facts.indexes.items()]:
        if name == "read":
            assert "Core" == fact.origin.declared_by
        else:
            assert ("you", __file__) == (fact.origin.declared_by, fact.origin.file)
            near = "\n".join(lines[fact.origin.line - 1 : fact.origin.line + 3])
            assert name in near
    with pytest.raises(TypeError):
        facts.attributes["x"] = None  # type: ignore[index]
    with pytest.raises(AttributeError):
        facts.name = "x"  # type: ignore[misc]


def test_records_are_frozen_values(ticket_class: Any) -> None:
    """Assigning and deleting raise and name the way; equal values are equal records."""
    ticket = ticket_class.submit(subject="a")

    with pytest.raises(AttributeError, match=r"to write 'status', use an update action: Ticket\.close, Ticket\.note"):
        ticket.status = "closed"
    with pytest.raises(AttributeError, match="do not change"):
        del ticket.status
    with pytest.raises(AttributeError):
        ticket.nothing = 1
    assert "open" == ticket.status
    twin = ticket_class(**as_dict(ticket, private=True, sensitive=True))
    assert ticket == twin
    assert hash(ticket) == hash(twin)
    assert ticket != ticket_class(id=ticket.id, subject="b")
    assert ticket != ticket.id


def test_an_unsaved_value(ticket_class: Any) -> None:
    """Calling the class makes a record with defaults, cast and checked, and stores nothing."""
    ticket = ticket_class(subject="a", opened_at="2026-11-24T12:00:00Z")

    assert ("a", "open", START) == (ticket.subject, ticket.status, ticket.opened_at)
    assert query(ticket_class).count() == 0
    with pytest.raises(Invalid) as caught:
        ticket_class(status="lost", subjct="x")
    assert {"subjct", "subject", "status"} == {finding.path for finding in caught.value.findings}


def test_sensitive_values_stay_hidden(ticket_class: Any) -> None:
    """A sensitive value is starred out in ``repr``, and left out of ``as_dict`` unless asked for."""
    ticket = ticket_class.note(ticket_class.submit(subject="a"), secret_note="hidden")

    assert "hidden" not in repr(ticket)
    assert "secret_note='***'" not in repr(ticket)
    assert "secret_note=***" in repr(ticket)
    assert "subject='a'" in repr(ticket)
    assert {"subject": "a"} == as_dict(ticket)
    assert {"id", "subject", "status", "opened_at"} == set(as_dict(ticket, private=True))
    assert "hidden" == as_dict(ticket, private=True, sensitive=True)["secret_note"]
    assert {"subject": "a"} == as_dict(ticket, sensitive=True)
