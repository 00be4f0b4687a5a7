"""What a statement computes is checked like what is given: single, in bulk, atomic, and in both branches of an upsert."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import pytest

from resourcekit import (
    Attr,
    Changeset,
    Context,
    Domain,
    Resource,
    arg,
    argument,
    attribute,
    case,
    compare,
    create,
    existing,
    get,
    incoming,
    increment,
    query,
    set_attribute,
    update,
)
from resourcekit.errors import Invalid, InvalidArgument
from resourcekit.extending import Field, Upsert


def _is_even(changeset: Changeset, context: Context) -> str | None:
    return "is odd" if changeset.get("count") % 2 else None


def _put(*changes: Any, **more: Any) -> Any:
    return create(accept=["id"], arguments=[argument("by", int)], changes=changes, upsert=True, **more)


def _set(**assignments: Any) -> Any:
    return create(accept=["id", "name"], arguments=[argument("by", int)], upsert=Upsert(set=assignments))


@pytest.fixture
def counter(every_layer: Callable[[], Any]) -> Any:
    """A resource with limits of every kind, and actions that compute values."""
    domain = Domain("counters with limits")

    class Counter(Resource, domain=domain, data_layer=every_layer()):
        id: Attr[int] = attribute(primary_key=True)
        count: Attr[int] = attribute(default=0, minimum=-3, maximum=3)
        free: Attr[int] = attribute(default=0)
        name: Attr[str] = attribute(default="a", min_length=1, max_length=3)
        code: Attr[str] = attribute(default="x1", match=r"[a-z]\d*")
        status: Attr[Literal["open", "closed"]] = attribute(default="open")

        make = create(accept=["id", "count", "free", "name", "code", "status"])
        put = _put(increment("count", arg("by")))
        put_text = _set(name=existing("name") + incoming("name"))
        put_set = _set(count=existing("count") + arg("by"))
        put_code = _set(code=existing("code") + "!")
        put_status = _set(status=case(existing("count") >= 0, "lost", "closed"))
        put_ruled = _put(increment("free", arg("by")), validations=[compare("free", "<=", 3)])
        put_even = _put(increment("count", arg("by")), validations=[_is_even])

        add = update(arguments=[argument("by", int)], changes=[increment("count", arg("by"))])
        grow = update(changes=[set_attribute("name", Field("name") + "bc")])
        lengthen = update(changes=[set_attribute("code", Field("code") + "!")])
        lose = update(changes=[set_attribute("status", case(Field("count") >= 0, "lost", "closed"))])
        close = update(changes=[set_attribute("status", case(Field("count") >= 0, "closed", "open"))])
        halve = update(changes=[set_attribute("free", Field("free") * 0.5)])

    domain.create_storage()
    return Counter


def refused(named: str, call: Callable[..., Any], *args: Any, **given: Any) -> None:
    """Require that a call is Invalid and names an attribute."""
    with pytest.raises(Invalid) as caught:
        call(*args, **given)
    assert [named] == [finding.path for finding in caught.value.findings], caught.value


def test_an_upsert_keeps_the_bounds_of_what_it_adds(counter: Any) -> None:
    """Inserted and updated, by a change and by ``set``: a sum beyond ``maximum`` or ``minimum`` is refused."""
    refused("count", counter.put, id=1, by=4)
    assert [2, 3] == [counter.put(id=1, by=2).count, counter.put(id=1, by=1).count]
    refused("count", counter.put, id=1, by=1)
    refused("count", counter.put, id=1, by=-7)
    refused("count", counter.put_set, id=1, by=1)
    assert 0 == counter.put_set(id=1, by=-3).count == get(counter, 1).count


def test_an_upsert_keeps_length_form_and_options(counter: Any) -> None:
    """A text that grows too long, one that loses its form, and one that is no option are refused where they are computed."""
    counter.make(id=1)
    assert "abc" == counter.put_text(id=1, name="bc", by=0).name
    refused("name", counter.put_text, id=1, name="d", by=0)
    refused("code", counter.put_code, id=1, by=0)
    refused("status", counter.put_status, id=1, by=0)
    counter.add(1, by=-1)

    assert "closed" == counter.put_status(id=1, by=0).status
    assert ("abc", "x1") == (get(counter, 1).name, get(counter, 1).code)


def test_an_upsert_keeps_its_validations_in_both_branches(counter: Any) -> None:
    """A rule that a statement can check, and one that is a function, hold of the record as it will be."""
    refused("free", counter.put_ruled, id=1, by=4)
    assert [3] == [counter.put_ruled(id=1, by=3).free]
    refused("free", counter.put_ruled, id=1, by=1)
    assert [2, 0] == [counter.put_even(id=2, by=2).count, counter.put_even(id=2, by=-2).count]
    with pytest.raises(Invalid, match="is odd"):
        counter.put_even(id=2, by=1)

    assert (3, 0) == (get(counter, 1).free, get(counter, 2).count)


def test_a_bulk_upsert_tells_which_input_went_too_far(counter: Any) -> None:
    """What an input of a batch computes is the failure of that input; the others are written, in their order."""
    result = counter.put.bulk([{"id": 1, "by": by} for by in (2, 2, 1)] + [{"id": 2, "by": 9}])

    assert (2, [1, 3]) == (result.count, [failure.index for failure in result.failures])
    assert [("count",), ("count",)] == [tuple(each.path for each in failure.error.findings) for failure in result.failures]
    assert [3] == [record.count for record in query(counter).all()]
    even = counter.put_even.bulk([{"id": 3, "by": 2}, {"id": 3, "by": 1}, {"id": 3, "by": -2}])
    assert (2, [1], 0) == (even.count, [failure.index for failure in even.failures], get(counter, 3).count)


def test_an_update_keeps_what_its_attribute_requires(counter: Any) -> None:
    """One record, streamed, and as one statement, which is refused if it could not name the record."""
    counter.make(id=1, count=3, free=5)
    refused("count", counter.add, 1, by=1)
    refused("name", lambda: [counter.grow(1), counter.grow(1)])
    refused("code", counter.lengthen, 1)
    refused("status", counter.lose, 1)
    refused("free", counter.halve, 1)
    streamed = counter.lose.bulk(query(counter), strategy="stream")

    assert [("status",)] == [tuple(each.path for each in failure.error.findings) for failure in streamed.failures]
    with pytest.raises(InvalidArgument, match="stream"):
        counter.add.bulk(query(counter), by=1)
    assert 1 == counter.close.bulk(query(counter)).count
    assert (3, "abc", "x1", "closed", 5) == tuple(
        vars(get(counter, 1))[name] for name in ("count", "name", "code", "status", "free")
    )
