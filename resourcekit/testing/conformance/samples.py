"""The resources of the conformance tests, and their rows."""

from __future__ import annotations

import enum
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

from resourcekit.data_layers.base import Row
from resourcekit.declarations.attribute import Attribute, Constraints
from resourcekit.declarations.identity import Identity, Index
from resourcekit.declarations.value_type import read_annotation
from resourcekit.dsl.diagnostics import Origin
from resourcekit.dsl.entity import Entity
from resourcekit.resource_info import ResourceInfo

__all__ = ["COMPOSITE", "SAMPLE", "SPELLED", "TEXTS", "WORDS", "Shade", "attribute", "composite", "resource", "sample"]


TEXTS = [
    *("", " ", "  ", "\t", "\n", "\r", "\r\n", "a", "A", "á", "a\u0301", "A\u0301", "a ", " a", "a\n", "aa"),
    *(
        "ss",
        "ß",
        "SS",
        "i",
        "I",
        "ı",
        "İ",
        "fi",
        "\ufb01",
        "Ω",
        "\u2126",
        "3",
        "٣",
        "\uff13",
        "\uff21",
        "\uff41",
        "\u00b3",
        "a\u200b",
        "a\u00ad",
    ),
    *("\U0001f600", "\U0001f601", "\U0001f468\u200d\U0001f469", "\U0001f468", "\ufeff", "\uffff", "\U0010ffff", "\ue000"),
    *("'", "''", '"', "`", "\\", "\\\\", "\\'", "%", "%%", "_", "%s", "%(p0)s", ":p0", "?", "$1", "{}", "{0}", "--", "/*", ";"),
    *("'; DROP TABLE law_sample; --", "null", "NULL", "None", "0", "00", "1e3", "true", "\x01", "\x7f", "\x80", "\u2028"),
]
"""Texts that some databases confuse with each other, cut, or read as syntax."""


class Shade(enum.Enum):
    """An enum whose values sort differently from its names and from its order of declaration."""

    RED = "m"
    GREEN = "z"
    BLUE = "a"


def resource(name: str, *entities: Entity) -> ResourceInfo:
    """Return the facts of a resource that consists of these entities."""
    return ResourceInfo(
        name=name,
        module=__name__,
        origin=Origin(),
        entities=entities,
        extensions={},
        options={},
        persisted={},
        functions={},
        history={},
    )


def attribute(
    name: str, annotation: Any, *, primary_key: bool = False, max_length: int | None = None, scale: int | None = None
) -> Attribute:
    """Return an attribute whose type is an annotation."""
    constraints = Constraints(max_length=max_length, scale=scale)
    return Attribute(name=name, type=read_annotation(annotation), primary_key=primary_key, constraints=constraints)


SAMPLE = resource(
    "LawSample",
    attribute("id", str, primary_key=True, max_length=300),
    attribute("status", Literal["open", "closed"]),
    attribute("number", int),
    attribute("code", str | None, max_length=200),
    attribute("owner", str | None, max_length=200),
    attribute("slot", int | None),
    attribute("amount", int | None),
    attribute("text", str | None),
    attribute("ratio", float | None),
    attribute("flag", bool | None),
    attribute("price", Decimal | None, scale=6),
    attribute("moment", datetime | None),
    attribute("day", date | None),
    attribute("hour", time | None),
    attribute("lasts", timedelta | None),
    attribute("ref", UUID | None),
    attribute("shade", Shade | None),
    attribute("tags", list[str] | None),
    attribute("facts", dict[str, Any] | None),
    attribute("blob", bytes | None),
    Identity(name="by_code", fields=("code",)),
    Identity(name="by_place", fields=("owner", "slot")),
    Index(name="by_status", fields=("status", "number")),
    Index(name="by_moment", fields=("moment",)),
)
"""Every type, a text as primary key, identities over one and two attributes, two indexes."""

COMPOSITE = resource(
    "LawComposite",
    attribute("tenant", str, primary_key=True, max_length=100),
    attribute("number", int, primary_key=True),
    attribute("note", str | None, max_length=100),
    Identity(name="by_note", fields=("note",)),
)
"""A primary key of two attributes."""

SPELLED = resource("LawSpelled", attribute("id", str, primary_key=True, max_length=100), attribute("price", Decimal | None))
"""A Decimal whose digits after the point are not fixed."""

WORDS = resource(
    "Order",
    attribute("select", str, primary_key=True, max_length=100),
    *(
        attribute(name, str | None, max_length=100)
        for name in ("order", "group", "table", "user", "values", "limit", "key", "p0", "now")
    ),
    attribute("größe", int | None),
    Identity(name="unique", fields=("order", "group")),
    Index(name="index", fields=("table", "limit")),
)
"""A resource and attributes whose names are keywords of databases."""

_NOTHING: Row = dict.fromkeys(SAMPLE.attributes)


def sample(key: str, **values: object) -> Row:
    """Return a whole row of SAMPLE: open, number 0, all else ``None`` unless given."""
    return {**_NOTHING, "id": key, "status": "open", "number": 0, **values}


def composite(tenant: str, number: int, note: str | None = None) -> Row:
    """Return a row of COMPOSITE."""
    return {"tenant": tenant, "number": number, "note": note}
