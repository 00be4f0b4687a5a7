"""Conformance tests of the numbers that the processes of a deployment share (``record_setting``, ``recorded_setting``).

A sweep keeps records for as long as the largest recorded margin says. A layer that forgets one lets a sweep delete what another
process still needs. A layer without the capability LEASE keeps no settings, and these tests are skipped.
"""

from __future__ import annotations

import functools
from datetime import UTC, datetime, timedelta

from resourcekit.data_layers.base import Capability, Store
from resourcekit.testing.clock import ManualClock
from resourcekit.testing.conformance.harness import ConformanceSuite, Harness, conformance_test, key
from resourcekit.testing.conformance.processes import SecondProcess, Send
from resourcekit.testing.conformance.samples import COMPOSITE, sample

__all__ = ["SettingSuite"]

_DAY = timedelta(days=1)
_NAMES = ("margin", "Margin", "margin ", "märgin", "'; --")
_WIDEST = 2**53 - 1


class SettingSuite(ConformanceSuite):
    """Tests of recorded settings: kept, raised at once, lowered late, and the same for every store and process of the place."""

    @conformance_test(Capability.LEASE)
    async def test_a_setting_is_what_was_recorded(self, harness: Harness) -> None:
        """A name that was never recorded has no value; a recorded one has it, also a negative and a wide one."""
        store = harness.store
        assert await store.recorded_setting("margin") is None
        for number, value in enumerate((0, -_WIDEST, _WIDEST)):
            assert value == await store.record_setting(f"margin {number}", value, lowered_after=_DAY)
            assert value == await store.recorded_setting(f"margin {number}")

    @conformance_test(Capability.LEASE)
    async def test_names_of_settings_are_independent(self, harness: Harness) -> None:
        """Names are compared as text is: by code point. Another resource has settings of its own, and none of them is a row."""
        other, store = await harness.sibling(COMPOSITE), harness.store
        for number, name in enumerate(_NAMES):
            await store.record_setting(name, number, lowered_after=_DAY)

        assert [*range(len(_NAMES))] == [await store.recorded_setting(name) for name in _NAMES]
        assert await other.store.recorded_setting(_NAMES[0]) is None
        assert ([], []) == (await harness.find(), await other.find())

    @conformance_test(Capability.LEASE)
    async def test_a_setting_is_raised_at_once_and_lowered_late(self, harness: Harness) -> None:
        """A smaller value is in force only once the larger one was last recorded longer than ``lowered_after`` ago."""
        with ManualClock(datetime(2030, 1, 1, tzinfo=UTC), everywhere=True) as clock:
            store = harness.store
            found = [await _record(store, value) for value in (5, 9, 7)]
            clock.advance(hours=23)
            found += [await _record(store, value) for value in (9, 7)]  # recorded again, so it stays for another day
            clock.advance(hours=2)
            found.append(await _record(store, 7))
            clock.advance(hours=23)
            found.append(await _record(store, 7))
            last = await store.recorded_setting("margin")

        assert [5, 9, 9, 9, 9, 9, 7] == found
        assert 7 == last

    @conformance_test(Capability.LEASE)
    async def test_of_concurrent_settings_the_largest_stays(self, harness: Harness) -> None:
        """Whatever order they come in; each call returns a value that is at least its own."""
        values = [3, 9, 1, 7, 9, 2, 8, 4]
        store = harness.store
        found = await harness.together([functools.partial(_record, store, value) for value in values])

        assert [] == [answer for answer in found if not isinstance(answer, int)]
        assert [True] * len(values) == [value <= int(str(answer)) <= 9 for value, answer in zip(values, found, strict=True)]
        assert 9 == await store.recorded_setting("margin")

    @conformance_test(Capability.LEASE)
    async def test_settings_outlive_rows(self, harness: Harness) -> None:
        """Creating storage again, and removing all rows, keeps them."""
        store = harness.store
        await harness.add(sample("a"))
        await _record(store, 9)
        await store.create_storage()
        if Capability.DELETE_WHERE in store.capabilities:
            await harness.remove()

        assert 9 == await store.recorded_setting("margin")

    @conformance_test(Capability.LEASE)
    async def test_a_setting_is_one_for_both_stores(self, harness: Harness) -> None:
        """What one store recorded is in force for the other one at once, and its smaller values do not undo it."""
        one, other = harness.store, (await harness.another()).store
        found = [await _record(one, 5), await _record(other, 9), await _record(one, 7), await _record(other, 3)]

        assert [5, 9, 9, 9] == found
        assert [9, 9] == [await each.recorded_setting("margin") for each in (one, other)]

    @conformance_test(Capability.LEASE)
    async def test_a_setting_is_there_after_a_restart(self, harness: Harness) -> None:
        """Each time the store is closed and the place is bound again, the last setting is in force."""
        harness.require_place()
        store = harness.store
        for value in (5, 9):
            await _record(store, value)
            await store.close()
            store = (await harness.another()).store
            assert value == await store.recorded_setting("margin")

        assert 9 == await _record(store, 7)

    @conformance_test(Capability.LEASE)
    async def test_a_setting_is_one_for_all_processes(self, peer: SecondProcess, harness: Harness) -> None:
        """What one process recorded is in force for another one at once, in both directions, and after a kill."""
        store = harness.store
        await _record(store, 5)
        assert (5, 9) == peer.call(_raised, 9)
        assert 9 == await _record(store, 7)
        await _record(store, 11)
        assert (11, 12) == peer.call(_raised, 12)
        peer.kill()

        assert (12, []) == (await store.recorded_setting("margin"), await harness.find(key == "margin"))


async def _record(store: Store, value: int) -> int:
    return await store.record_setting("margin", value, lowered_after=_DAY)


async def _raised(harness: Harness, send: Send, value: int) -> tuple[int | None, int]:
    """Return the setting that this process finds, and the one in force after it has recorded another."""
    del send
    return await harness.store.recorded_setting("margin"), await _record(harness.store, value)
