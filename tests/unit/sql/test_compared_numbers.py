"""Numbers that no column holds are compared by value, and intervals are read in every style of a session."""

from __future__ import annotations

import asyncio
import datetime as dt
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa

from resourcekit import Attr, Domain, Resource, attribute, create, query, set_attribute, update
from resourcekit.data_layers import SQL, Repo, joined
from resourcekit.data_layers.sql.dialects.postgresql.loaders import span_of

CASES = [
    (lambda price: price == Decimal("1.255"), []),
    (lambda price: price != Decimal("1.255"), [1, 2, 3]),
    (lambda price: price > Decimal("1.255"), [2]),
    (lambda price: price < Decimal("1.255"), [1, 3]),
    (lambda price: price <= Decimal("1.2500001"), [1, 3]),
    (lambda price: price >= Decimal("-3.001"), [1, 2, 3]),
    (lambda price: price > Decimal("-2.999"), [1, 2]),
    (lambda price: price.in_([Decimal("1.25"), Decimal("2.0001")]), [1]),
    (lambda price: price < Decimal("9" * 25), [1, 2, 3]),
    (lambda price: price < -Decimal("9" * 25), []),
]


def test_decimals_that_are_stored_as_integers_are_compared_by_value(database: Any) -> None:
    """A number with more digits than the scale, or beyond 64 bits, equals no stored one, and lies where it lies, sync and async."""
    domain = Domain("prices")

    class Item(Resource, domain=domain, data_layer=SQL(database.url, table="items")):
        id: Attr[int] = attribute(primary_key=True)
        price: Attr[Decimal] = attribute(scale=2, stored="integer")
        add = create(accept=["id", "price"])

    domain.create_storage()
    Item.add.bulk([{"id": 1, "price": "1.25"}, {"id": 2, "price": "2.00"}, {"id": 3, "price": "-3"}])
    asked = [query(Item).filter(case(Item.price)).sort("id") for case, _ in CASES]

    assert [expected for _, expected in CASES] == [[each.id for each in one.all()] for one in asked]
    assert [each.id for each in asyncio.run(asked[2].all.aio())] == [2]


def test_computed_durations_reach_the_longest_one(database: Any) -> None:
    """A sum that a statement computes may be as long as Python's longest timedelta."""
    domain = Domain("spans")

    class Span(Resource, domain=domain, data_layer=SQL(database.url, table="spans")):
        id: Attr[int] = attribute(primary_key=True)
        lasts: Attr[dt.timedelta] = attribute()
        add = create(accept=["id", "lasts"])
        double = update(changes=[set_attribute("lasts", lasts + lasts)])

    domain.create_storage()
    long = dt.timedelta(days=52_000_000, microseconds=1)
    Span.add(id=1, lasts=long)
    found = query(Span).filter(Span.lasts + Span.lasts == 2 * long).all()

    assert [1] == [each.id for each in found]
    assert 2 * long == Span.double(1).lasts == query(Span).one().lasts


def test_a_joined_session_may_have_its_own_style_of_intervals(postgresql: Any) -> None:
    """An interval is read in a transaction of the user's, whatever IntervalStyle it sets."""
    domain, lasts = Domain("styles"), -dt.timedelta(days=2, hours=3, microseconds=5)

    class Span(Resource, domain=domain, data_layer=SQL(postgresql.url, table="spans")):
        id: Attr[int] = attribute(primary_key=True)
        lasts: Attr[dt.timedelta] = attribute()
        add = create(accept=["id", "lasts"])

    domain.create_storage()
    Span.add(id=1, lasts=lasts)
    found = []
    with Repo.of(Span).engine.connect() as connection:
        for style in ("postgres", "postgres_verbose", "sql_standard", "iso_8601"):
            connection.execute(sa.text(f"SET intervalstyle = '{style}'"))
            with joined(connection, Span):
                found.append(query(Span).one().lasts)

    assert [lasts] * 4 == found


STYLES = {
    "P1DT2H3M4.000005S": dt.timedelta(days=1, hours=2, minutes=3, seconds=4, microseconds=5),
    "P-1DT-2H-3M-4.5S": -dt.timedelta(days=1, hours=2, minutes=3, seconds=4.5),
    "PT0S": dt.timedelta(),
    "@ 1 day 2 hours 3 mins 4.000005 secs": dt.timedelta(days=1, hours=2, minutes=3, seconds=4, microseconds=5),
    "@ 1 day 0.5 secs ago": -dt.timedelta(days=1, seconds=0.5),
    "@ 0": dt.timedelta(),
    "1 2:03:04.000005": dt.timedelta(days=1, hours=2, minutes=3, seconds=4, microseconds=5),
    "-1 2:03:04": -dt.timedelta(days=1, hours=2, minutes=3, seconds=4),
    "+0-0 -1 +2:03:04": dt.timedelta(days=-1, hours=2, minutes=3, seconds=4),
    "0": dt.timedelta(),
    "P1M": "P1M",
    "1-2": "1-2",
}


@pytest.mark.parametrize("text", STYLES)
def test_intervals_are_read_in_each_style(text: str) -> None:
    """The texts of iso_8601, postgres_verbose and sql_standard are intervals; those with months stay texts."""
    assert STYLES[text] == span_of(text)
