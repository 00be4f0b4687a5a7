"""A help desk: one resource with everything that a class body can say, and what can be done with it.

Run it: ``python examples/helpdesk.py``. It keeps its tickets in ``helpdesk.db`` in the working folder.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from resourcekit import (
    Attr,
    Context,
    Domain,
    Notification,
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
from resourcekit.errors import Invalid, NotFound, UniqueViolation

helpdesk = Domain("helpdesk")


def tell(notification: Notification) -> None:
    """Hear of each write, after its commit."""
    logging.getLogger("helpdesk").info("%s %s", notification.action, notification.record)


class Ticket(Resource, domain=helpdesk, data_layer=SQL("sqlite:///helpdesk.db"), notifiers=[tell]):
    """Something that a customer asks for."""

    id: Attr[UUID] = attribute(primary_key=True, default_factory=uuid7)
    subject: Attr[str] = attribute(public=True, min_length=1, max_length=200)
    status: Attr[Literal["open", "closed"]] = attribute(default="open")
    opened_at: Attr[datetime] = attribute(default_factory=utc_now)
    secret_note: Attr[str | None] = attribute(default=None, sensitive=True)

    by_subject = identity("subject")
    recent = index("status", "opened_at")

    submit = create(accept=["subject"])
    annotate = update(accept=["secret_note"])
    close = update(changes=[set_attribute("status", "closed")])
    remove = destroy()

    @read
    @staticmethod
    def newer_than(query: Query[Ticket], moment: datetime) -> Query[Ticket]:
        """Find the tickets that were opened after a moment."""
        return query.filter(Ticket.opened_at > moment)

    @action
    @staticmethod
    async def count_open(context: Context) -> int:
        """Count the open tickets."""
        return await query(Ticket).filter(Ticket.status == "open").count.aio()


def main() -> None:
    """Go through the day of a help desk."""
    helpdesk.create_storage()
    Ticket.remove.bulk(query(Ticket))  # what an earlier run of this example left
    begun = utc_now() - timedelta(seconds=1)

    ticket = Ticket.submit(subject="Printer on fire")  # cast, validated, stored
    print("submitted:", ticket.subject, ticket.status)

    done = Ticket.submit.bulk([{"subject": "No toner"}, {"subject": "Paper jam"}, {"subject": ""}])
    print("in bulk:", done.count, "stored,", len(done.failures), "refused:", done.failures[0].error)

    for wrong in ({"subject": "Printer on fire"}, {"subjekt": "?"}, {}):
        try:
            Ticket.submit(**wrong)
        except UniqueViolation as error:
            print("taken:", error.identity)
        except Invalid as error:
            print("refused:", "; ".join(map(str, error.findings)))

    with context(actor="Ada"):
        Ticket.annotate(ticket.id, secret_note="Bring the extinguisher")
    ticket = get(Ticket, ticket.id)
    print("shown:", sorted(as_dict(ticket)), "| hidden in repr:", "extinguisher" not in repr(ticket))

    print("open:", Ticket.count_open(), "| new:", len(Ticket.newer_than(begun)))
    ticket = ticket.close()  # or Ticket.close(ticket), or Ticket.close(key)
    print("closed:", ticket.status)

    open_tickets = query(Ticket).filter(Ticket.status == "open")
    print("first two:", [each.subject for each in open_tickets.sort(Ticket.subject.asc()).limit(2).all()])
    print("streamed:", sum(1 for _ in query(Ticket).stream()))

    try:
        with transaction(Ticket):
            Ticket.remove(ticket)
            Ticket.submit(subject="No toner")  # taken: nothing of this transaction stands
    except UniqueViolation:
        print("rolled back:", get(Ticket, ticket.id).subject, "is still there")

    print("closed at once:", Ticket.close.bulk(open_tickets).count, "| open:", Ticket.count_open())
    asyncio.run(in_the_other_colour(ticket))
    facts = info(Ticket)
    print("facts:", ", ".join(facts.attributes), "|", ", ".join(facts.actions))


async def in_the_other_colour(ticket: Ticket) -> None:
    """Do the same things inside an event loop: each function has ``.aio``."""
    async with transaction(Ticket) as tx:
        tx.after_commit(lambda: print("committed"))
        hasty = Ticket.submit.using(actor="Ada", deadline=timedelta(seconds=2))
        another = await hasty.aio(subject="Scanner hums")
        await Ticket.remove.aio(ticket)
    try:
        await get.aio(Ticket, ticket.id)
    except NotFound:
        print("removed; left:", await query(Ticket).count.aio(), "| new:", another.status)


if __name__ == "__main__":
    main()
