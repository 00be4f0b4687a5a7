"""JSON values are equal by value: 1 is 1.0, a bool is no number, the order of keys does not count."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from resourcekit import Attr, Domain, Resource, attribute, create, query
from resourcekit.errors import Invalid


@pytest.fixture
def doc(every_layer: Callable[[], Any]) -> Any:
    """A resource with JSON values."""
    return _declare(every_layer())


def _declare(layer: Any) -> Any:
    domain = Domain("documents")

    class Doc(Resource, domain=domain, data_layer=layer):
        id: Attr[int] = attribute(primary_key=True)
        facts: Attr[dict[str, Any] | None] = attribute(default=None)
        anything: Attr[Any] = attribute(default=None)
        make = create(accept=["id", "facts", "anything"])

    domain.create_storage()
    return Doc


def _check(doc: Any) -> None:
    kept: list[Any] = [
        {"a": 1},
        {"a": 1.0},
        {"a": True},
        {"a": [1, {"b": 2.5, "c": 0}]},
        {"a": [1.0, {"c": 0.0, "b": 2.5}]},
        {"a": "1"},
    ]
    for number, facts in enumerate(kept):
        doc.make(id=number, facts=facts)

    def ids(condition: Any) -> list[int]:
        return [record.id for record in query(doc).filter(condition).sort("id").all()]

    assert [0, 1] == ids(doc.facts == {"a": 1}) == ids(doc.facts == {"a": 1.0}) == ids(doc.facts.in_([{"a": 1.0}]))
    assert [2] == ids(doc.facts == {"a": True})
    assert [3, 4] == ids(doc.facts == kept[3]) == ids(doc.facts.in_([kept[4]]))
    assert [2, 3, 4, 5] == ids(doc.facts != {"a": 1})
    assert ["{'a': 1}", "{'a': 1.0}", "{'a': True}"] == [repr(record.facts) for record in query(doc).sort("id").limit(3).all()]
    with pytest.raises(Invalid, match="NUL"):
        ids(doc.facts == {"a": ["x\0"]})


def test_json_is_equal_by_value(doc: Any) -> None:
    """In comparisons and sets, nested too; what is kept keeps its kind; NUL is refused in a value to compare with."""
    _check(doc)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (1, [0, 1]),
        (1.0, [0, 1]),
        (True, [2]),
        (0, [3, 4]),
        (False, [5]),
        ("1", [6]),
        (10**20, [7, 8]),
        (9007199254740993, [9]),
        ([1, None], [11]),
        (None, [12]),
    ],
)
def test_any_value_is_equal_by_value(doc: Any, wanted: object, found: list[int]) -> None:
    """Also at the top: True is not 1, and numbers may be of any size."""
    kept = [1, 1.0, True, 0, -0.0, False, "1", 10**20, 1e20, 9007199254740993, 9007199254740992.0, [1.0, None], None]
    doc.make.bulk([{"id": number, "anything": value} for number, value in enumerate(kept)])

    def ids(condition: Any) -> list[int]:
        return [record.id for record in query(doc).filter(condition).sort("id").all()]

    assert found == ids(doc.anything == wanted)
    assert found == ids(doc.anything.in_([wanted, "nothing"]))
    assert [number for number in range(13) if number not in found] == ids(doc.anything != wanted)
