"""P1 and P7 while two versions of a program run side by side: a sweep of one keeps what the other needs."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta

import attrs
import pytest
from call_styles import SECRET

from resourcekit.doctor import doctor
from resourcekit.extending import drive
from resourcekit.supervisor import Supervisor
from resourcekit_tokens import JWT
from resourcekit_tokens.tokens import tokens_of

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@contextmanager
def version(token, **options):
    """Work as a process of another version does, which declares these options for the same store."""
    tokens = tokens_of(token.resource)
    before, tokens.options = tokens.options, attrs.evolve(tokens.options, **options)
    try:
        yield
    finally:
        tokens.options = before


async def run(job):
    """Run a service if it is this process's turn, as a supervisor's worker does."""
    assert job.claim()
    return await job.run(lambda: False, must=False)


class TestSideBySide:
    @pytest.mark.parametrize("raised", [{"leeway": HOUR}, {"clock_skew": HOUR}])
    def test_a_sweep_of_the_former_version_keeps_what_a_raised_tolerance_needs(self, token_resource, forge, clock, raised):
        """Once a process of the new version has swept, the old one's sweep goes by the new margin too."""
        token = token_resource()
        text = forge("one", hours=1)
        token.revoke(text)
        with version(token, **raised):
            token.expunge_expired()
        clock.advance(hours=1, minutes=30)
        removed = token.expunge_expired().removed
        would_go = token.expunge_expired(dry_run=True).removed

        assert [0, 0] == [removed, would_go]
        assert token.jti_revoked("one")

    def test_a_cut_off_of_the_former_version_is_kept_for_the_new_longest_life(self, token_resource, forge, clock):
        """The old process wrote an expiry by its own life; each sweep adds the difference while both versions sweep."""
        token = token_resource(max_lifetime=HOUR)
        with version(token, max_lifetime=DAY):
            text = forge("one", "alice", hours=20)
            clock.advance(seconds=1)
            token.expunge_expired()
        token.log_out_everywhere("alice")
        token.expunge_expired()
        clock.advance(hours=10)
        with version(token, max_lifetime=DAY):
            removed = token.expunge_expired().removed
            status = token.explain(token=text)

        assert 0 == removed
        assert "cut-off" == status.rule

    def test_a_lowered_value_counts_once_the_longest_life_has_passed(self, plain, clock):
        """No process declares the former value any more, so sweeps go by the new one again, and records go."""
        token = plain(max_lifetime=DAY, expunge_interval=HOUR)
        with version(token, leeway=2 * DAY):
            token.expunge_expired()
        clock.advance(days=3)  # the life and the recorded leeway
        token.revoke_jti("one", expires_at=clock.now() + timedelta(minutes=1))
        clock.advance(hours=2)  # two intervals
        early = token.expunge_expired().removed
        clock.advance(minutes=6)  # the rest of the recorded margin
        late = token.expunge_expired().removed

        assert [0, 1] == [early, late]

    def test_without_another_version_a_sweep_keeps_to_the_declared_margin(self, plain, clock):
        """What a process has recorded itself delays nothing."""
        token = plain(max_lifetime=DAY)
        token.expunge_expired()
        token.revoke_jti("one", expires_at=clock.now() + HOUR)
        clock.advance(hours=1, minutes=5, seconds=-1)
        early = token.expunge_expired().removed
        clock.advance(seconds=2)
        late = token.expunge_expired().removed

        assert [0, 1] == [early, late]

    def test_doctor_finds_a_version_that_declares_other_values(self, plain):
        """RK227, with what is recorded and what is declared; nothing while all declare the same."""
        token = plain(jwt=JWT(SECRET))

        def found():
            return [finding for finding in doctor(token.resource) if finding.id == "RK227"]

        before = found()
        token.expunge_expired()
        same = found()
        with version(token, leeway=HOUR):
            token.expunge_expired()
        (finding,) = found()

        assert [[], []] == [before, same]
        assert "1:05:00 recorded, 0:05:00 declared" in finding.what

    def test_a_supervisor_records_its_values_when_another_process_has_the_turn(self, plain):
        """The former version has swept and keeps the turn for hours: the next one is bound by the new margin all the same."""
        token = plain(max_lifetime=DAY)
        former, new = (next(iter(Supervisor(token.resource, startup_check=False)._jobs.values())) for _ in range(2))
        drive(run(former))
        with version(token, leeway=HOUR):
            drive(run(new))
        margin = drive(token.resource.__runtime__.store.recorded_setting("margin"))

        assert timedelta(hours=1, minutes=5) == timedelta(microseconds=margin)

    def test_of_many_processes_that_record_at_once_the_largest_value_stays(self, plain):
        """One statement decides, so no smaller value that comes late takes the place of a larger one."""
        token = plain()
        store = token.resource.__runtime__.store

        def record(value):
            return drive(store.record_setting("raced", value, lowered_after=DAY))

        with ThreadPoolExecutor(4) as pool:
            returned = list(pool.map(record, [3, 9, 1, 7, 9, 2, 8, 4, -5, 2**53 - 1, 6, 5]))
        last = drive(store.recorded_setting("raced"))

        assert 2**53 - 1 == last == max(returned)
        assert all(value <= got for value, got in zip([3, 9, 1, 7, 9, 2, 8, 4, -5, 2**53 - 1, 6, 5], returned, strict=True))
