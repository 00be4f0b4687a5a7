"""Conformance tests of upserts: skip, update, conditions, expressions over both rows."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from resourcekit.data_layers.base import Capability, OnConflict
from resourcekit.errors import NotNull, UniqueViolation
from resourcekit.expressions.functions import case, coalesce, existing, greatest, incoming
from resourcekit.expressions.nodes import Param
from resourcekit.results import Outcome
from resourcekit.testing.conformance.harness import ConformanceSuite, Harness, conformance_test
from resourcekit.testing.conformance.samples import COMPOSITE, TEXTS, composite, sample

__all__ = ["ConflictSuite"]

INSERTED, UPDATED, SKIPPED, FAILED = Outcome.INSERTED, Outcome.UPDATED, Outcome.SKIPPED, Outcome.FAILED

_SKIP = OnConflict(("id",), "skip")
_EARLY, _LATE = datetime(2024, 1, 1, tzinfo=UTC), datetime(2025, 1, 1, tzinfo=UTC)


def _taking(*fields: str, target: tuple[str, ...] = ("id",), where: Any = None) -> OnConflict:
    """Return an upsert that takes fields from the incoming row."""
    return OnConflict(target, set={field: incoming(field) for field in fields}, where=where)


class ConflictSuite(ConformanceSuite):
    """Tests of a layer with rows that exist already."""

    @conformance_test(Capability.UPSERT)
    async def test_a_new_row_is_inserted(self, harness: Harness) -> None:
        """Without a conflict, an upsert is an insert."""
        result = await harness.add(sample("a", number=1), on_conflict=_taking("number"))

        assert (1, (INSERTED,), (sample("a", number=1),)) == (result.count, result.outcomes, result.rows)
        assert sample("a", number=1) == await harness.row("a")

    @conformance_test(Capability.UPSERT)
    async def test_an_existing_row_is_updated(self, harness: Harness) -> None:
        """With a conflict, only the fields of ``set`` change; the result is the row after the update."""
        await harness.add(sample("a", number=1, text="old", tags=["x"]))
        result = await harness.add(sample("a", number=2, text="new", tags=["y"]), on_conflict=_taking("number", "tags"))

        assert (1, (UPDATED,)) == (result.count, result.outcomes)
        assert (sample("a", number=2, text="old", tags=["y"]),) == result.rows
        assert sample("a", number=2, text="old", tags=["y"]) == await harness.row("a")

    @conformance_test(Capability.UPSERT)
    async def test_an_upsert_is_idempotent(self, harness: Harness) -> None:
        """The same upsert a second time changes nothing, and is reported as an update."""
        row = sample("a", number=1, code="c", moment=_EARLY)
        for outcome in (INSERTED, UPDATED, UPDATED):
            result = await harness.add(row, on_conflict=_taking("number", "moment"))
            assert (1, (outcome,), (row,)) == (result.count, result.outcomes, result.rows)
        assert [row] == await harness.find()

    @conformance_test(Capability.UPSERT)
    async def test_skip_leaves_the_row(self, harness: Harness) -> None:
        """``skip`` changes nothing; a skipped row neither counts nor is returned."""
        await harness.add(sample("a", number=1))
        result = await harness.add(sample("a", number=2), sample("b"), on_conflict=_SKIP)

        assert (1, (SKIPPED, INSERTED), (sample("b"),), ()) == (result.count, result.outcomes, result.rows, result.failures)
        assert sample("a", number=1) == await harness.row("a")

    @conformance_test(Capability.UPSERT_WHERE)
    async def test_a_condition_that_does_not_hold_skips(self, harness: Harness) -> None:
        """If ``where`` is false, nothing changes and the outcome is "skipped"."""
        newer = _taking("number", "moment", where=existing("moment") < incoming("moment"))
        await harness.add(sample("a", number=1, moment=_LATE), sample("b", number=1, moment=_EARLY), sample("c", number=1))
        result = await harness.add(
            *(sample(each, number=2, moment=_EARLY if each == "a" else _LATE) for each in "abcd"), on_conflict=newer
        )

        assert (SKIPPED, UPDATED, SKIPPED, INSERTED) == result.outcomes
        assert (2, ["b", "d"]) == (result.count, [row["id"] for row in result.rows])
        assert [("a", 1), ("b", 2), ("c", 1), ("d", 2)] == sorted((row["id"], row["number"]) for row in await harness.find())

    @conformance_test(Capability.UPSERT_WHERE)
    async def test_of_two_ways_to_consume_the_second_loses(self, harness: Harness) -> None:
        """Of two upserts that set an unset value, the first succeeds and the second is skipped, even if the first inserted
        the row.
        """
        consume = _taking("moment", where=existing("moment").is_none())
        await harness.add(sample("known"))
        for key in ("known", "unknown"):
            first = await harness.add(sample(key, moment=_EARLY), on_conflict=consume)
            second = await harness.add(sample(key, moment=_LATE), on_conflict=consume)
            row = await harness.row(key)

            assert ((1,), (SKIPPED,)) == ((first.count,), second.outcomes)
            assert row is not None
            assert _EARLY == row["moment"]

    @conformance_test(Capability.UPSERT)
    async def test_expressions_see_both_rows_and_parameters(self, harness: Harness) -> None:
        """``set`` is computed from the stored row before the update, the incoming row, and parameters."""
        grow = OnConflict(
            ("id",),
            set={
                "number": existing("number") + incoming("number") + Param("more"),
                "amount": existing("number"),
                "moment": greatest(existing("moment"), incoming("moment")),
                "text": coalesce(existing("text"), incoming("text"), Param("word")),
                "status": case(existing("number") > incoming("number"), existing("status"), Param("status")),
            },
        )
        params = {"more": 100, "word": "given", "status": "closed"}
        await harness.add(sample("a", number=1, moment=_LATE), sample("b", number=9, text="kept"))
        await harness.add(
            sample("a", number=10, moment=_EARLY),
            sample("b", number=2, moment=_EARLY, text="not"),
            on_conflict=grow,
            params=params,
        )

        assert sample("a", number=111, amount=1, moment=_LATE, text="given", status="closed") == await harness.row("a")
        assert sample("b", number=111, amount=9, moment=_EARLY, text="kept", status="open") == await harness.row("b")

    @conformance_test(Capability.UPSERT)
    async def test_the_target_may_be_an_identity(self, harness: Harness) -> None:
        """An upsert by an identity updates the row that has it and keeps its key; ``None`` never conflicts."""
        by_code = _taking("number", target=("code",))
        by_place = _taking("number", target=("owner", "slot"))
        await harness.add(sample("a", code="x", owner="o", slot=1))

        assert (UPDATED,) == (await harness.add(sample("b", code="x", number=1), on_conflict=by_code)).outcomes
        assert (INSERTED,) == (await harness.add(sample("b", number=2), on_conflict=by_code)).outcomes
        assert (UPDATED,) == (await harness.add(sample("c", owner="o", slot=1, number=3), on_conflict=by_place)).outcomes
        assert (INSERTED,) == (await harness.add(sample("c", owner="o", number=4), on_conflict=by_place)).outcomes
        assert [("a", 3), ("b", 2), ("c", 4)] == sorted((row["id"], row["number"]) for row in await harness.find())

    @conformance_test(Capability.UPSERT)
    async def test_a_composite_key_is_a_target(self, harness: Harness) -> None:
        """A primary key of two attributes is matched as a whole, independent of the order in the target."""
        pairs = await harness.sibling(COMPOSITE)
        upsert = OnConflict(("number", "tenant"), set={"note": incoming("note")})
        await pairs.add(composite("t", 1, "a"), composite("t", 2, "b"))
        result = await pairs.add(composite("t", 1, "c"), composite("u", 1, "d"), on_conflict=upsert)

        assert (UPDATED, INSERTED) == result.outcomes
        assert [("t", 1, "c"), ("t", 2, "b"), ("u", 1, "d")] == sorted(tuple(row.values()) for row in await pairs.find())

    @conformance_test(Capability.UPSERT)
    async def test_another_identity_than_the_target_is_still_a_violation(self, harness: Harness) -> None:
        """A new or updated row that takes another row's identity fails; the other rows are written."""
        await harness.add(sample("a", code="x"), sample("b", code="y"))
        new = await harness.add(sample("c", code="x"), sample("d"), on_conflict=_taking("number"))
        changed = await harness.add(sample("b", code="x", number=1), on_conflict=_taking("code", "number"))

        for result in (new, changed):
            error = result.failures[0].error
            assert isinstance(error, UniqueViolation)
            assert ("by_code", ("code",)) == (error.identity, error.fields)
        assert ((FAILED, INSERTED), (FAILED,)) == (new.outcomes, changed.outcomes)
        assert [("a", "x", 0), ("b", "y", 0), ("d", None, 0)] == sorted(
            (row["id"], row["code"], row["number"]) for row in await harness.find()
        )

    @conformance_test(Capability.UPSERT)
    async def test_the_target_decides_before_other_identities(self, harness: Harness) -> None:
        """A row that conflicts with its target is updated only by ``set``, even if its other values are taken by other rows."""
        await harness.add(sample("a", code="x"), sample("b", code="y"))
        updated = await harness.add(sample("b", code="x", number=1), on_conflict=_taking("number"))
        skipped = await harness.add(sample("b", code="x", number=2), on_conflict=_SKIP)

        assert ((UPDATED,), (SKIPPED,)) == (updated.outcomes, skipped.outcomes)
        assert sample("b", code="y", number=1) == await harness.row("b")

    @conformance_test(Capability.UPSERT)
    async def test_rows_of_one_call_meet_each_other(self, harness: Harness) -> None:
        """The rows of one upsert are written in order: a later one conflicts with an earlier one."""
        adding = OnConflict(("id",), set={"number": existing("number") + incoming("number")})
        result = await harness.add(*(sample(each, number=1) for each in "abaac"), on_conflict=adding)

        assert (INSERTED, INSERTED, UPDATED, UPDATED, INSERTED) == result.outcomes
        assert (5, ()) == (result.count, result.failures)
        assert [("a", 3), ("b", 1), ("c", 1)] == sorted((row["id"], row["number"]) for row in await harness.find())

    @conformance_test(Capability.UPSERT)
    async def test_an_upsert_to_none_where_a_value_must_be(self, harness: Harness) -> None:
        """A row fails if ``set`` computes ``None`` for an attribute that must have a value."""
        broken = OnConflict(("id",), set={"number": existing("amount")})
        await harness.add(sample("a", number=1))
        result = await harness.add(sample("a"), sample("b"), on_conflict=broken)

        assert (FAILED, INSERTED) == result.outcomes
        assert isinstance(result.failures[0].error, NotNull)
        assert sample("a", number=1) == await harness.row("a")

    @pytest.mark.parametrize("field", ["id", "code"])
    @conformance_test(Capability.UPSERT)
    async def test_texts_that_look_alike_never_meet(self, harness: Harness, field: str) -> None:
        """Upserts with keys that differ in case, accent, width, normal form or a trailing space write one row each."""
        target = OnConflict((field,), set={"number": existing("number") + incoming("number")})
        rows = [sample(text, code=text, number=1) for text in TEXTS]
        first = await harness.add(*rows, on_conflict=target)
        second = await harness.add(*rows, on_conflict=target)

        assert ({INSERTED}, {UPDATED}) == (set(first.outcomes), set(second.outcomes))
        assert [(text, 2) for text in sorted(TEXTS)] == sorted((row["id"], row["number"]) for row in await harness.find())

    @conformance_test(Capability.UPSERT)
    async def test_ten_thousand_upserts_at_once(self, harness: Harness) -> None:
        """A bulk upsert reports the outcome of each row."""
        await harness.add(*(sample(f"{number:05}") for number in range(0, 10_000, 2)))
        result = await harness.add(
            *(sample(f"{number:05}", number=1) for number in range(10_000)), on_conflict=_taking("number"), returning=False
        )

        assert 10_000 == result.count
        assert (UPDATED, INSERTED) * 5_000 == result.outcomes
        assert 10_000 == await harness.figure("sum", None, "number")
