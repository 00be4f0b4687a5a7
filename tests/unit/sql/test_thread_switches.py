"""Statements of async calls on SQLite: each takes one switch to the driver's thread, and back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiosqlite
import pytest

from resourcekit import transaction

Calls = dict[str, Callable[[], Awaitable[Any]]]


def test_a_statement_takes_one_switch(tmp_path: Path, declare: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """A create, an upsert and an update switch once. A transaction switches once for each statement, its begin and its commit."""
    note, switches = declare(f"sqlite:///{tmp_path / 'notes.db'}"), list[object]()
    execute = aiosqlite.Connection._execute

    async def counted(self: Any, function: Any, *args: Any, **named: Any) -> Any:
        switches.append(function)
        return await execute(self, function, *args, **named)

    async def three() -> None:
        async with transaction(note):
            for number in range(3):
                await note.write.aio(key=f"three {number}")

    async def run() -> dict[str, int]:
        made = await note.write.aio(key="the first call opens the connection")
        calls: Calls = {
            "write": lambda: note.write.aio(key="one"),
            "put": lambda: note.put.aio(key="one", number=2),
            "edit": lambda: note.edit.aio(made, number=3),
            "three": three,
        }
        counts = dict[str, int]()
        for name, call in calls.items():
            switches.clear()
            await call()
            counts[name] = len(switches)
        await note.__runtime__.store.close()
        return counts

    monkeypatch.setattr(aiosqlite.Connection, "_execute", counted)

    assert asyncio.run(run()) == {"write": 1, "put": 1, "edit": 1, "three": 5}
