"""Attacks on the promises P1 to P9 while tokens are in use: in transactions, interrupted, late, heard, misused."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from contextvars import copy_context
from datetime import timedelta
from typing import Any

import pytest
from call_styles import KEYED, declared, refused

from resourcekit import context, query, transaction
from resourcekit.errors import DeclarationError, ResourcekitError, Timeout
from resourcekit_tokens import RevokedJti
from resourcekit_tokens.errors import InvalidToken, ReuseDetected, TokenConsumed, TokenRevoked


class TestInsideOfATransaction:
    def test_a_savepoint_that_is_rolled_back_takes_only_its_own_back(self, plain, forge):
        """P1 (monotone): inside of a block the acknowledgement is the commit; what the outer block revoked stays."""
        token = plain(**KEYED)
        with transaction(token.resource):
            token.revoke(forge("outer"))
            with contextlib.suppress(OSError), transaction(token.resource):
                token.revoke(forge("inner"))
                assert token.token_revoked(forge("inner")) is True
                raise OSError
            assert (True, False) == (token.token_revoked(forge("outer")), token.token_revoked(forge("inner")))

        assert (True, False) == (token.token_revoked(forge("outer")), token.token_revoked(forge("inner")))

    def test_a_reuse_that_is_found_in_a_block_that_fails_ends_the_family(self, plain, clock):
        """P1 (monotone): the refusal wrote the end of the family; the rollback of the caller does not take it back."""
        token = plain(**KEYED)
        pair = token.issue_pair("alice")
        successor = token.rotate(pair.refresh.token)
        clock.advance(seconds=1)
        with contextlib.suppress(ReuseDetected), transaction(token.resource):
            token.rotate(pair.refresh.token)

        assert refused(lambda: token.rotate(successor.refresh.token), InvalidToken, ResourcekitError)
        assert token.token_revoked(successor.access.token) is True

    def test_calls_of_tasks_in_a_block_are_part_of_it_or_refused(self, plain, forge):
        """P4 (fail loud): what ``gather`` runs in tasks of its own does not leave the block without a word."""
        token = plain(**KEYED).resource

        async def scene() -> tuple[list[Any], bool]:
            with contextlib.suppress(OSError):
                async with transaction(token):
                    done = await asyncio.gather(*(token.revoke.aio(forge(name)) for name in "ab"), return_exceptions=True)
                    raise OSError
            return done, await token.token_revoked.aio(forge("a"))

        done, is_dead = asyncio.run(_ended(scene(), token))

        assert all(isinstance(each, ResourcekitError) for each in done) or is_dead is False

    def test_a_thread_beside_a_block_sees_nothing_before_the_commit_and_all_after(self, plain, forge):
        """P1 (monotone): another caller's check is right about committed facts, before and after."""
        token, seen = plain(**KEYED), []

        def look() -> None:
            thread = threading.Thread(target=copy_context().run, args=(lambda: seen.append(token.token_revoked(forge("j"))),))
            thread.start()
            thread.join(30)

        with transaction(token.resource):
            token.revoke(forge("j"))
        look()

        assert [True] == seen


async def _ended(work: Any, token: Any) -> Any:
    try:
        return await work
    finally:
        await token.__runtime__.store.close()


class TestInterrupted:
    @pytest.mark.parametrize("function", ["revoke", "consume", "rotate", "log_out_everywhere"])
    def test_a_notifier_that_fails_hides_no_commit(self, layer_name, layers, clock, function):
        """P4 (fail loud): the fact is written before notifiers run; an error of one of them makes no check say "live"."""

        def fails(_notification: Any) -> None:
            raise LookupError("a notifier")

        token = declared(layers(layer_name), "resource", notifiers=[fails], **KEYED)
        pair = token.issue_pair("alice")
        clock.advance(seconds=1)
        calls = {
            "revoke": lambda: token.revoke(pair.refresh.token),
            "consume": lambda: token.consume(pair.refresh.token, purpose="refresh"),
            "rotate": lambda: token.rotate(pair.refresh.token),
            "log_out_everywhere": lambda: token.log_out_everywhere("alice"),
        }
        with contextlib.suppress(LookupError, ExceptionGroup):
            calls[function]()

        assert token.token_revoked(pair.refresh.token) is True

    def test_an_exception_from_outside_in_a_block_leaves_none_open(self, plain, forge):
        """P4 (fail loud): KeyboardInterrupt in the middle of a block ends it; a later revocation is a commit of its own."""
        token = plain(**KEYED)
        with pytest.raises(KeyboardInterrupt), transaction(token.resource):
            token.revoke(forge("lost"))
            raise KeyboardInterrupt
        token.revoke(forge("kept"))
        found: list[bool] = []
        thread = threading.Thread(target=lambda: found.extend([token.jti_revoked("lost"), token.jti_revoked("kept")]))
        thread.start()
        thread.join(30)

        assert [False, True] == found


class TestTime:
    def test_calls_under_one_deadline_share_it(self, token_resource, forge):
        """A deadline that has passed refuses each call: checks say revoked, all others raise Timeout."""
        token = token_resource(**KEYED)
        text = forge("j")
        with context(deadline=timedelta(microseconds=1)):
            for _ in range(1000):
                pass
            answers = [token.token_revoked(text), token.jti_revoked("j")]
            calls = [
                lambda: token.revoke(text),
                lambda: token.verify(text),
                lambda: token.consume(text, purpose="user"),
                lambda: token.log_out_everywhere("alice"),
                lambda: token.tokens_for_subject("alice"),
                lambda: token.issue("alice"),
                lambda: token.get_token(jti="j"),
                lambda: token.store_token(text),
            ]
            late = [refused(call, Timeout) for call in calls]

        assert [True, True] == answers
        assert [True] * len(calls) == late
        assert token.token_revoked(text) is False


