"""The day of a help desk. Run it in the folder ``examples``: ``python -m helpdesk``."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from resourcekit import as_dict, context, get, info, load, query, transaction, utc_now
from resourcekit.errors import ForeignKeyViolation, Invalid, NotFound, NotLoaded, UniqueViolation

from .models import Comment, Representative, Tag, Ticket, TicketTag, helpdesk


def main() -> None:
    """Go through the day of a help desk."""
    helpdesk.create_storage()
    Ticket.remove.bulk(query(Ticket))  # what an earlier run of this example left
    Representative.leave.bulk(query(Representative))

    ticket = one_resource()
    several_resources()
    asyncio.run(in_the_other_mode(ticket))
    facts = info(Ticket)
    print("facts:", ", ".join(facts.attributes), "|", ", ".join(facts.relationships), "|", ", ".join(facts.actions))


def one_resource() -> Ticket:
    """Write, find and show tickets."""
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
    return ticket


def several_resources() -> None:
    """Load, count and sort related records: one statement for each relationship, however many tickets there are."""
    ann, bob = Representative.hire(first="Ann", last="Ng"), Representative.hire(first="Bob", last="Orr")
    for ticket, person in zip(query(Ticket).sort("subject").all(), (ann, bob, ann), strict=True):
        ticket.assign(representative_id=person.id)
        Comment.write.bulk([{"ticket_id": ticket.id, "text": f"{word}: {ticket.subject}"} for word in ("Seen", "Done")])
        for word in ["hardware", *(["urgent"] if "fire" in ticket.subject else [])]:
            Tag.put(word=word)
            TicketTag.put(ticket_id=ticket.id, tag=word)

    for ticket in query(Ticket).sort("subject").load(Ticket.representative, Ticket.tags, Ticket.comments.limit(1)).all():
        who = "no one" if ticket.representative is None else ticket.representative.first
        print(f"{ticket.subject}: {who}, {[tag.word for tag in ticket.tags]}, {ticket.comments[0].text!r}")

    people = query(Representative).sort(Representative.open_tickets.desc(), "last")
    for person in people.load(Representative.name, Representative.open_tickets).all():
        print(f"{person.name} has {person.open_tickets} open")
    hot = query(Ticket).filter(Ticket.tags.exists(Tag.word == "urgent"), Ticket.representative[Representative.last] == "Ng")
    print("urgent, of Ng:", [ticket.subject for ticket in hot.all()])

    page = query(Ticket).sort("subject").page(limit=2, count=True)
    rest = query(Ticket).sort("subject").page(limit=2, after=page.end_cursor)
    print("pages:", len(page.records), "of", page.count, "| then", [ticket.subject for ticket in rest.records])

    try:
        print(get(Ticket, page.records[0].id).comments)
    except NotLoaded:  # reading never sends a statement
        print("not loaded; later:", len(load(page.records[0], Ticket.comments).comments), "comments")
    try:
        Representative.leave(ann)
    except ForeignKeyViolation as error:
        print("refused:", error)


async def in_the_other_mode(ticket: Ticket) -> None:
    """Close and remove tickets, inside an event loop: each function has ``.aio``."""
    ticket = await ticket.close.aio()  # or Ticket.close.aio(ticket), or Ticket.close.aio(key)
    print("closed:", ticket.status)
    try:
        async with transaction(Ticket):
            await Ticket.remove.aio(ticket)
            await Ticket.submit.aio(subject="No toner")  # taken: nothing of this transaction is kept
    except UniqueViolation:
        print("rolled back:", (await get.aio(Ticket, ticket.id)).subject, "is still there")

    done = await Ticket.close.bulk.aio(query(Ticket).filter(Ticket.status == "open"))
    print("closed at once:", done.count, "| open:", await Ticket.count_open.aio())
    async with transaction(Ticket) as tx:
        tx.after_commit(lambda: print("committed"))
        hasty = Ticket.submit.using(actor="Ada", deadline=timedelta(seconds=20))
        another = await hasty.aio(subject="Scanner hums")
        await Ticket.remove.aio(ticket)
    try:
        await get.aio(Ticket, ticket.id)
    except NotFound:
        left = await query(Ticket).count.aio(), await query(Comment).count.aio()
        print("removed; left:", left[0], "| comments:", left[1], "| new:", another.status)


if __name__ == "__main__":
    main()
