"""One file of lines, replaced as a whole at each write.

Readers take no lock: a file that is there is never changed, only replaced. Writers of all processes take turns.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
import weakref
from collections.abc import Generator, Iterable
from pathlib import Path
from typing import IO

from resourcekit.errors import Unavailable
from resourcekit.extending import call_deadline

__all__ = ["LinesFile"]

_DEFAULT_WAIT_S = 5.0
"""Seconds that a writer waits for its turn, unless the call has a deadline."""

_RETRY_EVERY_S = 0.002
"""Seconds between two looks at the lock."""


class LinesFile:
    """Lines of text in a file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        # The file that was seen last is held open: no other file can get its number meanwhile, so a look at the number
        # shows whether it was replaced.
        self._seen: weakref.finalize[[int], LinesFile] | None = None
        self._descriptor = -1
        self._stamp: tuple[int, int] = (0, 0)

    def create(self) -> None:
        """Make folder and file where they are missing."""
        with _ours(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a"):
                pass

    def changed(self) -> list[str] | None:
        """Return the lines if they are not those of the last look; else ``None``.

        Raises Unavailable where the file is missing.
        """
        with _ours(self.path):
            status = self.path.stat()
            is_same = self._seen is not None and os.path.samestat(os.fstat(self._descriptor), status)
            if is_same and self._stamp == (status.st_mtime_ns, status.st_size):
                return None
            return self._look()

    def replace(self, lines: Iterable[str]) -> None:
        """Put other lines in the place of all there are; the caller has the turn. Durable when this returns."""
        draft = self.path.with_suffix(".draft")
        with _ours(self.path):
            with draft.open("w", encoding="utf-8") as file:
                file.writelines(f"{line}\n" for line in lines)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self.path)
            _sync_folder(self.path.parent)
            self._look()

    def _look(self) -> list[str]:
        self.close()
        self._descriptor = os.open(self.path, os.O_RDONLY)
        self._seen = weakref.finalize(self, os.close, self._descriptor)
        status = os.fstat(self._descriptor)
        self._stamp = status.st_mtime_ns, status.st_size
        with open(self._descriptor, encoding="utf-8", closefd=False) as file:
            # Not splitlines(): a text may hold characters that it takes for the end of a line.
            return [line for line in file.read().split("\n") if line.strip()]

    @contextlib.contextmanager
    def turn(self) -> Generator[None]:
        """Lock the file against all other writers, in this process and in others. Raises Timeout if they do not release it in time."""
        deadline = call_deadline(self, _DEFAULT_WAIT_S)
        with _ours(self.path):
            lock = self.path.with_suffix(".lock").open("a")
        with lock:
            while not _locked(lock):
                deadline.require(f"another process writes to {self.path.name}, and the time of the call is up")
                time.sleep(_RETRY_EVERY_S)
            yield

    def close(self) -> None:
        """Close the file until the next look."""
        if self._seen is not None:
            self._seen()
        self._seen = None


def _locked(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _sync_folder(folder: Path) -> None:
    """Make the new name of a file durable."""
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


@contextlib.contextmanager
def _ours(path: Path) -> Generator[None]:
    """Let no error of the system leave the data layer."""
    try:
        yield
    except FileNotFoundError:
        msg = f"{path.name} is missing; call create_storage()"
        raise Unavailable(msg) from None
    except (OSError, UnicodeDecodeError) as error:
        msg = f"{path.name} cannot be read or written: {type(error).__name__}"
        raise Unavailable(msg) from None
