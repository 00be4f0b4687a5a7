"""Conformance tests of inserts, updates and deletes: counts, outcomes, identities, partial success."""

from __future__ import annotations

import traceback

import pytest

from resourcekit.data_layers.base import Capability
from resourcekit.errors import NotNull, UniqueViolation
from resourcekit.expressions.functions import case, coalesce, greatest
from resourcekit.expressions.nodes import Field
from resourcekit.results import Outcome
from resourcekit.testing.conformance.harness import ConformanceSuite, Harness, conformance_test, key
from resourcekit.testing.conformance.samples import COMPOSITE, composite, sample

__all__ = ["WriteSuite"]

INSERTED, FAILED = Outcome.INSERTED, Outcome.FAILED


class WriteSuite(ConformanceSuite):
    """Tests of writes."""

    @conformance_test()
    async def test_what_was_inserted_is_found_by_its_key(self, harness: Harness) -> None:
        """After ``insert(r)``, ``select(key(r))`` is ``[r]``."""
        result = await harness.add(sample("a", number=5, code="c"))

        assert (1, (sample("a", number=5, code="c"),)) == (result.count, result.rows)
        assert ((INSERTED,), ()) == (result.outcomes, result.failures)
        assert [sample("a", number=5, code="c")] == await harness.find(key == "a")
        assert [] == await harness.find(key == "b")

    @conformance_test()
    async def test_fields_that_are_left_out_are_none(self, harness: Harness) -> None:
        """An insert of some fields stores ``None`` in the others."""
        await harness.add({"id": "a", "status": "open", "number": 0})
        assert sample("a") == await harness.row("a")

    @conformance_test()
    async def test_no_rows_are_no_work(self, harness: Harness) -> None:
        """An insert without rows writes nothing and is not an error."""
        result = await harness.add()
        assert (0, (), (), ()) == (result.count, result.rows, result.outcomes, result.failures)

    @conformance_test()
    async def test_an_existing_key_is_a_unique_violation(self, harness: Harness) -> None:
        """An insert never overwrites: the row fails with the name of the primary key, and the stored row is kept."""
        await harness.add(sample("a", number=1))
        result = await harness.add(sample("a", number=2))
        error = result.failures[0].error

        assert (0, (FAILED,), ()) == (result.count, result.outcomes, result.rows)
        assert isinstance(error, UniqueViolation)
        assert ("primary_key", ("id",)) == (error.identity, error.fields)
        assert sample("a", number=1) == await harness.row("a")

    @conformance_test()
    async def test_a_taken_identity_is_named(self, harness: Harness) -> None:
        """A row whose identity is taken fails with the name and the fields of that identity."""
        await harness.add(sample("a", code="x", owner="o", slot=1))
        result = await harness.add(sample("b", code="x"), sample("c", owner="o", slot=1), sample("d", owner="o", slot=2))
        named = [
            (error.identity, error.fields) for failure in result.failures if isinstance(error := failure.error, UniqueViolation)
        ]

        assert [("by_code", ("code",)), ("by_place", ("owner", "slot"))] == named
        assert ["a", "d"] == await harness.keys()

    @conformance_test()
    async def test_none_is_never_in_conflict(self, harness: Harness) -> None:
        """Rows with ``None`` in an identity do not conflict."""
        result = await harness.add(*(sample(each, owner="o") for each in "abc"))
        assert 3 == result.count

    @conformance_test()
    async def test_a_key_of_two_attributes(self, harness: Harness) -> None:
        """A composite primary key is compared as a whole."""
        pairs = await harness.sibling(COMPOSITE)
        await pairs.add(composite("t", 1, "x"), composite("t", 2), composite("u", 1))
        result = await pairs.add(composite("t", 2, "new"), composite("u", 2, "x"), composite("u", 3, "y"))
        named = [
            (error.identity, error.fields) for failure in result.failures if isinstance(error := failure.error, UniqueViolation)
        ]

        assert [("primary_key", ("tenant", "number")), ("by_note", ("note",))] == named
        assert [composite("u", 1)] == await pairs.find((Field("tenant") == "u") & (Field("number") == 1))
        assert 4 == await pairs.figure("count")

    @conformance_test()
    async def test_none_where_a_value_must_be(self, harness: Harness) -> None:
        """A row without a required value fails with NotNull, which names the field."""
        result = await harness.add(sample("a", number=None), sample("b", status=None))
        named = [error.field for failure in result.failures if isinstance(error := failure.error, NotNull)]

        assert ["number", "status"] == named
        assert [] == await harness.keys()

    @conformance_test()
    async def test_partial_success_is_told_row_by_row(self, harness: Harness) -> None:
        """The valid rows of an insert are written, the others are failures with their index; rows keep their order."""
        await harness.add(sample("taken"))
        rows = [sample("a"), sample("taken"), sample("b"), sample("c", number=None), sample("a"), sample("d")]
        result = await harness.add(*rows)

        assert 3 == result.count
        assert ["a", "b", "d"] == [row["id"] for row in result.rows]
        assert (INSERTED, FAILED, INSERTED, FAILED, FAILED, INSERTED) == result.outcomes
        assert [(1, UniqueViolation), (3, NotNull), (4, UniqueViolation)] == [
            (each.index, type(each.error)) for each in result.failures
        ]
        assert ["a", "b", "d", "taken"] == await harness.keys()

    @conformance_test()
    async def test_ten_thousand_rows_at_once(self, harness: Harness) -> None:
        """An insert of 10,000 rows is one call; if one row is taken, it has one failure."""
        await harness.add(sample("05000"))
        result = await harness.add(*(sample(f"{number:05}", number=number) for number in range(10_000)))

        assert (9_999, 10_000) == (result.count, len(result.outcomes))
        assert [5_000] == [failure.index for failure in result.failures]
        assert [f"{number:05}" for number in range(10_000) if number != 5_000] == [row["id"] for row in result.rows]
        assert 10_000 == await harness.figure("count")

    @conformance_test()
    async def test_rows_are_returned_where_asked_for_only(self, harness: Harness) -> None:
        """Without ``returning`` a result has a count and outcomes, and no rows."""
        result = await harness.add(sample("a"), returning=False)
        assert (1, (), (INSERTED,)) == (result.count, result.rows, result.outcomes)

    @conformance_test()
    async def test_errors_carry_no_values(self, harness: Harness) -> None:
        """Neither the text nor the cause of an error contains a value of a record."""
        secret = "secret-4711"  # noqa: S105  # a value to look for in texts
        await harness.add(sample(secret, code=secret))
        result = await harness.add(sample("b", code=secret), sample(secret), sample("c", number=None, code=secret))

        assert 3 == len(result.failures)
        for failure in result.failures:
            assert secret not in "".join(traceback.format_exception(failure.error)) + repr(failure.error)

    @conformance_test(Capability.UPDATE_WHERE)
    async def test_an_update_counts_the_rows_that_match(self, harness: Harness) -> None:
        """The count includes matching rows that had the value already."""
        await harness.add(sample("a", number=1), sample("b", number=1), sample("c", number=2))

        assert 2 == (await harness.change(Field("number") == 1, status="closed")).count
        assert 2 == (await harness.change(Field("number") == 1, status="closed")).count
        assert 0 == (await harness.change(Field("number") == 9, status="closed")).count
        assert 3 == (await harness.change(None, number=7)).count
        assert ["a", "b"] == await harness.keys(Field("status") == "closed")

    @conformance_test(Capability.UPDATE_WHERE, Capability.RETURNING)
    async def test_an_update_returns_rows_as_they_stand_now(self, harness: Harness) -> None:
        """With ``returning``, an update returns the rows after the change."""
        await harness.add(sample("a", number=1), sample("b", number=2))
        result = await harness.change(Field("number") == 1, returning=True, number=5, tags=["t"])
        assert (sample("a", number=5, tags=["t"]),) == result.rows

    @conformance_test(Capability.ATOMIC_EXPR)
    async def test_assignments_are_computed_from_the_row_as_it_was(self, harness: Harness) -> None:
        """Assignments are computed from the row before the update: two assignments can swap two fields."""
        await harness.add(sample("a", number=1, amount=2, slot=3))
        await harness.change(key == "a", number=Field("amount"), amount=Field("number"), slot=Field("number") + Field("amount"))
        assert sample("a", number=2, amount=1, slot=3) == await harness.row("a")

    @conformance_test(Capability.ATOMIC_EXPR)
    async def test_expressions_mean_the_same_in_an_update(self, harness: Harness) -> None:
        """Sums with ``None`` are ``None``; coalesce, greatest and case choose as in Python."""
        await harness.add(sample("a", number=4, amount=None, slot=7))
        await harness.change(
            key == "a",
            amount=coalesce(Field("amount"), Field("number")) * 3 - 1,
            number=greatest(Field("amount"), Field("number"), Field("slot")),
            slot=Field("slot") + Field("amount"),
            text=case(Field("number") > 3, "more", "less"),
        )
        assert sample("a", amount=11, number=7, slot=None, text="more") == await harness.row("a")

    @conformance_test(Capability.UPDATE_WHERE)
    async def test_an_update_into_a_taken_identity_changes_nothing(self, harness: Harness) -> None:
        """An update that would violate an identity raises UniqueViolation, and no row is changed."""
        await harness.add(sample("a", code="a"), sample("b", code="b"), sample("c", code="c"))
        with pytest.raises(UniqueViolation) as caught:
            await harness.change(key.in_(["b", "c"]), code="a", number=1)

        assert ("by_code", ("code",)) == (caught.value.identity, caught.value.fields)
        assert [("a", 0), ("b", 0), ("c", 0)] == [(row["code"], row["number"]) for row in await harness.find(None, key)]

    @conformance_test(Capability.UPDATE_WHERE)
    async def test_an_update_to_none_where_a_value_must_be(self, harness: Harness) -> None:
        """An update of a required attribute to ``None`` raises NotNull, and changes nothing."""
        await harness.add(sample("a", number=1), sample("b", number=2))
        with pytest.raises(NotNull) as caught:
            await harness.change(None, number=None, status="closed")

        assert "number" == caught.value.field
        assert ["a", "b"] == await harness.keys(Field("status") == "open")

    @conformance_test(Capability.ATOMIC_EXPR)
    async def test_a_sum_beyond_64_bits_is_refused(self, harness: Harness) -> None:
        """A whole number that leaves 64 bits raises an error, and is not converted to a similar number."""
        await harness.add(sample("a", amount=2**63 - 1))
        with pytest.raises(ValueError, match=r"amount|range|64|large"):
            await harness.change(key == "a", amount=Field("amount") + 1)
        assert sample("a", amount=2**63 - 1) == await harness.row("a")

    @conformance_test(Capability.DELETE_WHERE)
    async def test_a_delete_removes_what_matches(self, harness: Harness) -> None:
        """A delete counts the removed rows, returns them on request, and keeps the others; then the key is free."""
        await harness.add(*(sample(each, number=number, code=each) for number, each in enumerate("abcd")))
        result = await harness.remove(Field("number") == 1, returning=harness.store.capabilities >= {Capability.RETURNING})

        assert 1 == result.count
        if result.rows:
            assert (sample("b", number=1, code="b"),) == result.rows
        assert 2 == (await harness.remove(Field("number") > 1)).count
        assert 0 == (await harness.remove(Field("number") > 1)).count
        assert ["a"] == await harness.keys()
        assert 1 == (await harness.add(sample("b", code="c"))).count
        assert 2 == (await harness.remove()).count
