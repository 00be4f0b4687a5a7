"""Identities (what is unique besides the key) and indexes (what is often asked for). They know no store."""

from __future__ import annotations

from typing import ClassVar

import attrs

from resourcekit.dsl.entity import Entity
from resourcekit.dsl.origin import Origin
from resourcekit.flow.expression import Expression

__all__ = ["Identity", "Index", "identity", "index"]


@attrs.frozen(kw_only=True, eq=False)
class Identity(Entity):
    """Attributes whose values, taken together, belong to at most one record.

    A record with ``None`` in one of them is never in conflict, on every store.
    """

    section: ClassVar[str] = "identities"

    fields: tuple[str, ...] = ()


@attrs.frozen(kw_only=True, eq=False)
class Index(Entity):
    """Attributes that queries filter or sort by together; a hint to the store, with no effect on results.

    where: which records are found by it; ``None``: all.
    """

    section: ClassVar[str] = "indexes"

    fields: tuple[str, ...] = ()
    where: Expression | None = attrs.field(default=None, repr=False)


def identity(*fields: str, doc: str = "") -> Identity:
    """Declare that these attributes identify a record; the name comes from the class body.

    fields: names of attributes. Of two records that agree in all of them, the second raises UniqueViolation.
    """
    return Identity(fields=fields, origin=Origin.here(), doc=doc)


def index(*fields: str, where: Expression | None = None, doc: str = "") -> Index:
    """Declare an index over these attributes, in this order; the name comes from the class body.

    fields: names of attributes that queries filter or sort by together. where: a condition that those queries ask for,
    too; records for which it does not hold cost nothing. A store that cannot index a part of its records indexes all.
    """
    return Index(fields=fields, where=where, origin=Origin.here(), doc=doc)
