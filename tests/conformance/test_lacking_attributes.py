"""Attributes that are declared after records were kept, on layers without columns: old records have the static default."""

from __future__ import annotations

import asyncio
import enum
import importlib
import secrets
from datetime import UTC, datetime
from pathlib import Path

import pytest
import redis

from resourcekit import Attr, Domain, Resource, attribute, create, destroy, get, index, now, query, update
from resourcekit.actions.drive import in_call_mode
from resourcekit.data_layers import Redis
from resourcekit.data_layers.base import DeleteInBatches
from resourcekit.errors import DataLayerError
from resourcekit.expressions.nodes import Compare, Field, Param
from tests.support import valkey

EXAMPLE = str(Path(__file__).parents[2] / "examples" / "jsonlines")


class Level(enum.Enum):
    LOW = "low"
    HIGH = "high"


@pytest.fixture(params=["redis", "jsonlines"])
def layer(request, tmp_path, monkeypatch):
    """A function that makes the layer of one place, again and again."""
    if request.param == "jsonlines":
        monkeypatch.syspath_prepend(EXAMPLE)
        module = importlib.import_module("resourcekit_jsonlines")
        yield lambda: module.JSONLines(tmp_path / "items.jsonl")
        return
    url, tag = valkey.machine_url(), f"test-{secrets.token_hex(6)}"
    if url is None:
        pytest.skip("could not run: a Redis server is missing")
    yield lambda: Redis(url, tag=tag, accept=["appendonly"])
    with redis.Redis.from_url(url) as client:
        for key in client.scan_iter(f"{{{tag}}}*"):
            client.delete(key)


def declare(layer, version):
    """Return a resource as it is declared in one of its versions, its storage created."""
    domain = Domain(f"items-{secrets.token_hex(4)}")

    class Item(Resource, domain=domain, data_layer=layer()):
        id: Attr[int] = attribute(primary_key=True)
        keep = create(accept=["id"])

        if version == "newer":
            text: Attr[str] = attribute(default="e")
            count: Attr[int] = attribute(default=7)
            level: Attr[Level] = attribute(default="high")
            tags: Attr[list[str]] = attribute(default=["a"])
            note: Attr[str | None] = attribute(default="n")
            plain: Attr[str | None] = attribute()
            ends_at: Attr[datetime] = attribute(default=datetime(2030, 1, 1, tzinfo=UTC))
            by_text = index("text")
            add = create(accept=["id", "text", "count", "note"])
            change = update(accept=["count", "note"])
            drop = destroy()
        if version == "required":
            owner: Attr[str] = attribute()
        if version == "made":
            owner: Attr[str] = attribute(default_factory=lambda: "made")
        if version == "now":
            owner: Attr[datetime] = attribute(default=now())

    domain.create_storage()
    return Item


def older(layer):
    """Keep two records of the first version."""
    item = declare(layer, "older")
    for number in (1, 2):
        item.keep(id=number)


def newer(layer):
    """Return the resource as it is declared now."""
    return declare(layer, "newer")


def test_they_are_read_with_their_defaults(layer):
    """By key, and all of them; a default is cast to the type, and cannot be changed in place."""
    older(layer)
    item = newer(layer)
    found = [get(item, 1), *query(item).sort(item.id).all()]
    with pytest.raises(TypeError, match="does not change"):
        found[0].tags.append("b")

    assert {("e", 7, Level.HIGH, "n", None)} == {(each.text, each.count, each.level, each.note, each.plain) for each in found}
    assert ["a"] == get(item, 1).tags == query(item).filter(item.id == 2).one().tags


def test_what_is_asked_of_them_sees_the_defaults(layer):
    """Conditions, orders, indexes and counts."""
    older(layer)
    item = newer(layer)
    item.add(id=3, text="d", count=5)

    assert [1, 2] == [each.id for each in query(item).filter(item.text == "e").sort(item.id).all()]
    assert [1, 2] == [each.id for each in query(item).filter((item.count > 6) & (item.level == Level.HIGH)).sort(item.id).all()]
    assert [3, 1, 2] == [each.id for each in query(item).sort(item.text, item.id).all()]
    assert (2, True) == (
        query(item).filter(item.count == 7).count(),
        query(item).filter((item.id == 1) & (item.note == "n")).exists(),
    )


def test_a_none_that_was_kept_is_no_lacking_value(layer):
    """It stays None, though the default is another value, and an update keeps it apart as well."""
    older(layer)
    item = newer(layer)
    item.add(id=3, note=None)
    item.change(1, note=None)
    item.change(2, count=8)

    assert [None, "n", None] == [each.note for each in query(item).sort(item.id).all()]
    assert [None, "n", None] == [get(item, number).note for number in (1, 2, 3)]
    assert [1, 3] == [each.id for each in query(item).filter(item.note == None).sort(item.id).all()]  # noqa: E711
    item.change(1, note="back")
    assert "back" == get(item, 1).note


@pytest.mark.parametrize("field", ["count", "ends_at"])
def test_a_sweep_sees_the_defaults(layer, field):
    """Also where the server compares by itself; what is not below the bound stays."""
    older(layer)
    item = newer(layer)
    item.add(id=3, count=9)
    bound = {"count": 8, "ends_at": datetime(2030, 1, 2, tzinfo=UTC)}[field]
    store = item.__runtime__.store

    async def sweep():
        plan = store.compile(DeleteInBatches(Compare("<", Field(field), Param("bound"))))
        return sum([count async for count in store.delete_in_batches(plan, {"bound": bound})])

    removed = asyncio.run(in_call_mode(sweep()))

    assert (removed, 3 - removed) == ({"count": 2, "ends_at": 3}[field], query(item).count())


@pytest.mark.parametrize("version", ["required", "made", "now"])
def test_an_attribute_without_a_static_default_is_named(layer, version):
    """No value is made up, which would be another one with each read: the error names the attribute and the cure."""
    older(layer)
    with pytest.raises(DataLayerError, match=r"owner.*static default"):
        query(declare(layer, version)).all()
