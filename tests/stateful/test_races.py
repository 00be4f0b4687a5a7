"""P2: of all who use one token at once, one wins; over threads, tasks and processes; and what was acknowledged survives."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import racers
from places import EVERYWHERE, SHARED, Place
from racers import RACERS
from workers import PATIENCE, Worker

from resourcekit import context, transaction
from resourcekit.errors import SerializationFailure, Timeout
from resourcekit_tokens.errors import ReuseDetected, TokenConsumed, TokenRevoked

SLOW = pytest.mark.slow
SQL = ["sqlite", *(pytest.param(kind, marks=SLOW) for kind in ("postgresql", "mariadb"))]
OPTIMISTIC = ["memory", *(pytest.param(kind, marks=SLOW) for kind in ("valkey", "cluster"))]
"""Places of two kinds: those where a writer waits for another one, and those where it is overtaken."""


@pytest.fixture(params=EVERYWHERE)
def place(request: pytest.FixtureRequest, settle: Callable[[str], Place]) -> Place:
    """An empty place of each kind; of one kind, where the test says so."""
    return settle(request.param)


@pytest.fixture
def token(place: Place) -> Any:
    """A token resource in each place."""
    return racers.declare(place)


def at_once(works: list[Callable[[], Any]]) -> list[Any]:
    """Run works in threads that start together; return what each returned or raised."""
    barrier, outcomes = threading.Barrier(len(works)), [None] * len(works)

    def run(place: int, work: Callable[[], Any]) -> None:
        barrier.wait(PATIENCE)
        try:
            with context(deadline=timedelta(seconds=PATIENCE)):
                outcomes[place] = work()
        except Exception as error:  # the test looks at it
            outcomes[place] = error

    threads = [threading.Thread(target=run, args=(place, work)) for place, work in enumerate(works)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    return outcomes


def names(outcomes: list[Any]) -> Counter[str]:
    """Count outcomes: ``won``, or the name of the error."""
    return Counter(type(outcome).__name__ if isinstance(outcome, Exception) else "won" for outcome in outcomes)


def contests(token: Any) -> list[tuple[Callable[[], Any], type[Exception]]]:
    """Return one fresh contest of each kind, and what its losers get."""
    reset, confirm, pair = (
        token.issue("alice", purpose="reset"),
        token.issue("alice", purpose="confirm"),
        token.issue_pair("alice"),
    )
    token.store_confirmation_changes(confirm.token, {"email": "a@example.org"})
    return [
        (lambda: token.consume(reset.token, purpose="reset"), TokenConsumed),
        (lambda: token.confirm(confirm.token), TokenConsumed),
        (lambda: token.rotate(pair.refresh.token), ReuseDetected),
    ]


def race_of_threads(token: Any, rounds: int) -> None:
    """Hold so many rounds of each contest, each with eight threads."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for _ in range(rounds):
            for use, loss in contests(token):
                assert {"won": 1, loss.__name__: RACERS - 1} == names(at_once([use] * RACERS))
    finally:
        sys.setswitchinterval(before)


