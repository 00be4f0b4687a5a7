"""What is special about JSON lines: the file, its writers, and how the layer is named."""

from __future__ import annotations

import asyncio
import fcntl
import json
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from resourcekit import Attr, Domain, Resource, attribute, context, create, destroy, get, query, set_attribute, update
from resourcekit.errors import DataLayerError, DeclarationError, Invalid, Timeout, Unavailable
from resourcekit.extending import Insert
from resourcekit.testing import declaration_errors
from resourcekit_jsonlines import JSONLines


def declare(folder: Path, layer: Any = None) -> Any:
    """Declare a resource whose records are in a folder."""
    domain = Domain("notes")

    class Note(Resource, domain=domain, data_layer=layer or JSONLines(folder)):
        id: Attr[int] = attribute(primary_key=True)
        text: Attr[str] = attribute(default="")
        due: Attr[datetime | None] = attribute(default=None)
        write = create(accept=["id", "text", "due"])
        clear = update(changes=[set_attribute("text", "")])
        drop = destroy()

    domain.create_storage()
    return Note


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that is not there yet."""
    return tmp_path / "deep" / "records"


def test_a_record_is_a_line(folder: Path) -> None:
    """The file holds one JSON object a record, without what is None, in the order of writing."""
    note = declare(folder)
    note.write(id=2, text="naïve\u2028two")
    note.write(id=1, due=datetime(2026, 11, 25, 12, tzinfo=UTC))
    note.clear(2)

    lines = folder.joinpath("Note.jsonl").read_bytes().decode().split("\n")
    assert ['{"id": 2, "text": ""}', '{"id": 1, "text": "", "due": "2026-11-25T12:00:00+00:00"}', ""] == lines
    note.drop.bulk(query(note))
    assert b"" == folder.joinpath("Note.jsonl").read_bytes()


def test_a_text_may_hold_what_ends_a_line_elsewhere(folder: Path) -> None:
    """Only a line feed ends a line; other separators are part of the text."""
    text = "a\u2028b\u2029c\x85d\x0ce\rf\ng"
    note = declare(folder)
    note.write(id=1, text=text)

    assert text == get(declare(folder), 1).text


def test_a_plugin_serves_the_scheme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``"jsonlines:records"`` and ``"jsonlines"`` are found by the entry point, relative to the working folder."""
    monkeypatch.chdir(tmp_path)
    declare(tmp_path, "jsonlines:records").write(id=1)
    declare(tmp_path, "jsonlines").write(id=2)

    assert '{"id": 1, "text": ""}\n' == tmp_path.joinpath("records", "Note.jsonl").read_text()
    assert '{"id": 2, "text": ""}\n' == tmp_path.joinpath("Note.jsonl").read_text()


def test_edits_by_hand_are_seen(folder: Path) -> None:
    """A line that is added, changed or removed in an editor counts from the next call on."""
    note = declare(folder)
    note.write.bulk([{"id": 1}, {"id": 2}, {"id": 3}])
    with folder.joinpath("Note.jsonl").open("a") as file:
        file.write('\n{"text": "by hand", "id": 4}\n')
    seen = [sorted(each.id for each in query(note).all())]
    lines = folder.joinpath("Note.jsonl").read_text().split("\n")
    folder.joinpath("Note.jsonl").write_text("\n".join([lines[0].replace('""', '"changed"'), *lines[2:]]))
    seen.append(sorted(each.id for each in query(note).all()))

    assert [[1, 2, 3, 4], [1, 3, 4]] == seen
    assert ["changed", "by hand"] == [get(note, key).text for key in (1, 4)]


@pytest.mark.parametrize(
    "line",
    ["{", "[1]", '{"id": "x"}', '{"id": 1, "due": "tomorrow"}', '{"text": "no key"}', '{"id": 7, "text": "again"}', "\ufffe"],
)
def test_a_line_that_is_no_record_is_named(folder: Path, line: str) -> None:
    """As long as the wrong line is there, nothing is read and nothing written; the text names the line, and shows no part of it."""
    note = declare(folder)
    note.write(id=7)
    good = folder.joinpath("Note.jsonl").read_text()
    folder.joinpath("Note.jsonl").write_text(good + line)

    for call in (lambda: get(note, 7), lambda: note.write(id=8), lambda: query(note).count()):
        with pytest.raises(Unavailable, match=r"^line 2 of Note\.jsonl ") as caught:
            call()
        assert line not in str(caught.value)
    folder.joinpath("Note.jsonl").write_text(good)
    assert [7] == [each.id for each in query(note).all()]


