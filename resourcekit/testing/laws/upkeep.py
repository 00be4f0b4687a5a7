"""Laws of leases, names and storage: what surrounds the rows. It knows the port only."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from resourcekit.data_layers.base import Capability, OnConflict
from resourcekit.dsl.finding import Finding
from resourcekit.errors import DeclarationError
from resourcekit.flow.expression import Field, incoming
from resourcekit.testing.clock import ManualClock
from resourcekit.testing.laws.ledger import LawBook, Ledger, key, law
from resourcekit.testing.laws.samples import WORDS, attribute, resource, sample

__all__ = ["UpkeepLaws"]

_TTL = timedelta(minutes=5)


class UpkeepLaws(LawBook):
    """What a layer offers around the rows."""

    @law(Capability.LEASE)
    async def test_a_lease_has_one_holder(self, ledger: Ledger) -> None:
        """While one holds a name nobody else gets it; other names are free, and so is this one afterwards."""
        async with ledger.store.lease("one holder", _TTL) as first:
            async with ledger.store.lease("one holder", _TTL) as second, ledger.store.lease("another name", _TTL) as other:
                pass
            async with ledger.store.lease("one holder", _TTL) as third:
                pass
        async with ledger.store.lease("one holder", _TTL) as afterwards:
            pass
        assert (True, False, True, False, True) == (first, second, other, third, afterwards)

    @law(Capability.LEASE)
    async def test_of_many_who_want_a_lease_one_gets_it(self, ledger: Ledger) -> None:
        """Of ten at once, one holds the name as long as none lets go."""
        leases = [ledger.store.lease("many", _TTL) for _ in range(10)]
        held = await ledger.together([lease.__aenter__ for lease in leases])
        for lease in leases:
            await lease.__aexit__(None, None, None)
        assert [False] * 9 + [True] == sorted(map(bool, held))

    @law(Capability.LEASE)
    async def test_a_lease_is_lost_after_its_time(self, ledger: Ledger) -> None:
        """A holder that does not come back loses the name after ``ttl``, and cannot give away the next one's."""
        with ManualClock(datetime(2030, 1, 1, tzinfo=UTC), everywhere=True) as clock:
            dead = ledger.store.lease("lost", _TTL)
            got = [await dead.__aenter__()]
            clock.advance(minutes=4, seconds=59)
            async with ledger.store.lease("lost", _TTL) as early:
                got.append(early)
            clock.advance(seconds=2)
            async with ledger.store.lease("lost", _TTL) as next_one:
                got.append(next_one)
                await dead.__aexit__(None, None, None)
                async with ledger.store.lease("lost", _TTL) as another:
                    got.append(another)
        assert [True, False, True, False] == got

    @law(Capability.LEASE)
    async def test_a_lease_is_given_back_after_an_error(self, ledger: Ledger) -> None:
        """An error goes through, and the name is free."""
        with pytest.raises(KeyError):
            async with ledger.store.lease("error", _TTL):
                raise KeyError
        async with ledger.store.lease("error", _TTL) as held:
            assert held

    @law(Capability.LEASE)
    async def test_a_lease_that_is_kept_outlives_its_block(self, ledger: Ledger) -> None:
        """Whoever keeps it holds the name from that moment on; all others learn when it is free again."""
        start = datetime(2030, 1, 1, tzinfo=UTC)
        with ManualClock(start, everywhere=True) as clock:
            lease = ledger.store.lease("kept", _TTL)
            async with lease as held:
                clock.advance(minutes=1)
                kept = await lease.keep(timedelta(hours=12))
            early, late = ledger.store.lease("kept", _TTL), ledger.store.lease("kept", _TTL)
            clock.advance(hours=11, minutes=59)
            async with early as too_early:
                pass
            clock.advance(minutes=1)
            async with late as in_time:
                pass
        assert (True, True, False, True) == (held, kept, too_early, in_time)
        assert start + timedelta(hours=12, minutes=1) == early.until == lease.until

    @law(Capability.LEASE)
    async def test_a_lease_that_was_lost_cannot_be_kept(self, ledger: Ledger) -> None:
        """A holder that slept through its time does not take the name from the next one."""
        with ManualClock(datetime(2030, 1, 1, tzinfo=UTC), everywhere=True) as clock:
            slept = ledger.store.lease("slept", _TTL)
            await slept.__aenter__()
            clock.advance(minutes=6)
            alone = await slept.keep(_TTL)
            async with ledger.store.lease("slept", _TTL) as held:
                beside_another = await slept.keep(_TTL)
                await slept.__aexit__(None, None, None)
                async with ledger.store.lease("slept", _TTL) as third:
                    pass
        assert (False, True, False, False) == (alone, held, beside_another, third)

    @law()
    async def test_names_are_never_syntax(self, ledger: Ledger) -> None:
        """Resources, attributes, identities and indexes may have names that mean something to a store."""
        words = await ledger.sibling(WORDS)
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
        if ledger.store.capabilities >= {Capability.UPDATE_WHERE, Capability.DELETE_WHERE}:
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
    @law()
    async def test_a_name_that_is_no_identifier(self, ledger: Ledger, name: str) -> None:
        """A name that a class body could not give is refused by ``bind``, or is a name like any other."""
        await ledger.add(sample("safe"))
        try:
            odd = await ledger.sibling(
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
        assert ["safe"] == await ledger.keys()

    @law()
    async def test_storage_can_be_created_again(self, ledger: Ledger) -> None:
        """``create_storage`` on storage that stands keeps every row, from many at once too."""
        await ledger.add(sample("a"))
        await ledger.store.create_storage()
        done = await ledger.together([ledger.store.create_storage for _ in range(8)])

        assert [None] * 8 == done
        assert ["a"] == await ledger.keys()

    @law()
    async def test_a_closed_store_opens_again(self, ledger: Ledger) -> None:
        """After ``close`` the next call works, and the rows are there."""
        await ledger.add(sample("a"))
        await ledger.store.close()
        await ledger.store.close()
        assert [sample("a")] == await ledger.find(key == "a")

    @law()
    async def test_the_store_tells_the_time(self, ledger: Ledger) -> None:
        """``now()`` is aware, in UTC, and follows a clock moved by hand."""
        with ManualClock(datetime(2031, 5, 6, tzinfo=UTC), everywhere=True) as clock:
            first = await ledger.store.now()
            clock.advance(hours=13)
            second = await ledger.store.now()
        assert (datetime(2031, 5, 6, tzinfo=UTC), datetime(2031, 5, 6, 13, tzinfo=UTC)) == (first, second)

    @law()
    async def test_the_store_tells_its_health(self, ledger: Ledger) -> None:
        """Findings have an id, a fact and a cure; a fresh store has no error among them."""
        findings = list(await ledger.store.health())
        for finding in findings:
            assert isinstance(finding, Finding)
            assert finding.id
            assert finding.what
            assert finding.cure
        assert [] == [finding for finding in findings if finding.level == "error"]

    @law()
    async def test_capabilities_and_group_are_plain_facts(self, ledger: Ledger) -> None:
        """Capabilities are members of the closed set; the group can be hashed, and is the same each time."""
        assert frozenset(Capability) >= ledger.store.capabilities
        assert hash(ledger.store.group) == hash(ledger.store.group)
        assert (await ledger.sibling(WORDS)).store.group == ledger.store.group

    @law()
    async def test_many_leases_are_independent(self, ledger: Ledger) -> None:
        """Names are compared as text is: by code point."""
        ledger.require(Capability.LEASE)
        names = ["Abc", "abc", "abc ", "ábc", "'; --"]
        leases = [ledger.store.lease(name, _TTL) for name in names]
        held = [await lease.__aenter__() for lease in leases]
        for lease in leases:
            await lease.__aexit__(None, None, None)
        assert [True] * len(names) == held
