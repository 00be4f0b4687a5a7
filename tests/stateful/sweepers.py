"""What a sweeper does: a process that sweeps, or does mixed work and writes down what it saw; it may be killed.

One line says what to do: ``sweep SIZE`` prints the sum so far after each batch and ``done SUM`` at the end; ``mix SEED
HISTORY`` works until it is ended, and ``plant`` too, but wrongly.
"""

from __future__ import annotations

import json
import os
import random
import time
from contextlib import closing
from datetime import timedelta
from typing import Any

import jwt as pyjwt
from places import Place
from workers import Line

from resourcekit import Domain, context
from resourcekit.errors import ResourcekitError
from resourcekit_tokens import JWT, TokenRecord, TokenResource
from tests.support.databases import connect

__all__ = ["declare", "work"]

SECRET = "a-secret-for-sweepers-that-is-long-enough-for-every-hash-there-is-012345"
LIFE = 3
"""Seconds that a token of the mixed work lives: long enough to be revoked and checked, short enough to be swept."""

SLOTS = 10
"""Tokens that live at once in the mixed work, shared by all processes."""


def declare(place: Place, **options: Any) -> Any:
    """Declare the token resource that all processes share, and make its storage."""
    token = declared(place, **options)
    token.__kept__.create_storage()
    return token


def declared(place: Place, **options: Any) -> Any:
    """Declare it, and ask the store for nothing: an error there would end the process before its work begins."""
    domain = Domain("sweepers")
    options = {"jwt": JWT(SECRET), "clock_skew": timedelta(0), **options}

    class Token(TokenRecord, domain=domain, data_layer=place.layer(), extensions=[TokenResource(**options)]):
        """Tokens that are swept."""

    Token.__kept__ = domain  # type: ignore[attr-defined]  # the registry holds it weakly
    return Token


def token_of(slot: int, now: float) -> tuple[str, str, float]:
    """Return the token that lives in a slot now, its jti and its expiry; every process makes the same one."""
    # Each slot begins its tokens at another moment, so that some always are about to expire.
    shift = slot * LIFE / SLOTS
    era = int((now + shift) // LIFE)
    ends = int((era + 1) * LIFE - shift) + 1
    jti = f"slot-{slot}-{era}"
    return pyjwt.encode({"jti": jti, "sub": "alice", "iat": ends - LIFE - 2, "exp": ends}, SECRET, "HS256"), jti, float(ends)


class Recorder:
    """Writes what a call gave, one line each, once it has returned; a line is written whole or not at all."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def call(self, word: str, jti: str, work: Any) -> None:
        """Do it and write down when it began, when it had ended, and its outcome; what it could not do is no outcome."""
        began = time.monotonic()
        try:
            with context(deadline=timedelta(seconds=5)):
                outcome = work()
        except ResourcekitError as error:
            outcome = type(error).__name__
        # One clock for all processes of a machine: what ended before another began, really did.
        received = {"who": os.getpid(), "did": word, "jti": jti, "began": began, "ended": time.monotonic(), "saw": outcome}
        os.write(self._file, json.dumps(received).encode() + b"\n")


def mix(token: Any, seed: int, history: str) -> None:
    """Revoke, use, store, check and sweep tokens that all processes share, until this one is ended."""
    dice, recorder = random.Random(seed), Recorder(history)
    words = ["revoke", "consume", "store", "sweep", "check", "check", "verify", "check jti", "explain"]
    # Rarely enough that most tokens live for a while, and are seen so.
    weights = [1, 1, 2, 2, 3, 3, 3, 3, 3]
    while True:
        now = time.time()
        # Often one that is about to expire, or has expired: then it may be swept between two steps of a call.
        text, jti, ends = token_of(dice.randrange(SLOTS), now - dice.choice([0, 0, 1, 1.5, 2]))
        # A check by jti alone does not know when the token ends; afterwards it has nothing more to say.
        word = dice.choices(words, weights)[0]
        if word == "check jti" and now > ends - 1:
            word = "check"
        recorder.call(word, jti, operations(token, text, jti)[word])


def operations(token: Any, text: str, jti: str) -> dict[str, Any]:
    """Return what the mixed work does with one token, and what it calls the outcome."""
    dead = {True: "dead", False: "live"}
    return {
        "revoke": lambda: (token.revoke(text), "done")[1],
        "consume": lambda: (token.consume(text, purpose="user"), "done")[1],
        "store": lambda: (token.store_token(text), "done")[1],
        "sweep": lambda: token.expunge_expired(batch_size=7).removed,
        "check": lambda: dead[token.token_revoked(text)],
        "verify": lambda: (token.verify(text), "live")[1],
        "check jti": lambda: dead[token.jti_revoked(jti)],
        "explain": lambda: f"{dead[(verdict := token.explain(token=text)).revoked]} by {verdict.rule}",
    }


def plant(place: Place) -> None:
    """Remove revoked records while their tokens live, as a clean-up without a margin does."""
    with closing(connect(place.urls[0])) as connection:
        while True:
            connection.cursor().execute("DELETE FROM tokens WHERE revoked_at IS NOT NULL")
            time.sleep(0.02)  # it must not keep the table for itself


def sweep(token: Any, size: int, line: Line) -> None:
    """Sweep once, and send the sum after each batch."""
    result = token.expunge_expired(batch_size=size, on_progress=lambda so_far: line.reply(str(so_far.removed)))
    line.reply(f"done {result.removed}")


def work(line: Line, place: Place) -> None:
    """Declare, say so, and do what the line says, as a process of its own."""
    token = declared(place)
    line.reply("ready")
    word, _, rest = next(line.lines(), "").partition(" ")
    match word:
        case "sweep":
            sweep(token, int(rest), line)
        case "mix":
            seed, _, history = rest.partition(" ")
            mix(token, int(seed), history)
        case "plant":
            plant(place)
