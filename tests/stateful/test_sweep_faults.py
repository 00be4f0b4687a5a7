"""Sweeps under faults: killed, paused, many at once; no live row is lost, each row is counted once, nothing revoked comes back."""

from __future__ import annotations

import contextlib
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from history import Event, read, violations
from places import Place
from sweepers import declare, work
from workers import PATIENCE, Worker

from resourcekit import query, utc_now
from resourcekit.testing import ManualClock
from resourcekit_tokens import RevokedJti
from resourcekit_tokens.errors import TokenExpired, TokenRevoked

SERVERS = [pytest.param(name, marks=pytest.mark.slow) for name in ("postgresql", "mariadb")]
SHARED = ["sqlite", "redis", *SERVERS]
EVERYWHERE = ["memory", *SHARED]


@pytest.fixture(params=SHARED)
def place(request: pytest.FixtureRequest, settle: Callable[[str], Place]) -> Place:
    """A database that processes can share."""
    return settle(request.param)


@pytest.fixture
def start(place: Place) -> Iterator[Callable[[str], Worker]]:
    """Start a process on that database, and ask it to do something; what still runs ends with the test."""
    started: list[Worker] = []

    def start(line: str) -> Worker:
        sweeper = Worker(work, place)
        started.append(sweeper)
        if line:
            sweeper.send(line)
        return sweeper

    yield start
    for sweeper in started:
        sweeper.end()


def fill(token: Any, expired: int, live: int, mark: str = "") -> None:
    """Put in records that may go and records that must stay, mixed in the order of their keys."""
    now = utc_now()
    gone = [RevokedJti(f"{number:06}-gone{mark}", now - timedelta(hours=1), "alice") for number in range(expired)]
    kept = [RevokedJti(f"{number:06}-kept{mark}", now + timedelta(days=1), "bob") for number in range(live)]
    token.revoke_jtis([*gone, *kept])


def keys(token: Any) -> set[str]:
    """Return the keys of all records."""
    return {record.jti for record in query(token).all()}


def killed_while_sweeping(place: Place, start: Callable[[str], Worker], rounds: int, seed: int) -> list[int]:
    """Kill a sweep after a random batch, again and again; return how much each one had removed."""
    token, dice, removed = declare(place), random.Random(seed), []
    fill(token, 0, 300)
    kept, ready = keys(token), [start("")]
    for number in range(rounds):
        fill(token, 600, 0, f"-{number}")
        # The next one comes up meanwhile.
        ready.append(start(""))
        sweeper = ready.pop(0)
        sweeper.answer()
        sweeper.send("sweep 20")
        for _ in range(dice.randrange(25)):
            sweeper.answer()
        time.sleep(dice.uniform(0, 0.005))  # not always right after a batch
        sweeper.kill()
        left = keys(token)
        removed.append(900 - len(left))

        assert kept <= left
        assert len(left) - 300 == token.expunge_expired().removed
        assert kept == keys(token)
        assert 300 == query(token).filter(token.subject == "bob").count()
        assert 0 == query(token).filter(token.subject == "alice").count()
        assert place.is_sound()
    return removed


@pytest.mark.slow
class TestKilledSweeps:
    def test_a_killed_sweep_loses_no_live_row_and_the_next_one_finishes(self, place, start):
        """Ten times SIGKILL at random moments: live rows stay, and the next sweep removes exactly what is left."""
        removed = killed_while_sweeping(place, start, rounds=10, seed=1)

        # Some were killed in the middle; else nothing was tried here.
        assert [count for count in removed if 0 < count < 600]

    def test_a_hundred_killed_sweeps(self, place, start):
        """The same, a hundred times."""
        removed = killed_while_sweeping(place, start, rounds=100, seed=2)

        assert 10 < len([count for count in removed if 0 < count < 600])