class TestHeard:
    def test_each_function_that_ends_something_notifies(self, layer_name, layers, forge, clock):
        """An audit trail misses none of them: revoke, consume, rotate, confirm, log-out, reuse, a bulk, an import."""
        heard: list[str] = []
        token = declared(
            layers(layer_name), "resource", notifiers=[lambda note: heard.append(note.action)], store_all_tokens=True, **KEYED
        )
        pair, other = token.issue_pair("alice"), token.issue_pair("bob")
        confirm = token.issue("alice", purpose="confirm")
        clock.advance(seconds=1)
        calls = {
            "revoke": lambda: token.revoke(forge("x")),
            "revoke_jti": lambda: token.revoke_jti("y"),
            "revoke_jtis": lambda: token.revoke_jtis([RevokedJti("z")]),
            "consume": lambda: token.consume(other.refresh.token, purpose="refresh"),
            "rotate": lambda: token.rotate(pair.refresh.token),
            "reuse": lambda: refused(lambda: token.rotate(pair.refresh.token), ReuseDetected),
            "confirm": lambda: token.confirm(confirm.token),
            "log out": lambda: token.log_out_everywhere("alice"),
            "all stored": lambda: token.revoke_all_stored_for_subject("bob"),
        }
        silent = []
        for name, call in calls.items():
            heard.clear()
            call()
            if not heard:
                silent.append(name)

        assert [] == silent


class TestQuiet:
    def test_no_error_of_a_wrong_call_shows_a_token_or_a_jti(self, token_resource, forge):
        """P9 (quiet): neither the text, nor the repr, nor the notes of an error of a misuse hold what was given."""
        token = token_resource(**KEYED)
        text, shown = forge("a-secret-jti"), []
        calls = [
            lambda: token.revoke(text, resaon="x"),
            lambda: token.revoke(text, text, text, text),
            lambda: token.token_revoked(text, text),
            lambda: token.revoke_jti("a-secret-jti", expires_at=text),
            lambda: token.revoke_jti(jti="a-secret-jti", exp=3),
            lambda: token.jti_revoked("a-secret-jti", issued_at=text),
            lambda: token.get_token(token=text, jti="a-secret-jti", purpose=text),
            lambda: token.consume(text),
            lambda: token.consume(text, purpose=text),
            lambda: token.revoke_jtis(["a-secret-jti"]),
            lambda: token.revoke_jtis([RevokedJti("a-secret-jti", expires_at="x")]),  # type: ignore[arg-type]
            lambda: token.log_out_everywhere("alice", keep=text),
            lambda: token.log_out_everywhere("alice", keep=[object()]),
            lambda: token.store_token(text, extra_data=text),
            lambda: token.store_token(text, values={"jti": "a-secret-jti"}),
            lambda: token.rotate(text, claims=text),
            lambda: token.explain(token=text, jti="a-secret-jti"),
            lambda: query(token.resource).filter(jti="a-secret-jti"),  # type: ignore[call-arg]
        ]
        for call in calls:
            try:
                call()
            except Exception as error:
                shown += [str(error), repr(error), *getattr(error, "__notes__", ())]
                shown.append(type(error).__name__ if not isinstance(error, (ResourcekitError,)) else "")

        assert not [each for each in shown if "a-secret-jti" in each or text in each or text.split(".")[2] in each]
        assert {""} == {each for each in shown if each in ("TypeError", "AttributeError", "KeyError", "ValueError", "")}


class TestOneWinner:
    @pytest.mark.parametrize("use", ["consume", "rotate", "confirm"])
    def test_of_threads_one_wins(self, plain, clock, use):
        """P2 (one winner): of eight threads exactly one succeeds; the losers have a refusal of their kind."""
        token = plain(**KEYED)
        purpose = "confirm" if use == "confirm" else "refresh"
        issued = token.issue("alice", purpose="confirm") if use == "confirm" else token.issue_pair("alice").refresh
        outcomes: list[str] = []
        start = threading.Barrier(8)

        def act() -> None:
            start.wait(30)
            try:
                with context(deadline=timedelta(seconds=60)):
                    (
                        token.rotate(issued.token)
                        if use == "rotate"
                        else token.confirm(issued.token)
                        if use == "confirm"
                        else token.consume(issued.token, purpose=purpose)
                    )
                outcomes.append("won")
            except (TokenConsumed, ReuseDetected, TokenRevoked) as error:
                outcomes.append(type(error).__name__)
            except Exception as error:
                outcomes.append(repr(error))

        threads = [threading.Thread(target=copy_context().run, args=(act,)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)

        assert 1 == outcomes.count("won"), outcomes
        assert {"won", "TokenConsumed", "ReuseDetected", "TokenRevoked"} >= set(outcomes)


class TestDeployments:
    def test_a_bound_below_a_lifetime_shortens_or_refuses_tokens(self, plain, clock):
        """P1 (monotone): no token outlives the bound by which records are kept."""
        token = plain(max_lifetime=timedelta(hours=1), **KEYED)
        issued = token.issue("alice")
        token.log_out_everywhere("alice")
        clock.advance(hours=2)
        token.expunge_expired()

        assert issued.claims.expires_at <= issued.claims.issued_at + timedelta(hours=1)
        assert token.token_revoked(issued.token) is True
        assert refused(lambda: token.issue("alice", lifetime=timedelta(hours=2)), ResourcekitError, DeclarationError)
