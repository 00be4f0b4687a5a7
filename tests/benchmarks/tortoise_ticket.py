"""The model of a ticket for Tortoise, which finds its models in modules."""

from __future__ import annotations

from datetime import UTC, datetime

from tortoise import Model, fields

from resourcekit import uuid7

__all__ = ["Ticket"]


class Ticket(Model):
    """A ticket."""

    id = fields.UUIDField(primary_key=True, default=uuid7)
    subject = fields.CharField(max_length=200)
    status = fields.CharField(max_length=10, default="open")
    opened_at = fields.DatetimeField(default=lambda: datetime.now(UTC))
    visits = fields.BigIntField(default=0)

    class Meta:
        """Its table."""

        table = "tickets_tortoise"