class TestThreads:
    def test_one_of_eight_threads_wins(self, token):
        """Twenty rounds of consume, confirm and rotate: one winner each, and losers get the reason."""
        race_of_threads(token, 20)

    @pytest.mark.slow
    @pytest.mark.parametrize("place", ["memory", "sqlite"], indirect=True)
    def test_one_of_eight_threads_wins_two_hundred_times(self, token):
        """The same, longer."""
        race_of_threads(token, 200)

    def test_one_of_eight_tasks_wins(self, token):
        """Tasks of one loop: one winner each."""

        async def race() -> None:
            for _ in range(5):
                reset, pair = token.issue("alice", purpose="reset"), token.issue_pair("alice")
                works = [token.consume.aio(reset.token, purpose="reset") for _ in range(RACERS)]
                turns = [token.rotate.aio(pair.refresh.token) for _ in range(RACERS)]

                assert {"won": 1, "TokenConsumed": 7} == names(await asyncio.gather(*works, return_exceptions=True))
                assert {"won": 1, "ReuseDetected": 7} == names(await asyncio.gather(*turns, return_exceptions=True))
            await token.__runtime__.store.close()

        asyncio.run(race())

    def test_changes_are_handed_to_the_winner_only(self, token):
        """Of eight who confirm, one gets the changes."""
        issued = token.issue("alice", purpose="confirm")
        token.store_confirmation_changes(issued.token, {"email": "a@example.org"})
        outcomes = at_once([lambda: token.confirm(issued.token)] * RACERS)

        assert [{"email": "a@example.org"}] == [each.changes for each in outcomes if not isinstance(each, Exception)]

    @pytest.mark.parametrize("declare", [racers.lenient, racers.recorded])
    def test_within_the_grace_all_of_eight_get_one_pair(self, place, declare):
        """Eight tabs that refresh at once stay signed in, with the same tokens."""
        token = declare(place)
        for _ in range(5):
            pair = token.issue_pair("alice")
            outcomes = at_once([lambda text=pair.refresh.token: token.rotate(text)] * RACERS)

            assert {"won": RACERS} == names(outcomes)
            assert 1 == len({each.refresh.token for each in outcomes})
            assert token.verify(outcomes[0].access.token).subject == "alice"

    def test_one_wins_where_presence_is_read_first(self, place):
        """A transaction that reads before it writes blocks no other one: one winner, and losers get the reason."""
        race_of_threads(racers.declare(place, store_all_tokens=True, require_token_presence=True), 5)

    @pytest.mark.parametrize("other", ["revoke", "log_out_everywhere", "family"])
    def test_consume_and_an_end_are_one_after_the_other(self, token, other):
        """A token that is consumed while it is ended: the first of the two counts, and it is dead afterwards."""
        for _ in range(20):
            pair = token.issue_pair("alice")
            end = {
                "revoke": lambda pair=pair: token.revoke(pair.refresh.token, family=False),
                "log_out_everywhere": lambda: token.log_out_everywhere("alice"),
                "family": lambda pair=pair: token.revoke(pair.access.token),
            }[other]
            rotate = lambda pair=pair: token.rotate(pair.refresh.token)  # noqa: E731  # one of two works
            rotated, ended = at_once([rotate, end])

            assert not isinstance(ended, Exception)
            assert not isinstance(rotated, Exception) or isinstance(rotated, TokenRevoked)
            assert token.token_revoked(pair.refresh.token) is True
            if other == "family" and not isinstance(rotated, Exception):
                assert token.token_revoked(rotated.refresh.token) is True

    def test_revokes_at_once_all_return(self, token):
        """Eight threads that revoke tokens of one family: each is acknowledged, the first moment stays."""
        for _ in range(10):
            pair = token.issue_pair("alice")
            works = [lambda text=text: token.revoke(text) for text in (pair.access.token, pair.refresh.token)]
            outcomes = at_once(works * 4)

            assert {"won": 8} == names(outcomes)
            assert 2 == len({(each.jti, each.revoked_at) for each in outcomes})

    def test_cutoffs_at_once_leave_the_latest(self, token):
        """Eight threads that log a subject out, each before another moment: the latest cut-off is kept."""
        pair = token.issue_pair("alice")
        now = pair.access.claims.issued_at
        works = [
            lambda back=back: token.log_out_everywhere("alice", issued_before=now + timedelta(seconds=back))
            for back in range(RACERS)
        ]
        outcomes = at_once(works)

        assert {"won": RACERS} == names(outcomes)
        assert now + timedelta(seconds=7) == max(each.issued_before for each in outcomes)
        assert now + timedelta(seconds=7) == token.log_out_everywhere("alice", issued_before=now).issued_before
        assert token.token_revoked(pair.access.token) is True