def test_a_missing_file_is_unavailable(folder: Path) -> None:
    """A file that is gone is no empty one: every call raises, doctor has a finding, and create_storage helps."""
    note = declare(folder)
    folder.joinpath("Note.jsonl").unlink()
    health = asyncio.run(note.__runtime__.store.health())

    with pytest.raises(Unavailable, match=r"Note\.jsonl is missing; call create_storage\(\)"):
        query(note).count()
    with pytest.raises(Unavailable):
        note.write(id=1)
    assert ["JSONLINES01"] == [finding.id for finding in health]
    assert 0 == query(declare(folder)).count()


def test_what_is_no_json_is_refused_row_by_row(folder: Path) -> None:
    """A value that JSON cannot hold is Invalid where it comes in; the other rows are written, and nothing breaks off."""

    class Box(Resource, domain=Domain("boxes"), data_layer=JSONLines(folder)):
        id: Attr[int] = attribute(primary_key=True)
        content: Attr[dict[str, Any]] = attribute(default_factory=dict)

    store, kept = Box.__runtime__.store, {"numbers": [1, None, 2.5], "text": "é"}
    asyncio.run(store.create_storage())
    plan = store.compile(Insert(("id", "content")))
    rows = [{"id": 1, "content": {"when": datetime.now(UTC)}}, {"id": 2, "content": kept}, {"id": 3, "content": {"odd": {1, 2}}}]
    result = asyncio.run(store.insert(plan, rows, {}))

    assert [Invalid, Invalid] == [type(failure.error) for failure in result.failures]
    assert ["Box: content: must be made of JSON values only"] * 2 == [str(failure.error) for failure in result.failures]
    assert [(2, kept)] == [(box.id, box.content) for box in query(Box).all()]


def test_two_resources_in_one_process_follow_each_other(folder: Path) -> None:
    """What one class writes, another on the same file reads, sync and async."""
    first, second = declare(folder), declare(folder)
    first.write(id=1)
    second.write(id=2)

    async def work() -> int:
        await first.drop.aio(2)
        return await query(second).count.aio()

    assert [1, 2] == sorted(each.id for each in query(first).all())
    assert 1 == asyncio.run(work())


def test_of_many_processes_one_wins(folder: Path) -> None:
    """Four processes insert the same 25 keys at once: each key is taken once, and every line is whole."""
    declare(folder)
    program = f"""
        from resourcekit import Attr, Resource, attribute, create
        from resourcekit_jsonlines import JSONLines

        class Note(Resource, data_layer=JSONLines({str(folder)!r})):
            id: Attr[int] = attribute(primary_key=True)
            text: Attr[str] = attribute(default="")
            write = create(accept=["id"])

        print(sum(Note.write.bulk([{{"id": number}}]).count for number in range(25)))
    """
    racers = [subprocess.Popen([sys.executable, "-c", dedent(program)], stdout=subprocess.PIPE, text=True) for _ in range(4)]
    wins = [int(racer.communicate(timeout=120)[0]) for racer in racers]
    lines = folder.joinpath("Note.jsonl").read_text().splitlines()

    assert 25 == sum(wins)
    assert list(range(25)) == sorted(json.loads(line)["id"] for line in lines)


def test_a_writer_waits_no_longer_than_the_call_may_take(folder: Path) -> None:
    """While another process holds the lock, a write raises Timeout at its deadline, and reads go on."""
    note = declare(folder)
    with folder.joinpath("Note.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(Timeout, match="another process writes"), context(deadline=timedelta(milliseconds=20)):
            note.write(id=1)
        assert 0 == query(note).count()
    assert 1 == note.write(id=1).id


def test_the_loop_goes_on_while_a_writer_waits(folder: Path) -> None:
    """Under ``.aio`` a write waits in a worker thread, not in the event loop."""
    note = declare(folder)
    lock = folder.joinpath("Note.lock").open("a")  # closed below, while a write waits
    fcntl.flock(lock, fcntl.LOCK_EX)

    async def work() -> Any:
        writing = asyncio.ensure_future(note.write.aio(id=1))
        while threading.active_count() < 2:  # noqa: ASYNC110  # the store has no event for it
            await asyncio.sleep(0)
        lock.close()
        return (await writing).id

    assert 1 == asyncio.run(work())


def test_what_it_cannot_do_is_said(folder: Path) -> None:
    """An action in a transaction, and a key that cannot be compared, are refused with the class."""
    with declaration_errors() as errors:

        class Note(Resource, domain=Domain("refused"), data_layer=JSONLines(folder)):
            id: Attr[int] = attribute(primary_key=True)
            write = create(accept=["id"], transaction=True)

        _ = Note
    with pytest.raises(DeclarationError, match="RK151"):

        class Odd(Resource, domain=Domain("refused"), data_layer=JSONLines(folder)):
            id: Attr[list[int]] = attribute(primary_key=True)

        _ = Odd
    with pytest.raises(DataLayerError, match="without transactions"):
        declare(folder).__runtime__.store.transaction()

    assert ["RK050"] == [error.code for error in errors]
