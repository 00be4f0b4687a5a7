"""Conformance tests of leases, names and storage."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from resourcekit.data_layers.base import Capability, OnConflict
from resourcekit.dsl.diagnostics import Finding
from resourcekit.errors import DeclarationError
from resourcekit.expressions.functions import incoming
from resourcekit.expressions.nodes import Field
from resourcekit.testing.clock import ManualClock
from resourcekit.testing.conformance.harness import ConformanceSuite, Harness, conformance_test, key
from resourcekit.testing.conformance.samples import WORDS, attribute, resource, sample

__all__ = ["UpkeepSuite"]

_TTL = timedelta(minutes=5)


class UpkeepSuite(ConformanceSuite):
    """Tests of the operations of a layer besides those on rows."""

    @conformance_test(Capability.LEASE)
    async def test_a_lease_has_one_holder(self, harness: Harness) -> None:
        """While a lease is held no other caller gets it. Other names are free, and so is this one after its release."""
        async with harness.store.lease("one holder", _TTL) as first:
            async with harness.store.lease("one holder", _TTL) as second, harness.store.lease("another name", _TTL) as other:
                pass
            async with harness.store.lease("one holder", _TTL) as third:
                pass
        async with harness.store.lease("one holder", _TTL) as afterwards:
            pass
        assert (True, False, True, False, True) == (first, second, other, third, afterwards)

    @conformance_test(Capability.LEASE)
    async def test_of_many_who_want_a_lease_one_gets_it(self, harness: Harness) -> None:
        """Of ten concurrent callers, one holds the lease until it is released."""
        leases = [harness.store.lease("many", _TTL) for _ in range(10)]
        held = await harness.together([lease.__aenter__ for lease in leases])
        for lease in leases:
            await lease.__aexit__(None, None, None)
        assert [False] * 9 + [True] == sorted(map(bool, held))

    @conformance_test(Capability.LEASE)
    async def test_a_lease_is_lost_after_its_time(self, harness: Harness) -> None:
        """A holder that does not return loses the lease after ``ttl``, and cannot release that of the next holder."""
        with ManualClock(datetime(2030, 1, 1, tzinfo=UTC), everywhere=True) as clock:
            dead = harness.store.lease("lost", _TTL)
            got = [await dead.__aenter__()]
            clock.advance(minutes=4, seconds=59)
            async with harness.store.lease("lost", _TTL) as early:
                got.append(early)
            clock.advance(seconds=2)
            async with harness.store.lease("lost", _TTL) as next_one:
                got.append(next_one)
                await dead.__aexit__(None, None, None)
                async with harness.store.lease("lost", _TTL) as another:
                    got.append(another)
        assert [True, False, True, False] == got

    @conformance_test(Capability.LEASE)
    async def test_a_lease_is_given_back_after_an_error(self, harness: Harness) -> None:
        """An error in the block is passed on, and the lease is free."""
        with pytest.raises(KeyError):
            async with harness.store.lease("error", _TTL):
                raise KeyError
        async with harness.store.lease("error", _TTL) as held:
            assert held

    @conformance_test(Capability.LEASE)
    async def test_a_lease_that_is_kept_outlives_its_block(self, harness: Harness) -> None:
        """A lease that is kept is held for its new time from that moment; other callers learn when it is free again."""
        start = datetime(2030, 1, 1, tzinfo=UTC)
        with ManualClock(start, everywhere=True) as clock:
            lease = harness.store.lease("kept", _TTL)
            async with lease as held:
                clock.advance(minutes=1)
                kept = await lease.keep(timedelta(hours=12))
            early, late = harness.store.lease("kept", _TTL), harness.store.lease("kept", _TTL)
            clock.advance(hours=11, minutes=59)
            async with early as too_early:
                pass
            clock.advance(minutes=1)
            async with late as in_time:
                pass
        assert (True, True, False, True) == (held, kept, too_early, in_time)
        assert start + timedelta(hours=12, minutes=1) == early.until == lease.until

    @conformance_test(Capability.LEASE)
    async def test_a_lease_that_was_lost_cannot_be_kept(self, harness: Harness) -> None:
        """A holder whose time is over does not take the lease from the next holder."""
        with ManualClock(datetime(2030, 1, 1, tzinfo=UTC), everywhere=True) as clock:
            slept = harness.store.lease("slept", _TTL)
            await slept.__aenter__()
            clock.advance(minutes=6)
            alone = await slept.keep(_TTL)
            async with harness.store.lease("slept", _TTL) as held:
                beside_another = await slept.keep(_TTL)
                await slept.__aexit__(None, None, None)
                async with harness.store.lease("slept", _TTL) as third:
                    pass
        assert (False, True, False, False) == (alone, held, beside_another, third)

    @conformance_test()
    async def test_names_are_never_syntax(self, harness: Harness) -> None:
        """Resources, attributes, identities and indexes may have names that are keywords or syntax of a store."""
        words = await harness.sibling(WORDS)
        row = {
            **dict.fromkeys(WORDS.attributes),
            "select": "a",
            "order": "1",
            "group": "2",
            "table": "t",
            "limit": "l",
            "größe": 5,
        }
        other = {**row, "select": "b", "order": "2"}
        result = await words.add(row, other, {**row, "select": "c"})

        assert [2] == [failure.index for failure in result.failures]
        assert [row] == await words.find((Field("order") == "1") & (Field("größe") < 6) & Field("p0").is_none())
        assert [other, row] == await words.find(None, Field("order").desc(), Field("limit"))
        if harness.store.capabilities >= {Capability.UPDATE_WHERE, Capability.DELETE_WHERE}:
            assert 1 == (await words.change(Field("select") == "a", values="v", p0="p", now="n")).count
            assert 1 == (await words.remove((Field("values") == "v") & (Field("p0") == "p") & (Field("now") == "n"))).count

    @pytest.mark.parametrize(
        "name",
        [
            *('a"b', "a'b", "a b", "per%cent", "co:lon", "back`tick", "brack]et", 'x"; DROP TABLE law_sample; --', "a.b", "?"),
            *(
                "back\\slash",
                "%s",
                "%(p0)s",
                "%%",
                ":p0",
                "{a}",
                "$1",
                "a?b",
                "--",
                "/*",
                "#",
                "a,b",
                "a(b)",
                "a=b",
                "\u00e9\U0001f600",
            ),
        ],
    )
    @conformance_test()
    async def test_a_name_that_is_no_identifier(self, harness: Harness, name: str) -> None:
        """A name that a class body could not have is refused by ``bind``, or works like any other."""
        await harness.add(sample("safe"))
        try:
            odd = await harness.sibling(
                resource("Odd", attribute("key", str, primary_key=True, max_length=50), attribute(name, int | None))
            )
        except DeclarationError:
            return
        await odd.add({"key": "a", name: 1}, {"key": "b", name: None})
        found = await odd.find(Field(name) == 1)
        if odd.store.capabilities >= {Capability.UPSERT}:
            await odd.add({"key": "b", name: 2}, on_conflict=OnConflict(("key",), set={name: incoming(name)}))
            assert [2] == [row[name] for row in await odd.find(Field("key") == "b")]
        if odd.store.capabilities >= {Capability.ATOMIC_EXPR, Capability.DELETE_WHERE}:
            assert 1 == (await odd.change(Field(name) == 2, returning=False, **{name: Field(name) + 1})).count
            assert 1 == (await odd.remove(Field(name) == 3)).count

        assert [{"key": "a", name: 1}] == found
        assert ["safe"] == await harness.keys()

    @conformance_test()
    async def test_storage_can_be_created_again(self, harness: Harness) -> None:
        """``create_storage`` on existing storage keeps every row, even if several callers run it concurrently."""
        await harness.add(sample("a"))
        await harness.store.create_storage()
        done = await harness.together([harness.store.create_storage for _ in range(8)])

        assert [None] * 8 == done
        assert ["a"] == await harness.keys()

    @conformance_test()
    async def test_a_closed_store_opens_again(self, harness: Harness) -> None:
        """After ``close`` the next call works, and the rows are there."""
        await harness.add(sample("a"))
        await harness.store.close()
        await harness.store.close()
        assert [sample("a")] == await harness.find(key == "a")

    @conformance_test()
    async def test_the_store_tells_the_time(self, harness: Harness) -> None:
        """``now()`` is aware, in UTC, and follows a clock moved by hand."""
        with ManualClock(datetime(2031, 5, 6, tzinfo=UTC), everywhere=True) as clock:
            first = await harness.store.now()
            clock.advance(hours=13)
            second = await harness.store.now()
        assert (datetime(2031, 5, 6, tzinfo=UTC), datetime(2031, 5, 6, 13, tzinfo=UTC)) == (first, second)

    @conformance_test()
    async def test_the_store_tells_its_health(self, harness: Harness) -> None:
        """Findings have an id, a problem and a cure; a new store has no error among them."""
        findings = list(await harness.store.health())
        for finding in findings:
            assert isinstance(finding, Finding)
            assert finding.id
            assert finding.what
            assert finding.cure
        assert [] == [finding for finding in findings if finding.level == "error"]

    @conformance_test()
    async def test_capabilities_and_group_are_plain_facts(self, harness: Harness) -> None:
        """Capabilities are members of the closed set; the group is hashable, and the same each time."""
        assert frozenset(Capability) >= harness.store.capabilities
        assert hash(harness.store.group) == hash(harness.store.group)
        assert (await harness.sibling(WORDS)).store.group == harness.store.group

    @conformance_test()
    async def test_many_leases_are_independent(self, harness: Harness) -> None:
        """Names are compared as text is: by code point."""
        harness.require(Capability.LEASE)
        names = ["Abc", "abc", "abc ", "ábc", "'; --"]
        leases = [harness.store.lease(name, _TTL) for name in names]
        held = [await lease.__aenter__() for lease in leases]
        for lease in leases:
            await lease.__aexit__(None, None, None)
        assert [True] * len(names) == held
