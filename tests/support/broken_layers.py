"""Data layers that lose data, each in one way, and layers that hang. The conformance suite must fail each of them."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import threading
from collections.abc import Callable, Generator, Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import ClassVar, TypeVar

import attrs

from resourcekit.clock import current_clock
from resourcekit.data_layers import SQL
from resourcekit.data_layers.base import Store
from resourcekit.data_layers.checked_store import SharedSettings
from resourcekit.extending import Draft, ResourceInfo
from resourcekit_jsonlines import JSONLines
from resourcekit_jsonlines.file import LinesFile
from resourcekit_jsonlines.store import JSONLinesStore

__all__ = ["BROKEN", "FORGETFUL", "AwaitsForever", "WaitsForever", "Whole"]

T = TypeVar("T")


@attrs.frozen
class Whole(JSONLines):
    """The example layer as it is; the others replace its store or its file."""

    store: ClassVar[type[JSONLinesStore]] = JSONLinesStore
    file: ClassVar[type[LinesFile]] = LinesFile

    def bind(self, info: ResourceInfo) -> Store:
        bound = self.store(info, Path(self.folder))
        bound._file = self.file(bound._file.path)
        return bound


class MemoryOnly(JSONLinesStore):
    def _follow(self) -> None:
        """Leave the table as it is in memory."""

    def _commit(self, draft: Draft) -> None:
        draft.apply()


class ProcessMemory(LinesFile):
    """Keeps lines for all stores of this process, and none in the file."""

    kept: ClassVar[dict[Path, list[str]]] = {}

    def changed(self) -> list[str] | None:
        return list(self.kept.get(self.path, ()))

    def replace(self, lines: Iterable[str]) -> None:
        self.kept[self.path] = list(lines)


class ReadsOnce(JSONLinesStore):
    """Reads its file when it is first used, and never again."""

    has_read = False

    def _follow(self) -> None:
        if not self.has_read:
            super()._follow()
            self.has_read = True


class OneBehind(LinesFile):
    """Writes to the file when the next write comes, so that the last one is lost at a close."""

    pending: list[str] | None = None

    def changed(self) -> list[str] | None:
        return super().changed() if self.pending is None else self.pending

    def replace(self, lines: Iterable[str]) -> None:
        if self.pending is not None:
            super().replace(self.pending)
        self.pending = list(lines)


class InPlace(LinesFile):
    """Writes over the file instead of replacing it."""

    def replace(self, lines: Iterable[str]) -> None:
        with self.path.open("w", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in lines)
        self._look()


class RowByRow(LinesFile):
    """Replaces the file once for each line of a write."""

    def replace(self, lines: Iterable[str]) -> None:
        lines = list(lines)
        known = len(self.path.read_text().splitlines())
        for number in range(min(known, len(lines)), len(lines) + 1):
            super().replace(lines[:number])


_ALONE = threading.RLock()


class LocksThreadsOnly(LinesFile):
    """Lets writers of one process take turns, and not those of several."""

    @contextlib.contextmanager
    def turn(self) -> Generator[None]:
        with _ALONE:
            yield

    def replace(self, lines: Iterable[str]) -> None:
        draft = self.path.with_suffix(f".{os.getpid()}")
        draft.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        draft.replace(self.path)
        self._look()


class WritesLater(ProcessMemory):
    """Acknowledges a write, and brings it to the file a moment later."""

    def changed(self) -> list[str] | None:
        return super().changed() if self.path in self.kept else LinesFile.changed(self)

    def replace(self, lines: Iterable[str]) -> None:
        super().replace(lines)
        text = "".join(f"{line}\n" for line in self.kept[self.path])
        later = threading.Timer(0.05, self.path.write_text, [text])
        later.daemon = True
        later.start()


class Deadlock(LinesFile):
    """Waits for a lock that nothing gives back."""

    @contextlib.contextmanager
    def turn(self) -> Generator[None]:
        lock = threading.Lock()
        lock.acquire()
        lock.acquire()  # hangs here
        yield


class NeverSet(JSONLinesStore):
    async def write(self, work: Callable[[Draft], T]) -> T:
        await asyncio.Event().wait()
        return await super().write(work)


BROKEN: dict[str, type] = {}
"""The broken stores and files by name."""


def _layer(part: type) -> type[Whole]:
    kind = "store" if issubclass(part, JSONLinesStore) else "file"
    layer = type(part.__name__ + "Layer", (Whole,), {kind: part, "__module__": __name__, "__doc__": part.__doc__})
    return attrs.frozen(layer)


for _part in (MemoryOnly, ProcessMemory, ReadsOnce, OneBehind, InPlace, RowByRow, LocksThreadsOnly, WritesLater):
    BROKEN[_part.__name__] = _layer(_part)
WaitsForever, AwaitsForever = _layer(Deadlock), _layer(NeverSet)


class _Settings(SQL):
    """SQLite, with settings that are kept in another way."""

    settings: ClassVar[Callable[[str], SharedSettings | None]]

    def __init__(self, folder: Path) -> None:
        super().__init__(f"sqlite:///{folder}/records.db")

    def bind(self, info: ResourceInfo) -> Store:
        bound = super().bind(info)
        kept = self.settings(repr(bound.written_place))
        if kept is not None:
            bound.record_setting, bound.recorded_setting = kept.record_setting, kept.recorded_setting
        return bound


class _KeptHere(SharedSettings):
    """Keeps settings for one store, as all rules say."""

    def __init__(self, place: str) -> None:
        del place
        self._kept: dict[str, tuple[int, datetime]] = {}

    async def record_setting(self, name: str, value: int, *, lowered_after: timedelta) -> int:
        there, moment = self._kept.get(name, (value, current_clock().now())), current_clock().now()
        if there[0] <= value or there[1] < moment - lowered_after:
            self._kept[name] = there = value, moment
        return there[0]

    async def recorded_setting(self, name: str) -> int | None:
        return self._kept[name][0] if name in self._kept else None


_of_this_process = functools.cache(_KeptHere)


class _LoweredAtOnce(_KeptHere):
    async def record_setting(self, name: str, value: int, *, lowered_after: timedelta) -> int:
        self._kept[name] = value, current_clock().now()
        return value


FORGETFUL: dict[str, type] = {
    name: type(name, (_Settings,), {"settings": staticmethod(settings), "__module__": __name__})
    for name, settings in {
        "Forgets": lambda _: SharedSettings(),
        "OfOneStore": _KeptHere,
        "OfOneProcess": _of_this_process,
        "LoweredAtOnce": functools.cache(_LoweredAtOnce),
        "Remembers": lambda _: None,
    }.items()
}
"""Layers that do not keep the settings of a deployment, by name; the last one does."""
