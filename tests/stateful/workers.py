"""Worker processes of the stateful tests: each gets lines on a pipe, and answers by lines.

They are forked from a server that has imported all that they need, so that a hundred of them may be killed in seconds.
Commands go through a pipe, never through a command line.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

__all__ = ["PATIENCE", "Line", "Worker"]

PATIENCE = 60
"""Seconds of real time after which a test gives up; nothing takes that long when all is well."""

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    ["resourcekit_tokens.signature", "sqlalchemy.ext.asyncio", "psycopg", "pymysql", "asyncmy", "aiosqlite", "redis", "pytest"]
)


class Line:
    """The worker's own end."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe

    def lines(self) -> Iterator[str]:
        """Yield the lines that it is sent, until the pipe is closed."""
        with suppress(EOFError):
            while True:
                yield self._pipe.recv_bytes().decode()

    def reply(self, answer: str) -> None:
        """Answer."""
        self._pipe.send_bytes(answer.encode())


class Worker:
    """One process, from the side of the test. work: gets a Line and the arguments; it ends when its lines end."""

    def __init__(self, work: Callable[..., None], *args: Any) -> None:
        self._pipe, theirs = _CONTEXT.Pipe()
        self._process = _CONTEXT.Process(target=_run, args=(work, theirs, *args), daemon=True)
        self._process.start()
        theirs.close()

    def send(self, line: str) -> None:
        """Send it a line."""
        self._pipe.send_bytes(line.encode())

    def answer(self) -> str:
        """Return its next answer; ``""`` where there is none any more."""
        assert self._pipe.poll(PATIENCE), "a worker does not answer"
        try:
            return self._pipe.recv_bytes().decode()
        except (EOFError, ConnectionResetError):
            return ""

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self._process.pid is not None
        os.kill(self._process.pid, number)

    def kill(self) -> list[str]:
        """End it at once, as the system does with a process out of memory; return the answers that were on their way."""
        self._process.kill()
        rest = []
        while answer := self.answer():
            rest.append(answer)
        self.close()
        return rest

    def end(self) -> None:
        """End it, if it still runs, in whatever state it is."""
        if not self._pipe.closed:
            self.kill()

    def close(self) -> None:
        """Let it end."""
        self._pipe.close()
        self._process.join(PATIENCE)
        if self._process.exitcode is None:
            self._process.kill()
            self._process.join(PATIENCE)


def _run(work: Callable[..., None], pipe: Connection, *args: Any) -> None:
    with suppress(BrokenPipeError):
        work(Line(pipe), *args)
