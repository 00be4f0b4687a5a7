"""Laws of inserts, updates and deletes: counts, outcomes, identities, partial success. It knows the port only."""

from __future__ import annotations

import traceback

import pytest

from resourcekit.data_layers.base import Capability
from resourcekit.errors import NotNull, UniqueViolation
from resourcekit.flow.expression import Field, case, coalesce, greatest
from resourcekit.flow.result import Outcome
from resourcekit.testing.laws.ledger import LawBook, Ledger, key, law
from resourcekit.testing.laws.samples import COMPOSITE, composite, sample

__all__ = ["WriteLaws"]

INSERTED, FAILED = Outcome.INSERTED, Outcome.FAILED


class WriteLaws(LawBook):
    """What a layer does when it writes."""

    @law()
    async def test_what_was_inserted_is_found_by_its_key(self, ledger: Ledger) -> None:
        """After ``insert(r)``, ``select(key(r))`` is ``[r]``."""
        result = await ledger.add(sample("a", number=5, code="c"))

        assert (1, (sample("a", number=5, code="c"),)) == (result.count, result.rows)
        assert ((INSERTED,), ()) == (result.outcomes, result.failures)
        assert [sample("a", number=5, code="c")] == await ledger.find(key == "a")
        assert [] == await ledger.find(key == "b")

    @law()
    async def test_fields_that_are_left_out_are_none(self, ledger: Ledger) -> None:
        """An insert of some fields leaves the others ``None``."""
        await ledger.add({"id": "a", "status": "open", "number": 0})
        assert sample("a") == await ledger.row("a")

    @law()
    async def test_no_rows_are_no_work(self, ledger: Ledger) -> None:
        """An insert of nothing writes nothing and is no error."""
        result = await ledger.add()
        assert (0, (), (), ()) == (result.count, result.rows, result.outcomes, result.failures)

    @law()
    async def test_an_existing_key_is_a_unique_violation(self, ledger: Ledger) -> None:
        """An insert never overwrites: the row fails with the primary key's name, and the stored row stays."""
        await ledger.add(sample("a", number=1))
        result = await ledger.add(sample("a", number=2))
        error = result.failures[0].error

        assert (0, (FAILED,), ()) == (result.count, result.outcomes, result.rows)
        assert isinstance(error, UniqueViolation)
        assert ("primary_key", ("id",)) == (error.identity, error.fields)
        assert sample("a", number=1) == await ledger.row("a")

    @law()
    async def test_a_taken_identity_is_named(self, ledger: Ledger) -> None:
        """A row whose identity is taken fails with the name and the fields of that identity."""
        await ledger.add(sample("a", code="x", owner="o", slot=1))
        result = await ledger.add(sample("b", code="x"), sample("c", owner="o", slot=1), sample("d", owner="o", slot=2))
        named = [
            (error.identity, error.fields) for failure in result.failures if isinstance(error := failure.error, UniqueViolation)
        ]

        assert [("by_code", ("code",)), ("by_place", ("owner", "slot"))] == named
        assert ["a", "d"] == await ledger.keys()

    @law()
    async def test_none_is_never_in_conflict(self, ledger: Ledger) -> None:
        """Rows with ``None`` in an identity do not collide with one another."""
        result = await ledger.add(*(sample(each, owner="o") for each in "abc"))
        assert 3 == result.count

    @law()
    async def test_a_key_of_two_attributes(self, ledger: Ledger) -> None:
        """A composite key is taken as a whole."""
        pairs = await ledger.sibling(COMPOSITE)
        await pairs.add(composite("t", 1, "x"), composite("t", 2), composite("u", 1))
        result = await pairs.add(composite("t", 2, "new"), composite("u", 2, "x"), composite("u", 3, "y"))
        named = [
            (error.identity, error.fields) for failure in result.failures if isinstance(error := failure.error, UniqueViolation)
        ]

        assert [("primary_key", ("tenant", "number")), ("by_note", ("note",))] == named
        assert [composite("u", 1)] == await pairs.find((Field("tenant") == "u") & (Field("number") == 1))
        assert 4 == await pairs.figure("count")

    @law()
    async def test_none_where_a_value_must_be(self, ledger: Ledger) -> None:
        """A row without a value that must be there fails with NotNull, which names the field."""
        result = await ledger.add(sample("a", number=None), sample("b", status=None))
        named = [error.field for failure in result.failures if isinstance(error := failure.error, NotNull)]

        assert ["number", "status"] == named
        assert [] == await ledger.keys()

    @law()
    async def test_partial_success_is_told_row_by_row(self, ledger: Ledger) -> None:
        """The good rows of an insert are written, the bad ones are failures with their index; rows keep their order."""
        await ledger.add(sample("taken"))
        rows = [sample("a"), sample("taken"), sample("b"), sample("c", number=None), sample("a"), sample("d")]
        result = await ledger.add(*rows)

        assert 3 == result.count
        assert ["a", "b", "d"] == [row["id"] for row in result.rows]
        assert (INSERTED, FAILED, INSERTED, FAILED, FAILED, INSERTED) == result.outcomes
        assert [(1, UniqueViolation), (3, NotNull), (4, UniqueViolation)] == [
            (each.index, type(each.error)) for each in result.failures
        ]
        assert ["a", "b", "d", "taken"] == await ledger.keys()

    @law()
    async def test_ten_thousand_rows_at_once(self, ledger: Ledger) -> None:
        """An insert of 10,000 rows is one call, with one failure where one row is taken."""
        await ledger.add(sample("05000"))
        result = await ledger.add(*(sample(f"{number:05}", number=number) for number in range(10_000)))

        assert (9_999, 10_000) == (result.count, len(result.outcomes))
        assert [5_000] == [failure.index for failure in result.failures]
        assert [f"{number:05}" for number in range(10_000) if number != 5_000] == [row["id"] for row in result.rows]
        assert 10_000 == await ledger.figure("count")

    @law()
    async def test_rows_are_returned_where_asked_for_only(self, ledger: Ledger) -> None:
        """Without ``returning`` a result has a count and outcomes, and no rows."""
        result = await ledger.add(sample("a"), returning=False)
        assert (1, (), (INSERTED,)) == (result.count, result.rows, result.outcomes)

    @law()
    async def test_errors_carry_no_values(self, ledger: Ledger) -> None:
        """Neither the text of an error nor what it was caused by shows a value of a record."""
        secret = "hush-4711"  # noqa: S105  # a value to look for in texts
        await ledger.add(sample(secret, code=secret))
        result = await ledger.add(sample("b", code=secret), sample(secret), sample("c", number=None, code=secret))

        assert 3 == len(result.failures)
        for failure in result.failures:
            assert secret not in "".join(traceback.format_exception(failure.error)) + repr(failure.error)

    @law(Capability.UPDATE_WHERE)
    async def test_an_update_counts_the_rows_that_match(self, ledger: Ledger) -> None:
        """The count is that of rows that match, also where they had the value already."""
        await ledger.add(sample("a", number=1), sample("b", number=1), sample("c", number=2))

        assert 2 == (await ledger.change(Field("number") == 1, status="closed")).count
        assert 2 == (await ledger.change(Field("number") == 1, status="closed")).count
        assert 0 == (await ledger.change(Field("number") == 9, status="closed")).count
        assert 3 == (await ledger.change(None, number=7)).count
        assert ["a", "b"] == await ledger.keys(Field("status") == "closed")

    @law(Capability.UPDATE_WHERE, Capability.RETURNING)
    async def test_an_update_returns_rows_as_they_stand_now(self, ledger: Ledger) -> None:
        """With ``returning``, an update gives the rows after the change."""
        await ledger.add(sample("a", number=1), sample("b", number=2))
        result = await ledger.change(Field("number") == 1, returning=True, number=5, tags=["t"])
        assert (sample("a", number=5, tags=["t"]),) == result.rows

    @law(Capability.ATOMIC_EXPR)
    async def test_assignments_are_computed_from_the_row_as_it_was(self, ledger: Ledger) -> None:
        """Two assignments that swap two fields swap them."""
        await ledger.add(sample("a", number=1, amount=2, slot=3))
        await ledger.change(key == "a", number=Field("amount"), amount=Field("number"), slot=Field("number") + Field("amount"))
        assert sample("a", number=2, amount=1, slot=3) == await ledger.row("a")

    @law(Capability.ATOMIC_EXPR)
    async def test_expressions_mean_the_same_in_an_update(self, ledger: Ledger) -> None:
        """Sums with ``None`` are ``None``; coalesce, greatest and case choose as in Python."""
        await ledger.add(sample("a", number=4, amount=None, slot=7))
        await ledger.change(
            key == "a",
            amount=coalesce(Field("amount"), Field("number")) * 3 - 1,
            number=greatest(Field("amount"), Field("number"), Field("slot")),
            slot=Field("slot") + Field("amount"),
            text=case(Field("number") > 3, "more", "less"),
        )
        assert sample("a", amount=11, number=7, slot=None, text="more") == await ledger.row("a")

    @law(Capability.UPDATE_WHERE)
    async def test_an_update_into_a_taken_identity_changes_nothing(self, ledger: Ledger) -> None:
        """An update that would break an identity raises UniqueViolation, and no row is changed."""
        await ledger.add(sample("a", code="a"), sample("b", code="b"), sample("c", code="c"))
        with pytest.raises(UniqueViolation) as caught:
            await ledger.change(key.in_(["b", "c"]), code="a", number=1)

        assert ("by_code", ("code",)) == (caught.value.identity, caught.value.fields)
        assert [("a", 0), ("b", 0), ("c", 0)] == [(row["code"], row["number"]) for row in await ledger.find(None, key)]

    @law(Capability.UPDATE_WHERE)
    async def test_an_update_to_none_where_a_value_must_be(self, ledger: Ledger) -> None:
        """An update to ``None`` of what must have a value raises NotNull, and changes nothing."""
        await ledger.add(sample("a", number=1), sample("b", number=2))
        with pytest.raises(NotNull) as caught:
            await ledger.change(None, number=None, status="closed")

        assert "number" == caught.value.field
        assert ["a", "b"] == await ledger.keys(Field("status") == "open")

    @law(Capability.ATOMIC_EXPR)
    async def test_a_sum_beyond_64_bits_is_refused(self, ledger: Ledger) -> None:
        """A whole number that grows out of 64 bits raises an error, and does not turn into something near it."""
        await ledger.add(sample("a", amount=2**63 - 1))
        with pytest.raises(ValueError, match=r"amount|range|64|large"):
            await ledger.change(key == "a", amount=Field("amount") + 1)
        assert sample("a", amount=2**63 - 1) == await ledger.row("a")

    @law(Capability.DELETE_WHERE)
    async def test_a_delete_removes_what_matches(self, ledger: Ledger) -> None:
        """A delete counts what it removed, returns it where asked for, and leaves the rest; then the key is free."""
        await ledger.add(*(sample(each, number=number, code=each) for number, each in enumerate("abcd")))
        result = await ledger.remove(Field("number") == 1, returning=ledger.store.capabilities >= {Capability.RETURNING})

        assert 1 == result.count
        if result.rows:
            assert (sample("b", number=1, code="b"),) == result.rows
        assert 2 == (await ledger.remove(Field("number") > 1)).count
        assert 0 == (await ledger.remove(Field("number") > 1)).count
        assert ["a"] == await ledger.keys()
        assert 1 == (await ledger.add(sample("b", code="c"))).count
        assert 2 == (await ledger.remove()).count
