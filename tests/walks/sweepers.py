"""Processes that sweep, or do mixed work and write down what they saw, on SQLite, Redis or Valkey; they may be killed.

``sweepers.py URL TAG``, then one line on standard input says what to do: ``sweep SIZE`` tells the sum so far after each
batch and ``done SUM`` at the end; ``mix SEED HISTORY`` works until it is ended, and ``plant FILE`` too, but wrongly.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from datetime import timedelta
from typing import Any

import jwt as pyjwt

from resourcekit import Domain, context
from resourcekit.data_layers import SQL, Redis
from resourcekit.errors import ResourcekitError
from resourcekit_tokens import JWT, TokenRecord, TokenResource

PATIENCE = 60
"""Seconds of real time after which a test gives up."""

SECRET = "a-secret-for-sweepers-that-is-long-enough-for-every-hash-there-is-012345"
LIFE = 3
"""Seconds that a token of the mixed work lives: long enough to be revoked and checked, short enough to be swept."""

SLOTS = 10
"""Tokens that live at once in the mixed work, shared by all processes."""


def layer_of(url: str, tag: str) -> Any:
    """Return the data layer for a URL; the tag keeps tests apart on one server."""
    return SQL(url, table="tokens") if url.startswith("sqlite") else Redis(url, tag=tag, accept=["appendonly"])


def declare(layer: Any, **options: Any) -> Any:
    """Declare the token resource that all processes share."""
    domain = Domain("sweepers")
    options = {"jwt": JWT(SECRET), "clock_skew": timedelta(0), **options}

    class Token(TokenRecord, domain=domain, data_layer=layer, extensions=[TokenResource(**options)]):
        """Tokens that are swept."""

    domain.create_storage()
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
        told = {"who": os.getpid(), "did": word, "jti": jti, "began": began, "ended": time.monotonic(), "saw": outcome}
        os.write(self._file, json.dumps(told).encode() + b"\n")


def mix(token: Any, seed: int, history: str) -> None:
    """Revoke, use, store, check and sweep tokens that all processes share, until somebody ends this one."""
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
        recorder.call(word, jti, deeds(token, text, jti)[word])


def deeds(token: Any, text: str, jti: str) -> dict[str, Any]:
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


def plant(file: str) -> None:
    """Forget revoked records while their tokens live, as a clean-up does that knows no margin."""
    with closing(sqlite3.connect(file, timeout=PATIENCE, isolation_level=None)) as connection:
        while True:
            connection.execute("DELETE FROM tokens WHERE revoked_at IS NOT NULL")
            time.sleep(0.02)  # it must not keep the file for itself


def sweep(token: Any, size: int) -> None:
    """Sweep once, and tell the sum after each batch."""
    tell = lambda so_far: print(so_far.removed, flush=True)  # noqa: E731, T201  # the answer
    print(f"done {token.expunge_expired(batch_size=size, on_progress=tell).removed}", flush=True)  # noqa: T201  # the answer


class Sweeper:
    """One process, ready to do what it is asked."""

    def __init__(self, url: str, tag: str) -> None:
        command = [sys.executable, __file__, url, tag]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, line: str) -> None:
        """Say what to do."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def answer(self) -> str:
        """Return the next line it tells; ``""`` where there is none any more."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def kill(self) -> list[str]:
        """End it at once, and return what it had told until then."""
        self.process.kill()
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        rest = [line.strip() for line in self.process.stdout.readlines()]
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(PATIENCE)
        return rest


def main() -> None:
    """Declare, say so, and do what the line says."""
    url, tag = sys.argv[1:]
    token = declare(layer_of(url, tag))
    print("ready", flush=True)  # noqa: T201  # the answer
    word, _, rest = sys.stdin.readline().strip().partition(" ")
    match word:
        case "sweep":
            sweep(token, int(rest))
        case "mix":
            seed, _, history = rest.partition(" ")
            mix(token, int(seed), history)
        case "plant":
            plant(rest)


if __name__ == "__main__":
    main()
