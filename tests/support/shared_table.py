"""A table with a column of each type, which other programs read and write beside a resource."""

from __future__ import annotations

import datetime as dt
import enum
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

from resourcekit import Attr, Domain, Resource, attribute, create, query
from resourcekit.data_layers import SQL

__all__ = ["JSON_COLUMNS", "OURS", "TABLE", "THEIRS", "Level", "as_json", "declared", "values_of"]

TABLE = "shared_items"


class Level(enum.Enum):
    """A level, stored as a number."""

    LOW = 1
    HIGH = 2


OURS: dict[str, Any] = {
    "id": UUID("0b0e7a3c-5a1d-4f1e-9c58-000000000001"),
    "name": "Größe ",
    "at": dt.datetime(2026, 1, 2, 3, 4, 5, 678901, dt.UTC),
    "day": dt.date(2026, 2, 28),
    "hour": dt.time(23, 59, 1, 5),
    "lasts": dt.timedelta(days=40, hours=-3, microseconds=7),
    "flag": True,
    "price": Decimal("12.50"),
    "number": 2**62,
    "ratio": 0.1,
    "facts": {"a": [1, "ü", None], "b": {"c": 1.5}},
    "level": Level.HIGH,
    "state": "open",
    "data": bytes(range(256)),
    "exact": Decimal("12345678901234567890.000001"),
    "words": ["a", "ü'\"\\", ""],
    "days": [dt.date(2026, 2, 28), dt.date(1, 1, 1)],
    "amounts": {"net": Decimal("0.1"), "gross": Decimal("12345678901234567890.12")},
    "maybe": None,
    "noted": ["x"],
}
"""The values of the record that the resource writes."""

THEIRS: dict[str, Any] = {
    **OURS,
    "id": UUID("ffffffff-5a1d-4f1e-9c58-000000000002"),
    "name": "other",
    "at": dt.datetime(1999, 12, 31, 23, 0, 0, 1, dt.UTC),
    "day": dt.date(1, 1, 1),
    "hour": dt.time(0, 0, 0, 10),
    "lasts": -dt.timedelta(seconds=1),
    "flag": False,
    "price": Decimal("-0.05"),
    "level": Level.LOW,
    "data": b"",
    "exact": Decimal("-0.000001"),
    "words": [],
    "days": [dt.date(9999, 12, 31)],
    "amounts": {"net": Decimal(-1)},
    "maybe": ["y"],
    "noted": None,
}
"""The values of the record that another program writes."""

JSON_COLUMNS = ("facts", "words", "days", "amounts", "maybe", "noted")
"""The columns of JSON. SQLAlchemy and others write ``None`` there as the JSON value ``null``."""


def as_json(row: dict[str, Any]) -> dict[str, Any]:
    """Return the values of the columns of JSON as JSON has them: days and decimals are texts."""
    return {
        **{name: row[name] for name in JSON_COLUMNS},
        "days": [each.isoformat() for each in row["days"]],
        "amounts": {name: str(each) for name, each in row["amounts"].items()},
    }


def declared(url: str) -> Any:
    """Return the resource, its storage made."""
    domain = Domain("shared columns")

    class Item(Resource, domain=domain, data_layer=SQL(url, table=TABLE)):
        id: Attr[UUID] = attribute(primary_key=True)
        name: Attr[str] = attribute(max_length=100)
        at: Attr[dt.datetime] = attribute()
        day: Attr[dt.date] = attribute()
        hour: Attr[dt.time] = attribute()
        lasts: Attr[dt.timedelta] = attribute()
        flag: Attr[bool] = attribute()
        price: Attr[Decimal] = attribute(scale=2)
        number: Attr[int] = attribute()
        ratio: Attr[float] = attribute()
        facts: Attr[dict[str, Any]] = attribute()
        level: Attr[Level] = attribute()
        state: Attr[Literal["open", "closed"]] = attribute()
        data: Attr[bytes] = attribute()
        exact: Attr[Decimal] = attribute(scale=6)
        words: Attr[list[str]] = attribute()
        days: Attr[list[dt.date]] = attribute()
        amounts: Attr[dict[str, Decimal]] = attribute()
        maybe: Attr[list[str] | None] = attribute()
        noted: Attr[list[str] | None] = attribute()
        add = create(accept=list(OURS))

    domain.create_storage()
    return Item


def values_of(item: Any, key: UUID) -> dict[str, Any]:
    """Return the values of the record with a key, found by each of its values."""
    (record,) = query(item).filter(item.id == key).all()
    found = {name: getattr(record, name) for name in OURS}
    for name, value in found.items():
        if name != "facts":
            assert record.id in {each.id for each in query(item).filter(getattr(item, name) == value).all()}, name
    return found
