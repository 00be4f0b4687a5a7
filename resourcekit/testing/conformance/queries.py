"""Conformance tests of reads: filters, orders, limits, fields, streams, aggregates."""

from __future__ import annotations

import functools
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from resourcekit.data_layers.base import Capability, Row, Select
from resourcekit.expressions.aggregates import Figure
from resourcekit.expressions.evaluation import compile_expression
from resourcekit.expressions.functions import case, coalesce, greatest, now
from resourcekit.expressions.nodes import Expression, Field, Not, Param, Sort, all_of, any_of
from resourcekit.testing.clock import ManualClock
from resourcekit.testing.conformance.harness import ConformanceSuite, Harness, conformance_test, key
from resourcekit.testing.conformance.samples import Shade, sample

__all__ = ["QuerySuite", "conditions"]

_NOON = datetime(2024, 2, 29, 12, tzinfo=UTC)

VALUES: dict[str, list[Any]] = {
    "id": ["0", "3", "7", "07", ""],
    "text": ["", "a", "A", "a ", "é", "e\u0301", "\U0001f600", "%", "_", "a%b"],
    "number": [-1, 0, 1, 2, 3],
    "amount": [-5, 0, 1, 2],
    "ratio": [-0.5, 0.0, 0.1, 2.5],
    "flag": [False, True],
    "price": [Decimal(-1), Decimal("0.10"), Decimal(2), Decimal(10)],
    "moment": [_NOON, _NOON + timedelta(microseconds=1), datetime(9999, 1, 1, tzinfo=UTC), datetime(1, 1, 1, tzinfo=UTC)],
    "shade": list(Shade),
    "status": ["open", "closed"],
}

ROWS: list[Row] = [
    sample(
        str(number),
        **{
            field: None if number % 5 == 4 and field in _NULLABLE else values[number * step % len(values)]
            for step, (field, values) in enumerate(VALUES.items(), 1)
            if field != "id"
        },
    )
    for _NULLABLE in [frozenset(VALUES) - {"id", "number", "status"}]
    for number in range(12)
]
"""Rows with most values of VALUES, and ``None``, in many combinations."""

_NUMBERS = ["number", "amount"]
_ORDERED = ["id", "text", "number", "amount", "ratio", "price", "moment"]
_COMPARISONS = ["__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__"]


def _compared(field: str) -> st.SearchStrategy[Expression]:
    operators = _COMPARISONS if field in _ORDERED else _COMPARISONS[:2]
    others = st.one_of(st.sampled_from(VALUES[field]), st.none() if field != "id" else st.just("0"), st.just(Field(field)))
    return st.builds(lambda name, other: getattr(Field(field), name)(other), st.sampled_from(operators), others)


def _numeric() -> st.SearchStrategy[Any]:
    leaf = st.one_of(st.sampled_from([Field(name) for name in _NUMBERS]), st.integers(-3, 3))
    field = st.sampled_from([Field(name) for name in _NUMBERS])
    return st.one_of(
        st.builds(lambda one, other: one + other, field, leaf),
        st.builds(lambda one, other: one - other, field, leaf),
        st.builds(lambda one, other: one * other, field, leaf),
        st.builds(coalesce, field, leaf),
        st.builds(greatest, field, leaf, field),
        st.builds(lambda one, other: case(one > 0, one, other), field, leaf),
    )


_like = st.builds(
    lambda field, pattern: Field(field).like(pattern),
    st.sampled_from(["id", "text"]),
    st.sampled_from(["", "%", "_", "a%", "%a", "A_", "\\%", "a\\%b", "%\\_%", "é", "_%_", "%%", "\U0001f600"]),
)
_leaves = st.one_of(
    st.sampled_from(sorted(VALUES)).flatmap(_compared),
    st.sampled_from(sorted(VALUES)).map(lambda field: Field(field).is_none()),
    st.sampled_from(sorted(VALUES)).flatmap(
        lambda field: st.lists(st.sampled_from(VALUES[field]), max_size=3).map(Field(field).in_)
    ),
    st.builds(lambda one, name, other: getattr(one, name)(other), _numeric(), st.sampled_from(_COMPARISONS), st.integers(-3, 3)),
    _like,
)