class TestLeeway:
    """P7: what may be accepted somewhere is never swept."""

    @pytest.mark.parametrize("place", EVERYWHERE, indirect=True)
    def test_a_revoked_token_that_is_swept_within_the_leeway_is_still_refused(self, place):
        """At exp + 30 s the sweep keeps its record; once no check accepts the token any more, the record goes."""
        token = declare(place, leeway=timedelta(seconds=60))
        with ManualClock() as clock:
            issued = token.issue("alice", lifetime=timedelta(minutes=10))
            live = token.issue("alice", lifetime=timedelta(minutes=10))
            token.revoke(issued.token)
            clock.set(issued.claims.expires_at + timedelta(seconds=30))

            assert 0 == token.expunge_expired().removed
            assert "alice" == token.verify(live.token).subject
            with pytest.raises(TokenRevoked):
                token.verify(issued.token)
            assert (True, True) == (token.token_revoked(issued.token), token.jti_revoked(issued.claims.jti))

            clock.advance(seconds=31)

            assert 1 == token.expunge_expired().removed
            assert token.token_revoked(issued.token) is True
            with pytest.raises(TokenExpired):
                token.verify(issued.token)

    @pytest.mark.parametrize("place", ["redis"], indirect=True)
    def test_the_server_itself_frees_no_record(self, place):
        """On Redis, no key has a time to live: records go by the sweep only, whose clock rule holds."""
        token = declare(place, leeway=timedelta(seconds=60), clock_skew=timedelta(seconds=30))
        issued = token.issue("alice", lifetime=timedelta(minutes=10))
        token.revoke(issued.token)
        with closing(redis.Redis.from_url(place.urls[0])) as client:
            lives = [client.pttl(key) for key in client.scan_iter(f"{{{place.name}}}*", count=1000)]

        assert lives
        assert {-1} == set(lives)


class TestParallelSweeps:
    """Each row is removed, and counted, once."""

    @pytest.mark.parametrize("place", EVERYWHERE, indirect=True)
    def test_the_counts_of_threads_add_up(self, place):
        """Six threads sweep at once: the sum of what they removed is what there was."""
        token = declare(place)
        fill(token, 2000, 500)
        together, removed = threading.Barrier(6), []

        def sweep() -> None:
            together.wait(PATIENCE)
            removed.append(token.expunge_expired(batch_size=30).removed)

        threads = [threading.Thread(target=sweep) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)

        assert (6, 2000) == (len(removed), sum(removed))
        assert 500 == len(keys(token))

    def test_the_counts_of_processes_add_up(self, place, start):
        """Four processes do: the same."""
        token = declare(place)
        fill(token, 4000, 500)
        sweepers = [start("") for _ in range(4)]
        assert ["ready"] * 4 == [sweeper.answer() for sweeper in sweepers]
        for sweeper in sweepers:
            sweeper.send("sweep 20")
        received = [_last(sweeper) for sweeper in sweepers]
        removed = [int(line.removeprefix("done ")) for line in received]

        assert 4000 == sum(removed)
        # More than one had a share; else nothing was tried here.
        assert 1 < len([count for count in removed if count])
        assert 500 == len(keys(token))


def _last(sweeper: Worker) -> str:
    """Return the line with which a sweep ends."""
    line = sweeper.answer()
    while line and not line.startswith("done"):
        line = sweeper.answer()
    return line


def mixed_work(place: Place, start: Callable[[str], Worker], history: Path, seconds: float, seed: int) -> list[Event]:
    """Let four processes work while they, and their connections, meet with accidents; return what they wrote down."""
    dice, seeds = random.Random(seed), iter(range(seed, seed + 1_000_000))
    begin = lambda: start(f"mix {next(seeds)} {history}")  # noqa: E731  # one of four, again and again
    workers = [begin() for _ in range(4)]
    assert ["ready"] * 4 == [sweeper.answer() for sweeper in workers]
    ends_at = time.monotonic() + seconds
    while time.monotonic() < ends_at:
        number = dice.randrange(4)
        match dice.choices(["kill", "pause", "cut"], [15, 50, 35])[0]:
            case "kill":
                workers[number].kill()
                workers[number] = begin()
            case "cut" if connections := place.connections():
                place.cut(dice.choice(connections))
            case _:
                workers[number].signal(signal.SIGSTOP)
                time.sleep(dice.uniform(0.01, 0.5))  # a pause of real processes takes real time
                workers[number].signal(signal.SIGCONT)
        time.sleep(dice.uniform(0.05, 0.3))
    for sweeper in workers:
        sweeper.kill()
    return read(history)


def assert_worthwhile(history: list[Event], place: Place) -> None:
    """See that the history holds enough of everything that can go wrong."""

    def number(did: str, *saw: object) -> int:
        return len([event for event in history if event.did == did and (not saw or event.saw in saw)])

    assert 3 < len({event.who for event in history})
    assert 20 < number("check", "live")
    assert 20 < number("check", "dead")
    assert 20 < number("revoke", "done")
    assert 5 < number("consume", "done")
    assert 5 < number("sweep")
    if not place.frees_by_itself:
        assert 5 < sum(event.saw for event in history if event.did == "sweep" and isinstance(event.saw, int))