@pytest.mark.parametrize("place", SQL, indirect=True)
class TestOpenWinners:
    """Losers wait for a winner whose transaction is open; on SQL, because an optimistic store gives up at the commit instead."""

    @pytest.mark.parametrize("commits", [True, False])
    def test_losers_wait_for_an_open_winner(self, token, commits):
        """It commits: they lose. It rolls back: one of them wins."""
        text = token.issue("alice", purpose="reset").token
        opened, release = threading.Event(), threading.Event()
        outcomes: list[Any] = []

        def win() -> None:
            try:
                with context(deadline=timedelta(seconds=PATIENCE)), transaction(token):
                    token.consume(text, purpose="reset")
                    opened.set()
                    release.wait(PATIENCE)
                    if not commits:
                        raise OSError("changed my mind")
            except OSError:
                outcomes.append("rolled back")

        winner = threading.Thread(target=win)
        winner.start()
        assert opened.wait(PATIENCE)
        losers = threading.Thread(target=lambda: outcomes.extend(at_once([lambda: token.consume(text, purpose="reset")] * 4)))
        losers.start()
        losers.join(0.2)
        waiting = losers.is_alive()
        seen_from_outside = token.token_revoked(text)
        release.set()
        winner.join(PATIENCE)
        losers.join(PATIENCE)

        assert waiting
        assert seen_from_outside is False
        expected = {"TokenConsumed": 4} if commits else {"won": 2, "TokenConsumed": 3}
        assert expected == names(outcomes)
        assert token.token_revoked(text) is True

    def test_who_waits_too_long_is_told(self, token):
        """Up to the deadline, then Timeout: neither won nor lost, and nothing written."""
        text = token.issue("alice", purpose="reset").token
        with transaction(token):
            token.consume(text, purpose="reset")

            def late() -> Any:
                with context(deadline=timedelta(milliseconds=50)):
                    return token.consume(text, purpose="reset")

            (outcome,) = at_once([late])

        assert isinstance(outcome, Timeout)


@pytest.mark.parametrize("place", OPTIMISTIC, indirect=True)
def test_of_an_optimistic_store_the_first_commit_wins(token):
    """It holds no lock across a user's code: an open winner that is overtaken gets an error at its commit."""
    text = token.issue("alice", purpose="reset").token
    with pytest.raises(SerializationFailure), transaction(token):
        token.consume(text, purpose="reset")
        outcomes = at_once([lambda: token.consume(text, purpose="reset")] * 4)

    assert {"won": 1, "TokenConsumed": 3} == names(outcomes)
    assert token.token_revoked(text) is True


LOSS = {"consume": "TokenConsumed", "confirm": "TokenConsumed", "rotate": "ReuseDetected"}
WORDS = ["consume", "confirm", "rotate", "rotate with grace", "rotate with session", "consume.aio", "confirm.aio", "rotate.aio"]
"""What processes race for, sync and async."""


def race_of_processes(place: Place, workers: list[Worker], rounds: int) -> None:
    """Hold so many rounds, in turn of each contest, each with all processes."""
    token, lenient, recorded = racers.declare(place), racers.lenient(place), racers.recorded(place)
    for number in range(rounds):
        word = WORDS[number % len(WORDS)]
        kind, graced = word.split(".")[0].split(" ")[0], " with " in word
        lenient_here = recorded if "session" in word else lenient
        if kind == "rotate":
            text = (lenient_here if graced else token).issue_pair("alice").refresh.token
        else:
            text = token.issue("alice", purpose="confirm" if kind == "confirm" else "reset").token
        for racer in workers:
            racer.send(f"{word}:{text}")
        answers = Counter(racer.answer() for racer in workers)
        expected = {"won": RACERS} if graced else {"won": 1, LOSS[kind]: RACERS - 1}

        assert expected == answers
        assert (lenient_here if graced else token).token_revoked(text) is True


@pytest.mark.parametrize("place", SHARED, indirect=True)
class TestProcesses:
    def test_one_of_eight_processes_wins(self, place, workers):
        """Twenty-four rounds over one store: one winner each; of a rotation with grace, all are answered."""
        race_of_processes(place, workers(RACERS), 24)

    @pytest.mark.slow
    def test_one_of_eight_processes_wins_a_thousand_times(self, place, workers):
        """A thousand rounds."""
        race_of_processes(place, workers(RACERS), 1000)

    def test_processes_revoke_and_sweep_at_once(self, place, workers):
        """While some sweep, others revoke: every acknowledged revocation of a live token is kept."""
        token, processes = racers.declare(place), workers(4)
        issued = [token.issue("alice") for _ in range(60)]
        for number, each in enumerate(issued):
            processes[number % 3].send(f"revoke:{each.token}")
            processes[3].send("expunge:")
        answers = [racer.answer() for racer in processes[:3] for _ in range(20)]
        sweeps = [processes[3].answer() for _ in range(60)]

        assert {"won"} == {*answers, *sweeps}
        assert all(token.token_revoked(each.token) for each in issued)
