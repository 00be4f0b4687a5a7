"""Laws of reading: filters, orders, limits, fields, streams, figures. It knows the port and the reference semantics."""

from __future__ import annotations

import functools
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from resourcekit.data_layers.base import Capability, Row
from resourcekit.flow.evaluation import compile_expression
from resourcekit.flow.expression import Expression, Field, Not, Sort, all_of, any_of, case, coalesce, greatest, now
from resourcekit.testing.clock import ManualClock
from resourcekit.testing.laws.ledger import LawBook, Ledger, key, law
from resourcekit.testing.laws.samples import Shade, sample

__all__ = ["QueryLaws", "conditions"]

_MOMENT = datetime(2024, 2, 29, 12, tzinfo=UTC)

VALUES: dict[str, list[Any]] = {
    "id": ["0", "3", "7", "07", ""],
    "text": ["", "a", "A", "a ", "é", "e\u0301", "\U0001f600", "%", "_", "a%b"],
    "number": [-1, 0, 1, 2, 3],
    "amount": [-5, 0, 1, 2],
    "ratio": [-0.5, 0.0, 0.1, 2.5],
    "flag": [False, True],
    "price": [Decimal(-1), Decimal("0.10"), Decimal(2), Decimal(10)],
    "moment": [_MOMENT, _MOMENT + timedelta(microseconds=1), datetime(9999, 1, 1, tzinfo=UTC), datetime(1, 1, 1, tzinfo=UTC)],
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
"""Rows that have most values of VALUES, and ``None``, in many combinations."""

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
    """Build conditions over SAMPLE, as people may write them."""
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
    """Return the keys of rows that match, by the reference semantics."""
    holds = None if condition is None else compile_expression(condition)
    found = [row for row in rows if holds is None or holds(row, {}, row)]
    for sort in reversed(order):
        by = compile_expression(sort.by)
        found.sort(key=lambda row, by=by: ((value := by(row, {}, row)) is not None, value), reverse=sort.descending)  # type: ignore[misc]
    return [row["id"] for row in found]


class QueryLaws(LawBook):
    """What a layer finds."""

    def test_a_filter_means_the_same_as_in_python(self, ledger: Ledger) -> None:
        """Any condition, ``None`` included, finds the rows for which the reference evaluation is true."""
        ledger.require(Capability.FILTER)
        ledger.run(ledger.add(*ROWS))

        @settings(
            max_examples=150,
            deadline=None,
            database=None,
            suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
        )
        @given(conditions())
        def check(condition: Expression) -> None:
            assert sorted(expected(ROWS, condition)) == ledger.run(ledger.keys(condition))
            assert len(expected(ROWS, condition)) == ledger.run(ledger.figure("count", condition))

        check()

    def test_an_order_means_the_same_as_in_python(self, ledger: Ledger) -> None:
        """Several sort keys, each way, with ``None`` smallest; limit and offset cut that order."""
        ledger.require(Capability.SORT, Capability.LIMIT, Capability.OFFSET)
        ledger.run(ledger.add(*ROWS))
        sorts = st.builds(lambda name, descending: Sort(Field(name), descending), st.sampled_from(_ORDERED), st.booleans())

        @settings(
            max_examples=60,
            deadline=None,
            database=None,
            suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
        )
        @given(st.lists(sorts, max_size=3), st.one_of(st.none(), st.integers(0, 14)), st.one_of(st.none(), st.integers(0, 14)))
        def check(order: list[Sort], limit: int | None, offset: int | None) -> None:
            whole = [*order, key.asc()]  # the key last, so that no two rows are equal
            first = offset or 0
            wanted = expected(ROWS, None, *whole)[first : None if limit is None else first + limit]
            assert wanted == ledger.run(ledger.keys(None, *whole, limit=limit, offset=offset))

        check()

    @law(Capability.FILTER)
    async def test_a_parameter_may_be_none(self, ledger: Ledger) -> None:
        """A plan made for any value finds ``None`` by ``==`` when it runs with ``None``."""
        from resourcekit.data_layers.base import Select  # one law writes its plan by hand
        from resourcekit.flow.expression import Compare, In, Param

        await ledger.add(sample("a", amount=1), sample("b"))
        plans = {op: ledger.store.compile(Select(Compare(op, Field("amount"), Param("p0")))) for op in ("==", "!=", "<")}
        found = {
            (op, value): [row["id"] for row in await ledger.store.select(plan, {"p0": value})]
            for op, plan in plans.items()
            for value in (None, 1, 2)
        }

        assert (["b"], ["a"], []) == tuple(found["==", value] for value in (None, 1, 2))
        assert (["a"], ["b"], ["a", "b"]) == tuple(sorted(found["!=", value]) for value in (None, 1, 2))
        assert ([], [], ["a"]) == tuple(found["<", value] for value in (None, 1, 2))
        among = ledger.store.compile(Select(In(key, Param("keys"))))
        for keys in (["a", "x", "a"], [], ["b"]):
            assert sorted({*keys} - {"x"}) == [row["id"] for row in await ledger.store.select(among, {"keys": keys})]

    @law(Capability.FILTER)
    async def test_a_plan_runs_many_times(self, ledger: Ledger) -> None:
        """One compiled plan gives each run its own answer, and holds nothing of the last one."""
        operation, _ = ledger.selection(key == "a")
        plan = ledger.store.compile(operation)
        await ledger.add(sample("a"), sample("b"))
        for wanted in ("a", "b", "c", "a"):
            found = [row["id"] for row in await ledger.store.select(plan, {"p0": wanted})]
            assert ([wanted] if wanted != "c" else []) == found

    @pytest.mark.parametrize(
        "text", ["'", '"', "\\", "%", ":p0", "%(p0)s", "?", "x' OR '1'='1", "a'; DROP TABLE law_sample; --", "${x}", "{0}"]
    )
    @law(Capability.FILTER)
    async def test_a_value_is_never_syntax(self, ledger: Ledger, text: str) -> None:
        """What looks like syntax is a value: in a key, a filter, a list, a pattern and an assignment."""
        await ledger.add(sample("a", text="other"), sample(text, text=text))

        assert [text] == await ledger.keys(key == text)
        assert [text] == await ledger.keys(Field("text").in_([text, "none"]))
        assert [text] == await ledger.keys(Field("text").like(text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")))
        await ledger.change(key == text, text=text + text)
        assert [text] == await ledger.keys(Field("text") == text + text)

    @law(Capability.FILTER)
    async def test_now_is_the_moment_of_the_run(self, ledger: Ledger) -> None:
        """``now()`` in a filter, and in an assignment, is the time of the clock in force when the plan runs."""
        with ManualClock(_MOMENT, everywhere=True) as clock:
            await ledger.add(
                sample("past", moment=_MOMENT - timedelta(seconds=1)), sample("soon", moment=_MOMENT + timedelta(hours=1))
            )
            assert ["past"] == await ledger.keys(Field("moment") < now())
            clock.advance(hours=2)
            assert ["past", "soon"] == await ledger.keys(Field("moment") < now())
            assert _MOMENT + timedelta(hours=2) == await ledger.store.now()
            if ledger.store.capabilities >= {Capability.ATOMIC_EXPR}:
                await ledger.change(key == "past", moment=now())
                assert ["past"] == await ledger.keys(Field("moment") == _MOMENT + timedelta(hours=2))

    @law(Capability.FILTER)
    async def test_a_moment_can_be_computed(self, ledger: Ledger) -> None:
        """A datetime plus a duration compares as in Python, to the microsecond."""
        await ledger.add(sample("a", moment=_MOMENT), sample("b", moment=_MOMENT + timedelta(microseconds=1)), sample("c"))
        later = Field("moment") + timedelta(days=365, microseconds=5)

        assert ["b"] == await ledger.keys(later > _MOMENT + timedelta(days=365, microseconds=5))
        assert ["a"] == await ledger.keys(later == _MOMENT + timedelta(days=365, microseconds=5))

    @law(Capability.SORT, Capability.LIMIT, Capability.OFFSET)
    async def test_pages_are_disjoint_and_complete(self, ledger: Ledger) -> None:
        """Pages of an order in which no two rows are equal hold each row once."""
        await ledger.add(*ROWS)
        order = (Field("status").asc(), Field("amount").desc(), key.desc())
        pages = [await ledger.keys(None, *order, limit=5, offset=offset) for offset in (0, 5, 10, 15)]

        assert [5, 5, 2, 0] == [len(page) for page in pages]
        assert expected(ROWS, None, *order) == [each for page in pages for each in page]

    @law()
    async def test_a_selection_of_fields(self, ledger: Ledger) -> None:
        """Rows hold the fields that were asked for, and no others; the condition may use any."""
        await ledger.add(sample("a", number=4, tags=["x"]), sample("b"))
        assert [{"tags": ["x"], "id": "a"}] == await ledger.find(Field("number") == 4, fields=("tags", "id"))

    @law()
    async def test_a_stream_yields_the_rows_of_a_select(self, ledger: Ledger) -> None:
        """A stream gives the rows of a select in its order, and may be left early."""
        await ledger.add(*ROWS, *(sample(f"x{number}") for number in range(500)))
        operation, params = ledger.selection(None, key.asc())
        plan = ledger.store.compile(operation)
        streamed = [row async for row in ledger.store.stream(plan, params)]
        left = ledger.store.stream(plan, params)
        first = await anext(left)
        await left.aclose()  # type: ignore[attr-defined]  # an async generator, as the engine needs it

        assert await ledger.find(None, key.asc()) == streamed
        assert streamed[0] == first
        assert 1 == (await ledger.add(sample("after"))).count

    @law(Capability.AGGREGATE)
    async def test_figures(self, ledger: Ledger) -> None:
        """Exists, count, least, greatest and sum, over what matches; ``None`` is passed over."""
        prices = [Decimal("0.10"), Decimal("0.20"), None]
        await ledger.add(
            *(
                sample(str(n), number=n, price=price, moment=price and _MOMENT, text=price and f"{n}")
                for n, price in enumerate(prices)
            )
        )
        figure = functools.partial(ledger.figure, condition=Field("number") >= 0)

        assert (True, 3, 3) == (await figure("exists"), await figure("count"), await figure("sum", field="number"))
        assert (Decimal("0.10"), Decimal("0.20"), Decimal("0.30")) == tuple(
            [await figure(kind, field="price") for kind in ("min", "max", "sum")]
        )
        assert (_MOMENT, "0", "1") == (
            await figure("max", field="moment"),
            await figure("min", field="text"),
            await figure("max", field="text"),
        )
        assert isinstance(await figure("sum", field="number"), int)
        assert isinstance(await figure("sum", field="price"), Decimal)

    @law(Capability.AGGREGATE)
    async def test_figures_of_nothing(self, ledger: Ledger) -> None:
        """Of nothing, nothing exists, the count is 0, and least, greatest and sum are ``None``."""
        await ledger.add(sample("a"))
        for condition in (Field("number") == 9, Field("number") == 0):
            assert (None, None, None) == tuple([await ledger.figure(kind, condition, "amount") for kind in ("min", "max", "sum")])
        assert (False, 0) == (await ledger.figure("exists", key == "b"), await ledger.figure("count", key == "b"))
        assert (True, 1) == (await ledger.figure("exists", key == "a"), await ledger.figure("count", key == "a"))