@pytest.mark.slow
class TestHistory:
    """P1 over processes: once a revoke was acknowledged, or seen, the token is never seen live."""

    def test_mixed_work_under_faults_has_no_violation(self, place, start, tmp_path):
        """Four processes for six seconds, killed and paused at random."""
        declare(place)
        history = mixed_work(place, start, tmp_path / "history", 6, seed=1)

        assert [] == violations(history)
        assert_worthwhile(history, place)

    def test_long_mixed_work_under_faults_has_no_violation(self, place, start, tmp_path):
        """The same for longer."""
        declare(place)
        history = mixed_work(place, start, tmp_path / "history", 45, seed=1000)

        assert [] == violations(history)
        assert_worthwhile(history, place)

    @pytest.mark.parametrize("place", ["sqlite", *SERVERS], indirect=True)
    def test_a_clean_up_without_margin_is_found_out(self, place, start, tmp_path):
        """A process that deletes revoked records of living tokens: the checker sees them come back."""
        declare(place)
        assert "ready" == start("plant").answer()

        assert [] != violations(mixed_work(place, start, tmp_path / "history", 3, seed=1))


def event(did: str, saw: object, began: float, ended: float, jti: str = "a") -> Event:
    """Return an event."""
    return Event(who=1, did=did, jti=jti, began=began, ended=ended, saw=saw)


REVOKED = event("revoke", "done", 1, 2)


class TestChecker:
    """The judge is judged: what it must find, and what it must let pass."""

    @pytest.mark.parametrize(
        "events",
        [
            [REVOKED, event("check", "live", 3, 4)],
            [REVOKED, event("check jti", "live", 3, 4)],
            [REVOKED, event("explain", "live by none", 3, 4)],
            [REVOKED, event("consume", "done", 3, 4)],
            [event("explain", "dead by token", 1, 2), event("check", "live", 3, 4)],
            [event("consume", "TokenRevoked", 1, 2), event("check", "live", 3, 4)],
            [event("consume", "done", 1, 2), event("consume", "done", 3, 4)],
            [event("consume", "done", 1, 3), event("consume", "done", 2, 4)],
            [event("check", "live", 3, 4), REVOKED],
        ],
    )
    def test_a_revoked_token_that_is_seen_live_is_found(self, events):
        """In each order of the lines, for each way in which the session ended, every reader of it is found."""
        assert 1 == len(violations(events))

    @pytest.mark.parametrize(
        "events",
        [
            [event("check", "live", 0, 0.5), REVOKED],
            [event("check", "live", 1.5, 4), REVOKED],
            [REVOKED, event("check", "live", 3, 4, jti="b")],
            [REVOKED, event("check", "dead", 3, 4)],
            [event("revoke", "Timeout", 1, 2), event("check", "live", 3, 4)],
            [event("check", "dead", 1, 2), event("check", "live", 3, 4)],
            [event("explain", "dead by expired", 1, 2), event("check", "live", 3, 4)],
            [event("consume", "done", 1, 2), event("consume", "TokenConsumed", 3, 4)],
        ],
    )
    def test_what_may_be_is_let_pass(self, events):
        """Live before the revoke or beside it, another token, a call that failed, an answer that may be due to an error."""
        assert [] == violations(events)


class TestWriteAheadLog:
    """A long sweep on SQLite beside a program that revokes."""

    @pytest.mark.slow
    def test_revokes_go_on_and_the_log_stays_small(self, tmp_path, capsys):
        """While 200,000 rows go, every revoke is done, and the write-ahead log never reaches 64 MiB."""
        file = tmp_path / "log.db"
        token = declare(Place("sqlite", (f"sqlite:///{file}",)))
        for number in range(20):
            fill(token, 10_000, 1_000, f"-{number}")
        waits: list[float] = []
        sizes: list[int] = []
        swept = threading.Event()

        def revoke() -> None:
            while not swept.is_set():
                began = time.perf_counter()
                token.revoke_jti(f"beside-{len(waits)}", expires_at=utc_now() + timedelta(days=1))
                waits.append(time.perf_counter() - began)
                with contextlib.suppress(FileNotFoundError):
                    sizes.append((tmp_path / "log.db-wal").stat().st_size)

        beside = threading.Thread(target=revoke)
        beside.start()
        result = token.expunge_expired()
        swept.set()
        beside.join(PATIENCE)
        with capsys.disabled():
            line = f"\n{len(waits)} revokes beside a sweep of {result.removed} rows in {result.seconds:.2f} s, {result.batches} batches"
            print(f"{line}: longest wait {max(waits) * 1000:.0f} ms, log at most {max(sizes) / 2**20:.1f} MiB")  # noqa: T201  # for the reader of a slow run

        assert 200_000 == result.removed
        assert 20_000 + len(waits) == query(token).count()
        assert max(sizes) < 64 * 2**20
