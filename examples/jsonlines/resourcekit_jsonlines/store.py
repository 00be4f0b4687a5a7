"""The store of one resource: its table follows its file. What operations mean on the table comes from resourcekit."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterable
from pathlib import Path
from typing import TypeVar

from resourcekit.errors import Invalid, Unavailable
from resourcekit.extending import Draft, Finding, JSONKeep, JSONRows, ResourceInfo, Row, RowsStore, off_loop
from resourcekit_jsonlines.file import LinesFile

__all__ = ["JSONLinesStore"]

T = TypeVar("T")


class JSONLinesStore(RowsStore):
    """The records of one resource, a line each."""

    def __init__(self, info: ResourceInfo, folder: Path) -> None:
        super().__init__(info, JSONKeep(info))
        self._file = LinesFile(folder / f"{info.name}.jsonl")
        self._json = JSONRows(info)
        self._lines: dict[Hashable, str] = {}
        self._guard = threading.Lock()  # of the table and the lines

    @property
    def group(self) -> Hashable:
        return "jsonlines", self._file.path.parent

    @property
    def place(self) -> Hashable:
        return self._file.path.absolute()

    async def read(self, work: Callable[[Draft], T]) -> T:
        def run() -> T:
            with self._guard:
                self._follow()
                return work(self.table.committed)

        return await off_loop(run)

    async def write(self, work: Callable[[Draft], T]) -> T:
        def run() -> T:
            with self._file.turn(), self._guard:
                self._follow()
                draft = Draft(self.table, tracked=False)
                result = work(draft)
                if draft.rows:
                    self._commit(draft)
                return result

        return await off_loop(run)

    def _commit(self, draft: Draft) -> None:
        lines = self._lines | {key: self._json.encode(row) for key, row in draft.rows.items() if row is not None}
        lines = {key: line for key, line in lines.items() if draft.rows.get(key, line) is not None}
        self._file.replace(lines.values())
        draft.apply()
        self._lines = lines

    def _follow(self) -> None:
        """Bring the table up to date with the file, which other processes write too. Only lines that are new are parsed."""
        lines = self._file.changed()
        if lines is None:
            return
        given, known = set(lines), set(self._lines.values())
        for key in [key for key, line in self._lines.items() if line not in given]:
            self.table.replace(key, None)
            del self._lines[key]
        for number, line in enumerate(lines, 1):
            if line not in known:
                row = self._parse(number, line)
                if (key := self.table.key_of(row)) in self._lines:
                    raise self._unreadable(number, "repeats the key of another line")
                self.table.replace(key, row)
                self._lines[key] = line

    def _parse(self, number: int, line: str) -> Row:
        try:
            return self.keep.row(self._json.decode(line))
        except (ValueError, Invalid):
            raise self._unreadable(number, f"is no record of {self.info.name}") from None

    def _unreadable(self, number: int, why: str) -> Unavailable:
        self._file.close()  # so that the next look reads it again
        return Unavailable(f"line {number} of {self._file.path.name} {why}")

    async def health(self) -> Iterable[Finding]:
        try:
            await self.read(lambda draft: None)
        except Unavailable as error:
            cure = "Call create_storage(), or repair the file."
            return [Finding(id="JSONLINES01", what=str(error), why="No record can be read.", cure=cure)]
        return []

    async def create_storage(self) -> None:
        await off_loop(self._file.create)

    async def close(self) -> None:
        with self._guard:
            self._file.close()
