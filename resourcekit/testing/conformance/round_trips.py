"""Conformance tests of the kinds of values that attributes have, through the actions of a resource.

Each test asks all kinds on a few records, so that it takes one table and a few statements for each kind.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields, is_dataclass
from functools import partial
from typing import Any

import attrs
import pytest

from resourcekit.actions.record import as_dict
from resourcekit.data_layers.base import Capability
from resourcekit.declarations.attribute import attribute
from resourcekit.declarations.builders import create, update
from resourcekit.declarations.identity import identity
from resourcekit.errors import UniqueViolation
from resourcekit.queries import get, query
from resourcekit.testing.conformance.harness import ConformanceSuite, Harness, conformance_test
from resourcekit.testing.conformance.kinds import KINDS, ValueKind

__all__ = ["RoundTripSuite"]

_ROWS = max(len(kind.values) for kind in KINDS.values())


def _value(kind: ValueKind, number: int) -> Any:
    """Return the value of a record; ``None`` if there are fewer values than records."""
    return kind.values[number] if number < len(kind.values) else None


def _row(number: int) -> dict[str, Any]:
    return {"id": number, **{name: _value(kind, number) for name, kind in KINDS.items()}}


def _fields(value: Any) -> dict[str, Any]:
    names = [each.name for each in (attrs.fields(type(value)) if attrs.has(type(value)) else fields(value))]
    return {name: getattr(value, name) for name in names}


def _told(value: Any) -> Any:
    """Return a text that differs for values of different types that are equal in Python."""
    if isinstance(value, dict):
        return {each: _told(inner) for each, inner in value.items()}
    if isinstance(value, list):
        return [_told(inner) for inner in value]
    if attrs.has(type(value)) or is_dataclass(value):  # the order of keys inside does not count
        return type(value).__name__, {name: _told(inner) for name, inner in _fields(value).items()}
    return type(value).__name__, repr(value)


def _shown(record: Any, names: Iterable[str] = KINDS) -> dict[str, Any]:
    return {name: _told(getattr(record, name)) for name in names}


def _expected(number: int) -> dict[str, Any]:
    return {name: _told(_value(kind, number)) for name, kind in KINDS.items()}


async def _declared(harness: Harness) -> Any:
    """Return a resource with an attribute of each kind, its storage made."""
    types = {name: kind.annotation | None for name, kind in KINDS.items()}
    body: dict[str, Any] = {name: attribute(default=None, public=True, **kind.options) for name, kind in KINDS.items()}
    body["add"] = create(accept=["id", *KINDS])
    body["put"] = create(accept=["id", *KINDS], upsert=True)
    body["change"] = update(accept=list(KINDS))
    return await harness.declare("LawKinds", {"id": int, **types}, {"id": attribute(primary_key=True, public=True), **body})


async def _filled(harness: Harness) -> Any:
    """Return the same resource with its records."""
    kinds = await _declared(harness)
    result = await kinds.add.bulk.aio([_row(number) for number in range(_ROWS)])
    assert (_ROWS, ()) == (result.count, result.failures)
    return kinds


async def _ids(kinds: Any, condition: Any) -> list[int]:
    return sorted([each.id for each in await query(kinds).filter(condition).all.aio()])


def _is(value: Any, each: Any) -> bool:
    return bool(_told(each) == _told(value))


def _is_below(value: Any, each: Any) -> bool:
    return each is not None and each < value


def _conditions(field: Any, kind: ValueKind) -> Iterator[tuple[str, Any, Callable[[Any], bool]]]:
    """Yield conditions over an attribute: their text, themselves, and whether a value meets them."""
    ends = [kind.values[0], kind.values[-1]]
    for value in (kind.values[1], ends[1]):
        yield f"== {value!r}", field == value, partial(_is, value)
    for value in kind.values[1:2] if kind.is_ordered else ():
        yield f"< {value!r}", field < value, partial(_is_below, value)
        yield f">= {value!r}", field >= value, lambda each: each is not None and not _is_below(kind.values[1], each)
    yield f"!= {ends[0]!r}", field != ends[0], lambda each: not _is(ends[0], each)
    yield f"in_ {ends!r}", field.in_([*ends, None]), lambda each: each is None or each in ends
    yield "is_none", field.is_none(), lambda each: each is None
    if kind.spelled is not None:
        given, meant = kind.spelled
        yield f"== {given!r}", field == given, lambda each: each == meant
    if isinstance(item := ends[1], list):
        yield f"contains {item[-1]!r}", field.contains(item[-1]), lambda each: item[-1] in (each or [])


class RoundTripSuite(ConformanceSuite):
    """Tests of values of each kind, by create, update, upsert, bulk, filter and sort."""

    @conformance_test()
    async def test_kinds_come_back_by_create_and_update(self, harness: Harness) -> None:
        """A value of each kind is read back equal and of its class, from a create, a get, a list and an update."""
        kinds = await _declared(harness)
        for number in range(_ROWS):
            made = await kinds.add.aio(**_row(number))
            assert _expected(number) == _shown(made)
            assert _expected(number) == _shown(await get.aio(kinds, number))
        assert [_expected(number) for number in range(_ROWS)] == [
            _shown(each) for each in await query(kinds).sort("id").all.aio()
        ]
        for number in range(_ROWS):
            row = {name: value for name, value in _row(number).items() if name != "id"}
            assert _expected(number) == _shown(await kinds.change.aio(_ROWS - 1 - number, **row))
        assert _expected(0) == _shown(await get.aio(kinds, _ROWS - 1))

    @conformance_test()
    async def test_kinds_come_back_by_bulk(self, harness: Harness) -> None:
        """A bulk create returns and keeps each value; one input that is refused leaves the others. A bulk update writes each value."""
        kinds = await _declared(harness)
        rows = [_row(number) for number in range(_ROWS)]
        made = await kinds.add.bulk.aio([*rows, {"id": _ROWS, "level": 3}], return_records=True)

        assert [_ROWS] == [each.index for each in made.failures]
        assert [_expected(number) for number in range(_ROWS)] == [_shown(each) for each in made.records]
        assert [_expected(number) for number in range(_ROWS)] == [
            _shown(each) for each in await query(kinds).sort("id").all.aio()
        ]
        for number in (0, 1):
            row = {name: value for name, value in rows[number].items() if name != "id"}
            assert _ROWS == (await kinds.change.bulk.aio(query(kinds), **row)).count
            assert [_expected(number)] * _ROWS == [_shown(each) for each in await query(kinds).all.aio()]

    @conformance_test(Capability.FILTER)
    async def test_kinds_are_found_by_filters(self, harness: Harness) -> None:
        """``==``, ``!=``, ``in_``, ``is_none`` and comparisons find the records of each kind as in Python."""
        kinds, wrong = await _filled(harness), []
        for name, kind in KINDS.items():
            for what, condition, meant in _conditions(getattr(kinds, name), kind):
                found = await _ids(kinds, condition)
                wanted = [number for number in range(_ROWS) if meant(_value(kind, number))]
                if found != wanted:
                    wrong.append(f"{name} {what}: {found}, not {wanted}")
        assert [] == wrong

    @conformance_test(Capability.SORT)
    async def test_kinds_are_sorted(self, harness: Harness) -> None:
        """An order by each kind that has one is that of Python, with ``None`` first, and with ``None`` last in descending order."""
        kinds, wrong = await _filled(harness), []
        for name, kind in KINDS.items():
            if not kind.is_ordered:
                continue
            ascending = [*range(len(kind.values), _ROWS), *range(len(kind.values))]
            found = [each.id for each in await query(kinds).sort(name, "id").all.aio()]
            turned = [each.id for each in await query(kinds).sort(f"-{name}", "-id").all.aio()]
            if (found, turned) != (ascending, ascending[::-1]):
                wrong.append(f"{name}: {found} and {turned}, not {ascending}")
        assert [] == wrong

    @conformance_test()
    async def test_kinds_come_back_inside_json(self, harness: Harness) -> None:
        """Items of lists, values of dicts and fields of classes keep their types, for each kind without options."""
        types, row = dict[str, Any](), dict[str, Any]()
        for name, kind in KINDS.items():
            if not kind.options.keys() <= {"max_length"}:  # the options of an attribute are not those of an item
                continue
            field = attrs.field(type=kind.annotation | None)
            held = attrs.make_class(f"Held_{name}", {"value": field, "more": attrs.field(type=int, default=1)}, frozen=True)
            types |= {f"{name}_list": list.__class_getitem__(kind.annotation), f"{name}_held": held}
            types[f"{name}_dict"] = dict.__class_getitem__((str, kind.annotation))
            row |= {f"{name}_list": [*kind.values], f"{name}_held": held(kind.values[-1])}
            row[f"{name}_dict"] = {f"{number}": value for number, value in enumerate(kind.values)}
        body = {"id": attribute(primary_key=True), **{name: attribute(default=None) for name in types}}
        body["add"] = create(accept=["id", *types])
        nested = await harness.declare("LawNested", {"id": int, **{name: each | None for name, each in types.items()}}, body)
        wanted = {name: _told(value) for name, value in row.items()}

        assert wanted == _shown(await nested.add.aio(id=1, **row), row)
        assert wanted == _shown(await get.aio(nested, 1), row)
        if Capability.FILTER in harness.store.capabilities:
            assert [] == [name for name, value in row.items() if await _ids(nested, getattr(nested, name) == value) != [1]]

    @conformance_test()
    async def test_kinds_are_given_in_other_forms(self, harness: Harness) -> None:
        """The form that a JSON body has is cast to the same value, and what ``as_dict`` shows is an input again."""
        kinds = await _declared(harness)
        spelled = {name: kind.spelled for name, kind in KINDS.items() if kind.spelled is not None}
        given = json.loads(json.dumps({name: form for name, (form, _) in spelled.items()}))
        made = await kinds.add.aio(id=1, **given)
        again = await kinds.add.aio(**{**as_dict(made), "id": 2})

        wanted = {name: _told(value) for name, (_, value) in spelled.items()}
        assert [wanted, wanted, wanted] == [_shown(each, spelled) for each in (made, again, await get.aio(kinds, 2))]

    @conformance_test()
    async def test_kinds_come_back_by_upsert(self, harness: Harness) -> None:
        """An upsert by the primary key inserts, and then replaces the values of each kind, alone and in bulk."""
        kinds = await _declared(harness)
        for number in (0, 1):
            assert _expected(number) == _shown(await kinds.put.aio(**{**_row(number), "id": 7}))
            assert _expected(number) == _shown(await get.aio(kinds, 7))
        rows = [{**_row(number), "id": number + 1} for number in range(_ROWS)]
        assert (_ROWS, ()) == ((result := await kinds.put.bulk.aio(rows)).count, result.failures)
        assert [_expected(number) for number in range(_ROWS)] == [
            _shown(each) for each in await query(kinds).sort("id").all.aio()
        ]

    @conformance_test()
    async def test_kinds_are_compared_by_identities(self, harness: Harness) -> None:
        """An identity over each kind refuses the same value, in each spelling, and an upsert by it updates that record."""
        keys = {name: kind for name, kind in KINDS.items() if kind.is_key}
        types = {name: kind.annotation | None for name, kind in keys.items()}
        body: dict[str, Any] = {name: attribute(default=None, **kind.options) for name, kind in keys.items()}
        for name in keys:
            body[f"by_{name}"] = identity(name)
            body[f"put_{name}"] = create(accept=["id", "note", name], upsert=f"by_{name}")
        unique = await harness.declare(
            "LawUnique",
            {"id": int, "note": str | None, **types},
            {"id": attribute(primary_key=True), "note": attribute(default=None), **body, "add": create(accept=["id", *keys])},
        )
        length = max(len(kind.values) for kind in keys.values())
        for number in range(length):
            await unique.add.aio(id=number, **{name: _value(kind, number) for name, kind in keys.items()})
        for number, (name, kind) in enumerate(keys.items()):
            with pytest.raises(UniqueViolation, match=name):
                await unique.add.aio(id=100, **{name: kind.values[0]})
            given, meant = kind.spelled or (kind.values[0], kind.values[0])
            put = await getattr(unique, f"put_{name}").aio(id=100, note=f"{number}", **{name: given})
            assert (name, kind.values.index(meant), f"{number}", meant) == (name, put.id, put.note, getattr(put, name))
        assert length == await query(unique).count.aio()
