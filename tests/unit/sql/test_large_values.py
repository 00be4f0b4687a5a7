"""Values that are longer than MariaDB takes in a statement: refused by the attribute's name, and sent once."""

from __future__ import annotations

import asyncio

import pytest

from resourcekit import Attr, Domain, Resource, attribute, create, query, update
from resourcekit.data_layers import SQL
from resourcekit.errors import Invalid
from tests.support.databases import run_sql

PACKET = 16 * 1024 * 1024


@pytest.fixture
def page(mariadb):
    """A resource with two texts, at a server whose packets have their usual size."""
    if run_sql(mariadb.url, "SELECT @@max_allowed_packet") != [(PACKET,)]:
        pytest.skip("the server takes packets of another size")
    domain = Domain("pages")

    class Page(Resource, domain=domain, data_layer=SQL(mariadb.url)):
        number: Attr[int] = attribute(primary_key=True)
        title: Attr[str] = attribute(default="")
        body: Attr[str] = attribute(default="")
        add = create(accept=["number", "title", "body"])
        change = update(accept=["title", "body"])

    domain.create_storage()
    return Page


@pytest.mark.parametrize("size", [PACKET, 40_000_000], ids=["answered", "cut off"])
@pytest.mark.parametrize("mode", ["sync", "async"])
def test_a_value_that_is_too_large_is_named(page, size, mode, caplog):
    """Create and update raise Invalid with attribute, size and limit, whether the server answers or cuts the connection."""
    text = "x" * size
    first = page.add(number=0)
    for call in (lambda: page.add, lambda: page.change):
        args = (first,) if call() is page.change else ()
        given = {} if args else {"number": 1}
        with pytest.raises(Invalid) as caught:
            if mode == "sync":
                call()(*args, title="t", body=text, **given)
            else:
                asyncio.run(call().aio(*args, title="t", body=text, **given))

        assert ["body"] == [finding.path for finding in caught.value.findings]
        assert f"{size:,} bytes" in str(caught.value)
        assert f"{PACKET:,}" in str(caught.value)
        assert "xxx" not in str(caught.value)
    assert [(0, "")] == [(each.number, each.body) for each in query(page).all()]


def test_what_a_driver_escapes_counts(page):
    """A text of quotes is twice as long in a statement."""
    with pytest.raises(Invalid, match="body"):
        page.add(number=1, body="'" * (PACKET - 1_000_000) + "x" * 3_000_000)


def test_what_fits_is_kept(page):
    """A value just below the limit is written and read."""
    page.add(number=1, body="x" * (PACKET - 10_000))

    assert PACKET - 10_000 == len(query(page).one().body)
