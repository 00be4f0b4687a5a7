"""P7: a record goes late, never early; and a sweep by a clock that cannot be trusted does not run."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from call_styles import START, declared

from resourcekit import compare, destroy, query
from resourcekit.data_layers import SQL, Memory
from resourcekit.errors import Invalid, UnsafeStore
from resourcekit.extending import ResourceInfo, Store
from resourcekit.testing import ManualClock
from resourcekit_tokens import clocks

MICRO = timedelta(microseconds=1)


class TestBoundaries:
    @pytest.mark.parametrize("skew", [timedelta(0), MICRO, timedelta(seconds=60), timedelta(days=2)])
    @pytest.mark.parametrize("off", [-1, 0, 1])
    def test_a_record_goes_from_the_first_microsecond_beyond_the_margin(self, plain, clock, skew, off):
        """``expires_at < now - (leeway + 5 * clock_skew)``, neither earlier nor later, dry or not."""
        token = plain(leeway=timedelta(seconds=7), clock_skew=skew)
        token.revoke_jti("one", expires_at=clock.now() + timedelta(hours=1))
        clock.advance(timedelta(hours=1, seconds=7) + 5 * skew)
        clock.set(clock.now() + off * MICRO)
        dry = token.expunge_expired(dry_run=True).removed
        removed = token.expunge_expired().removed

        assert (1 if off > 0 else 0) == dry == removed

    def test_expiry_at_the_ends_of_time(self, plain, clock):
        """What never expires is never swept; what expired in year 1 is."""
        token = plain()
        token.revoke_jti("never")
        token.revoke_jti("long ago", expires_at=datetime(1, 1, 1, tzinfo=UTC))

        assert 1 == token.expunge_expired().removed
        clock.set(datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC))
        assert 0 == token.expunge_expired().removed
        assert token.jti_revoked("never") is True

    def test_moments_in_other_zones_are_the_same_moments(self, plain, clock):
        """A zone is a way of writing, not another time."""
        token = plain()
        zone = timezone(timedelta(hours=-11))
        token.revoke_jti("one", expires_at=(clock.now() + timedelta(hours=1)).astimezone(zone))
        clock.advance(hours=1, minutes=5)
        before = token.expunge_expired().removed
        clock.advance(microseconds=1)

        assert (0, 1) == (before, token.expunge_expired().removed)


class Meddling(Store):
    """Stands before a store, and lets a test act between the finding and the deleting of each batch."""

    def __init__(self, store: Store) -> None:
        self.store, self.meddle = store, lambda: None

    def __getattribute__(self, name: str) -> Any:
        """Act whenever a delete is about to run; else hand on."""
        if name in ("store", "meddle", "__class__", "__dict__"):
            return object.__getattribute__(self, name)
        if name in ("delete", "delete_in_batches"):
            self.meddle()
        return getattr(self.store, name)

    compile = select = stream = insert = update = delete = delete_in_batches = aggregate = None  # type: ignore[assignment]
    transaction = current_transaction = lease = now = health = create_storage = close = group = None  # type: ignore[assignment]


class TestProlonged:
    @pytest.mark.parametrize("how", ["store_token", "revoke", "revoke_jti"])
    def test_a_record_that_is_prolonged_during_a_sweep_stays(self, plain, forge, clock, how):
        """Between two batches each remaining row is given a later expiry: no sweep takes it then."""
        token = plain()
        for number in range(6):
            token.store_token(forge(f"jti-{number}", hours=1))
        clock.advance(hours=2)
        prolonged = []

        def prolong(progress: Any) -> None:
            if prolonged:
                return
            for record in query(token.resource).all():
                prolonged.append(record.jti)
                text = forge(record.jti, hours=9)
                match how:
                    case "store_token":
                        token.store_token(text)
                    case "revoke":
                        token.revoke(text)
                    case _:
                        token.revoke_jti(record.jti, expires_at=clock.now() + timedelta(hours=9))

        removed = token.expunge_expired(batch_size=2, on_progress=prolong).removed

        assert 6 == removed + len(prolonged)
        assert set(prolonged) == {record.jti for record in query(token.resource).all()}
        assert 0 < removed < 6

    def test_the_condition_is_part_of_the_delete(self, tmp_path, forge, clock):
        """A row that is prolonged after it was found, and before it is deleted, stays: streamed batches too."""

        class MeddlingMemory(Memory):
            def bind(self, info: ResourceInfo) -> Store:
                return Meddling(Memory().bind(info))

        gone: list[Any] = []
        for body in (None, {"expunge_expired": destroy(notifiers=[gone.append])}):
            resource = declared(MeddlingMemory(), "resource", body)
            store = resource.__runtime__.store
            clock.set(START)
            resource.store_token(forge("one", hours=1))
            clock.advance(hours=2)
            store.meddle = lambda resource=resource: resource.store_token(forge("one", hours=9))

            assert 0 == resource.expunge_expired().removed
            assert "one" == resource.get_token(jti="one").jti
        assert [] == gone

    def test_the_action_itself_removes_nothing_that_is_not_due(self, plain, forge, clock):
        """By each name, with a record or a key: a record that is not due stays (promise P1: a revoked token stays revoked)."""
        token = plain(expunge_expired_action_name="sweep_away", clock_skew=timedelta(seconds=60))
        record = token.revoke(forge("one", hours=1))
        clock.advance(hours=1, minutes=5)
        for target in (record, "one"):
            with pytest.raises(Invalid):
                token.resource.sweep_away(target)
        result = token.resource.sweep_away.bulk([record])

        assert (0, 1) == (result.count, len(result.failures))
        assert token.jti_revoked("one") is True
        clock.advance(microseconds=1)
        token.resource.sweep_away(record)
        assert token.jti_revoked("one") is False

    def test_a_rule_of_the_users_own_keeps_records(self, plain, forge, clock):
        """A validation on ``expunge_expired`` has a say; what it refuses stays, and the sweep goes on."""
        token = plain({"expunge_expired": destroy(validations=[compare("jti", "!=", "precious")])})
        for jti in ("a", "precious", "z"):
            token.store_token(forge(jti))
        clock.advance(hours=2)

        assert 2 == token.expunge_expired(batch_size=1).removed
        assert "precious" == query(token.resource).one().jti

    def test_records_that_come_and_go_beside_a_sweep(self, plain, forge, clock):
        """Rows inserted or removed between batches disturb nothing: due ones go, others stay."""
        token = plain()
        for number in range(10):
            token.store_token(forge(f"jti-{number}", hours=1 if number % 2 else 9))
        clock.advance(hours=2)
        count = iter(range(100))

        def beside(progress: Any) -> None:
            token.store_token(forge(f"jti-{next(count)}-new", hours=9))

        removed = token.expunge_expired(batch_size=3, on_progress=beside).removed
        left = {record.jti for record in query(token.resource).all()}

        assert 5 == removed
        assert {f"jti-{number}" for number in range(0, 10, 2)} <= left


class TestClockGuard:
    def test_a_store_whose_clock_disagrees_is_not_swept(self, forge, clock):
        """More than ``clock_skew`` either way: UnsafeStore, nothing removed; ``clock_skew`` itself is what records allow for."""

        class Late(Meddling):
            offset = timedelta(0)

            def __getattribute__(self, name: str) -> Any:
                if name == "offset":
                    return object.__getattribute__(self, name)
                if name == "now":

                    async def now() -> datetime:
                        return clock.now() + self.offset

                    return now
                return super().__getattribute__(name)

        class LateMemory(Memory):
            def bind(self, info: ResourceInfo) -> Store:
                return Late(Memory().bind(info))

        resource = declared(LateMemory(), "resource")
        store = resource.__runtime__.store
        resource.store_token(forge("one", hours=1))
        clock.advance(hours=2)
        for sign in (1, -1):
            type(store).offset = sign * (timedelta(seconds=60) + MICRO)
            for dry in (True, False):
                with pytest.raises(UnsafeStore):
                    resource.expunge_expired(dry_run=dry)
        assert 1 == len(resource.read_expired())
        type(store).offset = timedelta(seconds=60)
        assert 1 == resource.expunge_expired().removed

    @pytest.mark.parametrize("seconds", [-62, -86_400, 62, 86_400, 10**9])
    def test_a_wall_clock_that_was_moved_is_not_trusted(self, tmp_path, monkeypatch, seconds):
        """Wall and monotonic time drifted apart since the process began: nothing is removed, until they agree again."""
        resource = declared(SQL(f"sqlite:///{tmp_path}/drift.db"), "resource")
        resource.revoke_jti("one", expires_at=datetime.now(UTC) - timedelta(hours=1))
        began = clocks._BEGAN
        monkeypatch.setattr(clocks, "_BEGAN", (began[0] - seconds, began[1]))
        with pytest.raises(UnsafeStore):
            resource.expunge_expired()
        monkeypatch.setattr(clocks, "_BEGAN", began)

        assert 1 == resource.expunge_expired().removed

    def test_time_that_passes_is_no_drift(self, monkeypatch):
        """Hours of uptime move both clocks, and a sweep runs."""
        resource = declared(Memory(), "resource")
        began = clocks._BEGAN
        monkeypatch.setattr(clocks, "_BEGAN", (began[0] - 90_000, began[1] - 90_000))

        assert 0 == resource.expunge_expired().removed

    def test_under_a_manual_clock_all_clocks_are_that_clock(self, plain, clock):
        """A test that jumps a year sweeps without complaint."""
        token = plain()
        token.revoke_jti("one", expires_at=clock.now())
        clock.set(START + timedelta(days=365))

        assert 1 == token.expunge_expired().removed
        assert time.time() != clock.now().timestamp()

    def test_a_clock_put_back_keeps_records(self, plain, forge):
        """What seemed expired is not any more: nothing goes."""
        token = plain()
        with ManualClock(START + timedelta(hours=5)) as clock:
            token.revoke_jti("one", expires_at=START + timedelta(hours=4))
            clock.set(START)

            assert 0 == token.expunge_expired().removed
