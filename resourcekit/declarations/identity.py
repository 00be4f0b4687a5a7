"""Identities (unique attributes besides the primary key) and indexes (attributes that queries often use)."""

from __future__ import annotations

from typing import ClassVar

import attrs

from resourcekit.dsl.builder import checked_builder
from resourcekit.dsl.diagnostics import Origin
from resourcekit.dsl.entity import Entity
from resourcekit.expressions.nodes import Expression

__all__ = ["Identity", "Index", "identity", "index"]


@attrs.frozen(kw_only=True, eq=False)
class Identity(Entity):
    """Attributes whose values, taken together, belong to at most one record.

    A record with ``None`` in one of them never conflicts, on any store.
    """

    section: ClassVar[str] = "identities"

    fields: tuple[str, ...] = ()


@attrs.frozen(kw_only=True, eq=False)
class Index(Entity):
    """Attributes that queries filter or sort by together; a hint to the store, without effect on results.

    where: the condition of the records in the index; ``None``: all records.
    """

    section: ClassVar[str] = "indexes"

    fields: tuple[str, ...] = ()
    where: Expression | None = attrs.field(default=None, repr=False)


@checked_builder("identity")
def identity(*fields: str, doc: str = "") -> Identity:
    """Declare that these attributes identify a record; the name comes from the class body.

    fields: names of attributes. Of two records with equal values in all of them, the second raises UniqueViolation.
    """
    return Identity(fields=fields, origin=Origin.here(), doc=doc)


@checked_builder("index")
def index(*fields: str, where: Expression | None = None, doc: str = "") -> Index:
    """Declare an index over these attributes, in this order; the name comes from the class body.

    fields: names of attributes that queries filter or sort by together.
    where: a condition that those queries also have. Records that do not meet it are not indexed. A store without partial
        indexes indexes all records.
    """
    return Index(fields=fields, where=where, origin=Origin.here(), doc=doc)
