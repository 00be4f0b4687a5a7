"""The resources of the help desk, and how they refer to each other."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Literal
from uuid import UUID

from resourcekit import (
    Attr,
    Calc,
    Context,
    Domain,
    Many,
    Notification,
    One,
    Query,
    Resource,
    action,
    attribute,
    belongs_to,
    calculated,
    create,
    destroy,
    has_many,
    identity,
    index,
    many_to_many,
    query,
    read,
    set_attribute,
    update,
    utc_now,
    uuid7,
)
from resourcekit.data_layers import SQL

helpdesk = Domain("helpdesk")
database = "sqlite:///helpdesk.db"


def tell(notification: Notification) -> None:
    """Hear of each write, after its commit."""
    logging.getLogger("helpdesk").info("%s %s", notification.action, notification.record)


class Representative(Resource, domain=helpdesk, data_layer=SQL(database)):
    """A person who answers tickets."""

    id: Attr[UUID] = attribute(primary_key=True, default_factory=uuid7)
    first: Attr[str] = attribute(public=True)
    last: Attr[str] = attribute(public=True)

    tickets: Many[Ticket] = has_many("representative_id", sort=["opened_at"], public=True)
    name: Calc[str] = calculated(lambda: Representative.first + " " + Representative.last, public=True)
    open_tickets: Calc[int] = calculated(lambda: Representative.tickets.count(Ticket.status == "open"), public=True)

    hire = create(accept=["first", "last"])
    leave = destroy()


class Ticket(Resource, domain=helpdesk, data_layer=SQL(database), notifiers=[tell]):
    """Something that a customer asks for."""

    id: Attr[UUID] = attribute(primary_key=True, default_factory=uuid7)
    subject: Attr[str] = attribute(public=True, min_length=1, max_length=200)
    status: Attr[Literal["open", "closed"]] = attribute(default="open", public=True)
    opened_at: Attr[datetime] = attribute(default_factory=utc_now)
    secret_note: Attr[str | None] = attribute(default=None, sensitive=True)
    representative_id: Attr[UUID | None] = attribute(default=None)

    representative: One[Representative | None] = belongs_to("representative_id", public=True)
    comments: Many[Comment] = has_many("ticket_id", sort=["text"], public=True)
    tags: Many[Tag] = many_to_many(through=lambda: TicketTag, source="ticket_id", destination="tag", sort=["word"], public=True)

    by_subject = identity("subject")
    recent = index("status", "opened_at")

    submit = create(accept=["subject"])
    annotate = update(accept=["secret_note"])
    assign = update(accept=["representative_id"])
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


class Comment(Resource, domain=helpdesk, data_layer=SQL(database)):
    """An answer to a ticket. It goes when its ticket goes."""

    id: Attr[UUID] = attribute(primary_key=True, default_factory=uuid7)
    text: Attr[str] = attribute(public=True)
    ticket_id: Attr[UUID] = attribute()

    ticket: One[Ticket] = belongs_to("ticket_id", on_delete="cascade")

    write = create(accept=["ticket_id", "text"])


class Tag(Resource, domain=helpdesk, data_layer=SQL(database)):
    """A word that tickets have in common."""

    word: Attr[str] = attribute(primary_key=True, public=True, max_length=40)

    tickets: Many[Ticket] = many_to_many(through=lambda: TicketTag, source="tag", destination="ticket_id")

    put = create(accept=["word"], upsert=True)


class TicketTag(Resource, domain=helpdesk, data_layer=SQL(database)):
    """A tag of a ticket."""

    ticket_id: Attr[UUID] = attribute(primary_key=True)
    tag: Attr[str] = attribute(primary_key=True, max_length=40)

    ticket: One[Ticket] = belongs_to("ticket_id", on_delete="cascade")
    word: One[Tag] = belongs_to("tag", on_delete="cascade")

    put = create(accept=["ticket_id", "tag"])
