"""Identities (what is unique besides the key) and indexes (what is often asked for). They know no store."""

from __future__ import annotations

from typing import ClassVar

import attrs

from resourcekit.dsl.entity import Entity
from resourcekit.dsl.origin import Origin

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
    """Attributes that queries filter or sort by together; a hint to the store, with no effect on results."""

    section: ClassVar[str] = "indexes"

    fields: tuple[str, ...] = ()


def identity(*fields: str, doc: str = "") -> Identity:
    """Declare that these attributes identify a record; the name comes from the class body.

    fields: names of attributes. Of two records that agree in all of them, the second raises UniqueViolation.
    """
    return Identity(fields=fields, origin=Origin.here(), doc=doc)


def index(*fields: str, doc: str = "") -> Index:
    """Declare an index over these attributes, in this order; the name comes from the class body.

    fields: names of attributes that queries filter or sort by together.
    """
    return Index(fields=fields, origin=Origin.here(), doc=doc)
