"""``resourcekit docs`` and ``resourcekit stubs``: what is written of extensions, for readers and for type checkers."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from resourcekit.cli import main

AUDITED = '''
from datetime import datetime
from typing import Any, ClassVar
import attrs
from resourcekit import query, update, set_attribute
from resourcekit.extending import (
    Attribute, Entity, Extension, Field, Origin, Service, State, Transformer, named, option, records_function
)

@attrs.frozen(kw_only=True, eq=False)
class Silent(Entity):
    """Actions that are no change."""
    section: ClassVar[str] = "silent actions"
    actions: tuple[str, ...] = ()

def silent(*actions: str) -> Silent:
    """Declare that these actions are no change.

    actions: their names.
    """
    return Silent(actions=actions, origin=Origin.here())

@records_function
async def written_by(resource: Any, actor: str) -> list[Any]:
    """Return the records whose last writer is the actor."""
    return list(await query(resource).filter(Field("changed_by") == actor).all.aio())

class Add(Transformer):
    def transform(self, state: State, options: Any) -> State:
        moment = Attribute.of("changed_at", datetime | None, default=None)
        state = state.add_new(Attribute.of("changed_by", str | None, default=None, doc="The last writer."), moment)
        state = state.add(named("forget", update(changes=[set_attribute("changed_by", None)], doc="Forget the writer.")))
        return state.define("written_by", written_by)

class Report(Service):
    """Counts the changes."""
    def interval(self, options: Any) -> Any: ...
    async def run(self, context: Any) -> None: ...

@attrs.frozen(kw_only=True)
class Audited(Extension):
    """Stores the last writer."""
    entities: ClassVar[tuple[type[Entity], ...]] = (Silent,)
    transformers: ClassVar[tuple[type[Transformer], ...]] = (Add,)
    services: ClassVar[tuple[type[Service], ...]] = (Report,)
    level: int = option(default=1, doc="How much is stored.")
'''
APP = '''"""Notes."""
from __future__ import annotations

from audited_words import Audited
from resourcekit import Attr, Domain, Query, Resource, attribute, create, read

notes = Domain("notes")
LIMIT = 5

class Note(Resource, domain=notes, extensions=[Audited]):
    """A note."""
    id: Attr[int] = attribute(primary_key=True)
    write = create(accept=["id"])

    @read
    @staticmethod
    def newest(query: Query[Note], count: int) -> Query[Note]:
        """The newest."""
        return query.limit(count)

def first() -> Note | None:
    found = Note.newest(1)
    return found[0] if found else None

print("loaded")
'''
USE = """
from datetime import datetime
from noted_app import LIMIT, Note, first

note = Note.write(id=1)
writer: str | None = note.changed_by
moment: datetime | None = note.changed_at
again: Note = Note.forget(note)
also: Note = note.forget()
found: list[Note] = Note.written_by("alice")
newest: list[Note] = Note.newest(LIMIT)
one: Note | None = first()
Note.written_by(5)
number: int = note.changed_by
Note.nothing()
"""


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with an extension and a module that uses it."""
    (tmp_path / "audited_words.py").write_text(AUDITED, encoding="utf-8")
    (tmp_path / "noted_app.py").write_text(APP, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    yield tmp_path
    for module in ("audited_words", "noted_app"):
        sys.modules.pop(module, None)


def run(*arguments: str) -> Result:
    """Run the command."""
    return CliRunner().invoke(main, arguments)


@pytest.mark.usefixtures("app")
@pytest.mark.parametrize(
    "line",
    [
        "# Audited",
        "Stores the last writer.",
        "`from audited_words import Audited`, then `extensions=[Audited]` in the class statement.",
        "| `level` | `int` | `1` | How much is stored. |",
        "silent(*actions: str) -> Silent",
        "- `*actions`: their names.",
        "| `changed_by` | `str \\| None` | `None` | The last writer. |",
        "### forget",
        "Forget the writer.",
        "An update action.",
        "Resource.written_by(actor: str) -> list[Resource]",
        "| `Report` | Counts the changes. |",
    ],
)
def test_the_page_of_an_extension_has_all_that_it_adds(line: str) -> None:
    """Options, builders, attributes, actions, functions with their signatures, and services."""
    found = run("docs", "audited_words:Audited")

    assert 0 == found.exit_code
    assert line in found.output.splitlines() or line in found.output


def test_an_installed_plugin_is_documented_by_its_name(tmp_path: Path) -> None:
    """``--output`` writes the page of each extension of the plugin to a file."""
    file = tmp_path / "tokens.md"

    assert 0 == run("docs", "tokens", "--output", str(file)).exit_code
    assert "`from resourcekit_tokens import TokenResource`" in file.read_text(encoding="utf-8")


@pytest.mark.parametrize(("name", "text"), [("tokns", "Did you mean 'tokens'?"), ("os:path", "is no extension class")])
def test_a_name_that_is_no_plugin_is_refused(name: str, text: str) -> None:
    """The command ends with 2, and says what there is."""
    found = run("docs", name)

    assert 2 == found.exit_code
    assert text in found.output


def test_a_stub_has_the_module_and_what_extensions_add(app: Path) -> None:
    """Bodies and calls are left out; attributes, actions and functions of the extension are in the class."""
    found = run("stubs", "noted_app")
    stub = (app / "noted_app.pyi").read_text(encoding="utf-8")

    assert (0, True) == (found.exit_code, "noted_app.pyi is written." in found.output)
    for line in (
        "    changed_by: _Attr[str | None] = _attribute(default=_typing.cast(_typing.Any, ...))",
        "    forget: _typing.ClassVar[_Note_forget]",
        "    written_by = audited_words.written_by",
        "    write: _typing.ClassVar[_Note_write]",
        "LIMIT = 5",
    ):
        assert line in stub.splitlines()
    assert "print" not in stub
    assert "return query.limit" not in stub


def test_check_tells_a_stub_that_is_out_of_date(app: Path) -> None:
    """It writes nothing; the exit code is 1 for a missing and for a changed stub."""
    codes = [run("stubs", "noted_app", "--check").exit_code]
    assert not (app / "noted_app.pyi").exists()
    run("stubs", "noted_app")
    codes.append(run("stubs", "noted_app", "--check").exit_code)
    (app / "noted_app.pyi").write_text("", encoding="utf-8")
    codes.append(run("stubs", "noted_app", "--check").exit_code)

    assert [1, 0, 1] == codes


@pytest.mark.slow  # mypy takes ten seconds
def test_mypy_reads_the_stub(app: Path) -> None:
    """Right uses of what the extension adds pass, wrong ones are flagged, and the rest of the module keeps its types."""
    run("stubs", "noted_app")
    (app / "use.py").write_text(USE, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "use.py"],
        cwd=app,
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )

    lines = USE.splitlines()
    wrong = [lines.index(text) + 1 for text in ("Note.written_by(5)", "number: int = note.changed_by", "Note.nothing()")]
    assert [f"use.py:{line}" for line in wrong] == [line.rsplit(": error", 1)[0] for line in done.stdout.splitlines()]