def conditions() -> st.SearchStrategy[Expression]:
    """Return a strategy for conditions over SAMPLE."""
    return st.recursive(
        _leaves,
        lambda parts: st.one_of(
            st.builds(Not, parts),
            st.lists(parts, min_size=2, max_size=3).map(lambda several: all_of(*several)),
            st.lists(parts, min_size=2, max_size=3).map(lambda several: any_of(*several)),
        ),
        max_leaves=6,
    )


def expected(rows: list[Row], condition: Expression | None, *order: Sort) -> list[Any]:
    """Return the keys of the rows that match, by the reference evaluation."""
    holds = None if condition is None else compile_expression(condition)
    found = [row for row in rows if holds is None or holds(row, {}, row)]
    for sort in reversed(order):
        by = compile_expression(sort.by)
        found.sort(key=lambda row, by=by: ((value := by(row, {}, row)) is not None, value), reverse=sort.descending)  # type: ignore[misc]
    return [row["id"] for row in found]


class QuerySuite(ConformanceSuite):
    """Tests of the rows that a layer finds."""

    def test_a_filter_means_the_same_as_in_python(self, harness: Harness) -> None:
        """Any condition, including ones with ``None``, finds the rows for which the reference evaluation is true."""
        harness.require(Capability.FILTER)
        harness.run(harness.add(*ROWS))

        @settings(
            max_examples=150,
            deadline=None,
            database=None,
            suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
        )
        @given(conditions())
        def check(condition: Expression) -> None:
            assert sorted(expected(ROWS, condition)) == harness.run(harness.keys(condition))
            assert len(expected(ROWS, condition)) == harness.run(harness.figure("count", condition))

        check()

    def test_an_order_means_the_same_as_in_python(self, harness: Harness) -> None:
        """Several sort keys, ascending and descending, sort ``None`` as the smallest value; limit and offset apply to that
        order.
        """
        harness.require(Capability.SORT, Capability.LIMIT, Capability.OFFSET)
        harness.run(harness.add(*ROWS))
        sorts = st.builds(lambda name, descending: Sort(Field(name), descending), st.sampled_from(_ORDERED), st.booleans())

        @settings(
            max_examples=60,
            deadline=None,
            database=None,
            suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
        )
        @given(st.lists(sorts, max_size=3), st.one_of(st.none(), st.integers(0, 14)), st.one_of(st.none(), st.integers(0, 14)))
        def check(order: list[Sort], limit: int | None, offset: int | None) -> None:
            whole = [*order, key.asc()]  # the primary key comes last, so that no two rows are equal
            first = offset or 0
            wanted = expected(ROWS, None, *whole)[first : None if limit is None else first + limit]
            assert wanted == harness.run(harness.keys(None, *whole, limit=limit, offset=offset))

        check()

    @conformance_test(Capability.FILTER)
    async def test_a_parameter_may_be_none(self, harness: Harness) -> None:
        """A plan compiled for any value finds ``None`` by ``==`` when it runs with ``None``."""
        from resourcekit.expressions.nodes import Compare, In

        await harness.add(sample("a", amount=1), sample("b"))
        plans = {op: harness.store.compile(Select(Compare(op, Field("amount"), Param("p0")))) for op in ("==", "!=", "<")}
        found = {
            (op, value): [row["id"] for row in await harness.store.select(plan, {"p0": value})]
            for op, plan in plans.items()
            for value in (None, 1, 2)
        }

        assert (["b"], ["a"], []) == tuple(found["==", value] for value in (None, 1, 2))
        assert (["a"], ["b"], ["a", "b"]) == tuple(sorted(found["!=", value]) for value in (None, 1, 2))
        assert ([], [], ["a"]) == tuple(found["<", value] for value in (None, 1, 2))
        among = harness.store.compile(Select(In(key, Param("keys"))))
        for keys in (["a", "x", "a"], [], ["b"]):
            assert sorted({*keys} - {"x"}) == [row["id"] for row in await harness.store.select(among, {"keys": keys})]

    @conformance_test(Capability.FILTER)
    async def test_a_plan_runs_many_times(self, harness: Harness) -> None:
        """One compiled plan returns the result of each run, and keeps nothing of the last one."""
        operation, _ = harness.selection(key == "a")
        plan = harness.store.compile(operation)
        await harness.add(sample("a"), sample("b"))
        for wanted in ("a", "b", "c", "a"):
            found = [row["id"] for row in await harness.store.select(plan, {"p0": wanted})]
            assert ([wanted] if wanted != "c" else []) == found

    @pytest.mark.parametrize(
        "text", ["'", '"', "\\", "%", ":p0", "%(p0)s", "?", "x' OR '1'='1", "a'; DROP TABLE law_sample; --", "${x}", "{0}"]
    )
    @conformance_test(Capability.FILTER)
    async def test_a_value_is_never_syntax(self, harness: Harness, text: str) -> None:
        """A text that looks like syntax is a value: in a key, a filter, a list, a pattern and an assignment."""
        await harness.add(sample("a", text="other"), sample(text, text=text))

        assert [text] == await harness.keys(key == text)
        assert [text] == await harness.keys(Field("text").in_([text, "none"]))
        assert [text] == await harness.keys(
            Field("text").like(text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_"))
        )
        await harness.change(key == text, text=text + text)
        assert [text] == await harness.keys(Field("text") == text + text)

    @conformance_test(Capability.FILTER)
    async def test_now_is_the_moment_of_the_run(self, harness: Harness) -> None:
        """``now()`` in a filter, and in an assignment, is the time of the current clock when the plan runs."""
        with ManualClock(_NOON, everywhere=True) as clock:
            await harness.add(
                sample("past", moment=_NOON - timedelta(seconds=1)), sample("soon", moment=_NOON + timedelta(hours=1))
            )
            assert ["past"] == await harness.keys(Field("moment") < now())
            clock.advance(hours=2)
            assert ["past", "soon"] == await harness.keys(Field("moment") < now())
            assert _NOON + timedelta(hours=2) == await harness.store.now()
            if harness.store.capabilities >= {Capability.ATOMIC_EXPR}:
                await harness.change(key == "past", moment=now())
                assert ["past"] == await harness.keys(Field("moment") == _NOON + timedelta(hours=2))

    @conformance_test(Capability.FILTER)
    async def test_a_moment_can_be_computed(self, harness: Harness) -> None:
        """A datetime plus a duration compares as in Python, to the microsecond."""
        await harness.add(sample("a", moment=_NOON), sample("b", moment=_NOON + timedelta(microseconds=1)), sample("c"))
        later = Field("moment") + timedelta(days=365, microseconds=5)

        assert ["b"] == await harness.keys(later > _NOON + timedelta(days=365, microseconds=5))
        assert ["a"] == await harness.keys(later == _NOON + timedelta(days=365, microseconds=5))

    @conformance_test(Capability.SORT, Capability.LIMIT, Capability.OFFSET)
    async def test_pages_are_disjoint_and_complete(self, harness: Harness) -> None:
        """Pages of an order in which no two rows are equal contain each row once."""
        await harness.add(*ROWS)
        order = (Field("status").asc(), Field("amount").desc(), key.desc())
        pages = [await harness.keys(None, *order, limit=5, offset=offset) for offset in (0, 5, 10, 15)]

        assert [5, 5, 2, 0] == [len(page) for page in pages]
        assert expected(ROWS, None, *order) == [each for page in pages for each in page]

    @conformance_test()
    async def test_a_selection_of_fields(self, harness: Harness) -> None:
        """Rows have only the requested fields; the condition may use any field."""
        await harness.add(sample("a", number=4, tags=["x"]), sample("b"))
        assert [{"tags": ["x"], "id": "a"}] == await harness.find(Field("number") == 4, fields=("tags", "id"))

    @conformance_test()
    async def test_a_stream_yields_the_rows_of_a_select(self, harness: Harness) -> None:
        """A stream yields the rows of a select in its order, and may be closed early."""
        await harness.add(*ROWS, *(sample(f"x{number}") for number in range(500)))
        operation, params = harness.selection(None, key.asc())
        plan = harness.store.compile(operation)
        streamed = [row async for row in harness.store.stream(plan, params)]
        left = harness.store.stream(plan, params)
        first = await anext(left)
        await left.aclose()  # type: ignore[attr-defined]  # an async generator, as the engine needs it

        assert await harness.find(None, key.asc()) == streamed
        assert streamed[0] == first
        assert 1 == (await harness.add(sample("after"))).count

    @conformance_test(Capability.AGGREGATE)
    async def test_figures(self, harness: Harness) -> None:
        """Exists, count, least, greatest and sum are computed over the matching rows; ``None`` is ignored."""
        prices = [Decimal("0.10"), Decimal("0.20"), None]
        await harness.add(
            *(
                sample(str(n), number=n, price=price, moment=price and _NOON, text=price and f"{n}")
                for n, price in enumerate(prices)
            )
        )
        figure = functools.partial(harness.figure, condition=Field("number") >= 0)

        assert (True, 3, 3) == (await figure("exists"), await figure("count"), await figure("sum", field="number"))
        assert (Decimal("0.10"), Decimal("0.20"), Decimal("0.30")) == tuple(
            [await figure(kind, field="price") for kind in ("min", "max", "sum")]
        )
        assert (_NOON, "0", "1") == (
            await figure("max", field="moment"),
            await figure("min", field="text"),
            await figure("max", field="text"),
        )
        assert isinstance(await figure("sum", field="number"), int)
        assert (1.0, Decimal("0.15")) == (await figure("avg", field="number"), await figure("avg", field="price"))
        assert isinstance(await figure("sum", field="price"), Decimal)

    @conformance_test(Capability.AGGREGATE)
    async def test_figures_of_nothing(self, harness: Harness) -> None:
        """Without matching rows, exists is false, count is 0, and least, greatest and sum are ``None``."""
        await harness.add(sample("a"))
        for condition in (Field("number") == 9, Field("number") == 0):
            assert (None, None, None) == tuple(
                [await harness.figure(kind, condition, "amount") for kind in ("min", "max", "sum")]
            )
        assert (False, 0) == (await harness.figure("exists", key == "b"), await harness.figure("count", key == "b"))
        assert (True, 1) == (await harness.figure("exists", key == "a"), await harness.figure("count", key == "a"))

    @conformance_test(Capability.GROUP)
    async def test_groups(self, harness: Harness) -> None:
        """A group is returned for each combination of values, ``None`` among them, with the figures of its rows."""
        await harness.add(
            sample("a", text="x", number=2**62),
            sample("b", text="x", number=2**62),
            sample("c", text=None, number=5),
            sample("d", text="X", number=0),
        )
        figures = {"n": Figure("count"), "total": Figure("sum", "number"), "mean": Figure("avg", "number")}
        found = await harness.groups(("text",), key != "d", **figures, least=Figure("min", "number"))

        assert [
            {"text": None, "n": 1, "total": 5, "mean": 5.0, "least": 5},
            {"text": "x", "n": 2, "total": 2**63, "mean": 2.0**62, "least": 2**62},
        ] == sorted(found, key=lambda group: group["n"])

    @conformance_test(Capability.DISTINCT)
    async def test_the_first_of_each(self, harness: Harness) -> None:
        """``distinct`` returns the first row by the order for each combination of values; limit and offset come after it."""
        await harness.add(
            *(sample(name, text=text, number=n) for n, (name, text) in enumerate(zip("abcde", "xyxy?", strict=True)))
        )
        order = (Field("number").desc(), Field("id").asc())
        store = harness.store

        for limit, expected in ((None, ["e", "d", "c"]), (1, ["d"])):
            operation = Select(Field("number") >= Param("least"), order, Param("limit"), Param("offset"), distinct=("text",))
            params = {"least": 0, "limit": limit, "offset": 0 if limit is None else 1}
            assert expected == [row["id"] for row in await store.select(store.compile(operation), params)]

    @conformance_test(Capability.DISTINCT)
    async def test_some_of_each(self, harness: Harness) -> None:
        """With ``each``, limit and offset count the rows of each combination of values, in the order."""
        await harness.add(
            *(sample(name, text=text, number=n) for n, (name, text) in enumerate(zip("abcdef", "xyxxyz", strict=True)))
        )
        store, order = harness.store, (Field("number").desc(), Field("id").asc())

        for limit, offset, expected in ((2, None, "fedcb"), (1, None, "fed"), (1, 1, "cb"), (None, 2, "a")):
            places = None if limit is None else Param("limit"), None if offset is None else Param("offset")
            operation = Select(Field("number") >= Param("least"), order, *places, each=("text",))
            params = {"least": 0, "limit": limit, "offset": offset}
            assert [*expected] == [row["id"] for row in await store.select(store.compile(operation), params)]
