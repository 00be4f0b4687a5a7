"""One racer: a process that does what its standard input says, line by line, on one SQLite file, and answers each line.

``racers.py DATABASE``: tokens come by standard input, never by the command line. A line is ``function rest``; the answer
is ``won``, or the name of the error.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

from resourcekit import Domain, context, transaction
from resourcekit.data_layers import SQL
from resourcekit.errors import ResourcekitError
from resourcekit_tokens import JWT, TokenRecord, TokenResource

PATIENCE = 60
"""Seconds of real time after which a race is given up; none takes that long when all is well."""

SECRET = "a-secret-for-races-that-is-long-enough-for-every-hash-there-is-0123456789"


def declare(path: str) -> Any:
    """Declare the token resource that all racers share."""
    domain = Domain("races")

    class Token(
        TokenRecord,
        domain=domain,
        data_layer=SQL(f"sqlite:///{path}", table="tokens"),
        extensions=[TokenResource(jwt=JWT(SECRET), clock_skew=timedelta(0))],
    ):
        """Tokens of a race."""

    domain.create_storage()
    Token.__kept__ = domain  # type: ignore[attr-defined]  # the registry holds it weakly
    return Token


def deeds(token: Any) -> dict[str, Callable[[str], Any]]:
    """Return what a racer can do, by the word that asks for it."""
    return {
        "consume": lambda text: token.consume(text, purpose="reset"),
        "consume.aio": lambda text: asyncio.run(token.consume.aio(text, purpose="reset")),
        "confirm": token.confirm,
        "rotate": token.rotate,
        "revoke": token.revoke,
        "revoke_jti": token.revoke_jti,
        "store": token.store_token,
        "expunge": lambda _: token.expunge_expired(batch_size=50),
        "hold": lambda text: hold(token, text),
        "ping": lambda _: None,
    }


def hold(token: Any, text: str) -> None:
    """Use a token in a transaction that stays open until this process is killed."""
    with transaction(token):
        token.consume(text, purpose="reset")
        print("holding", flush=True)  # noqa: T201  # the answer
        sys.stdin.read()


class Racer:
    """One process, asked over its standard input."""

    def __init__(self, path: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, __file__, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def send(self, line: str) -> None:
        """Ask."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def answer(self) -> str:
        """Return the next answer; ``""`` where there is none any more."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def kill(self) -> list[str]:
        """End it at once, as the system does with a process out of memory; return the answers that were on their way."""
        self.process.kill()
        assert self.process.stdout is not None
        rest = [line.strip() for line in self.process.stdout.readlines()]
        self.close()
        return rest

    def close(self) -> None:
        """Let it end."""
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                with suppress(BrokenPipeError):
                    stream.close()
        self.process.wait(PATIENCE)


def main() -> None:
    """Answer each line."""
    known = deeds(declare(sys.argv[1]))
    for line in sys.stdin:
        word, _, rest = line.strip().partition(" ")
        try:
            with context(deadline=timedelta(seconds=60)):
                known[word](rest)
        except ResourcekitError as error:
            answer = type(error).__name__
        else:
            answer = "won"
        print(answer, flush=True)  # noqa: T201  # the answer


if __name__ == "__main__":
    main()
