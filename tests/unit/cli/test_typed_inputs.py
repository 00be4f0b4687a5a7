"""Stub files give type checkers the inputs of actions: a wrong type and a misspelt name are flagged."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from resourcekit.cli import main

APP = '''
from datetime import datetime
from typing import Any, Literal

from resourcekit import Attr, Query, Resource, argument, attribute, create, destroy, read, update
from resourcekit.changeset import Changeset

class Ticket(Resource):
    """A request."""
    id: Attr[int] = attribute(primary_key=True)
    subject: Attr[str] = attribute()
    status: Attr[Literal["open", "closed"]] = attribute(default="open")
    at: Attr[datetime | None] = attribute(default=None)

    submit = create(accept=["id", "subject", "at"])
    close = update(accept=["status"])
    drop = destroy()

    @create(accept=["id"], arguments=[argument("words", list[str])])
    @staticmethod
    def joined(changeset: Changeset, words: Any) -> Changeset:
        return changeset.set(subject=" ".join(words))

    @read(get=True)
    @staticmethod
    def numbered(query: Query[Any], number: int) -> Query[Any]:
        return query.filter(Ticket.id == number)

    listed = read(arguments=[argument("status", str), argument("most", int, default=3)])
'''

USE = """\
from typed_shop import Ticket

ticket = Ticket.submit(id=1, subject="a")
Ticket.submit(id=1, subject=3)
Ticket.submit(id=1, subject="a", subjct="a")
Ticket.submit(id=1)
Ticket.close(ticket, status="open")
ticket.close(status="closd")
subject: str = ticket.close(status="closed").subject
number: int = Ticket.submit.outcome(id=1, subject="a").record.subject
ticket.drop()
Ticket.drop(1, subject="a")
Ticket.joined(id=1, words=["a"])
Ticket.joined(id=1, words=[1])
Ticket.submit.using(actor=1)(id=1, subject=b"b")
Ticket.submit.bulk([{"id": 1, "subject": "a"}])
Ticket.submit.bulk([{"id": 1, "subject": 3}])
Ticket.submit.bulk([{"id": 1, "subjct": "a"}])
Ticket.close.bulk([1, 2], status="closed", strategy="stream")
Ticket.close.bulk([1, 2], status="closd")
found: str | None = None if (one := Ticket.numbered(3)) is None else one.subject
Ticket.numbered("x")
Ticket.numbered(nmber=3)
subjects: list[str] = [each.subject for each in Ticket.listed("open", most=4)]
Ticket.listed(status=3)
Ticket.listed.query("open").sort("subject").all()
"""
WRONG = [4, 5, 6, 8, 10, 12, 14, 15, 17, 18, 20, 22, 23, 25]


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a module, its stub file, and a module that uses it."""
    (tmp_path / "typed_shop.py").write_text(APP, encoding="utf-8")
    (tmp_path / "use.py").write_text(USE, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    done = CliRunner().invoke(main, ["stubs", "typed_shop"])
    assert 0 == done.exit_code, done.output
    yield tmp_path
    sys.modules.pop("typed_shop", None)


def test_a_stub_has_the_inputs_of_actions(app: Path) -> None:
    """Required are the inputs without a default that no change sets; types are as the class body has them."""
    lines = (app / "typed_shop.pyi").read_text(encoding="utf-8").splitlines()

    assert "    submit: _typing.ClassVar[_Ticket_submit]" in lines
    assert "    def __call__(self, *, id: int, subject: str, at: datetime | None = ...) -> Ticket: ..." in lines
    assert "    def __call__(self, record_or_key: object, /, *, status: Literal['open', 'closed'] = ...) -> Ticket: ..." in lines
    assert "    def __call__(self, *, id: int = ..., words: list[str]) -> Ticket: ..." in lines


@pytest.mark.slow  # a type checker takes ten seconds
@pytest.mark.parametrize("checker", [("mypy", "--strict", "--no-error-summary"), ("basedpyright", "--level", "error")])
def test_wrong_inputs_are_flagged(app: Path, checker: tuple[str, ...]) -> None:
    """A wrong type, a misspelt and a missing name, of creates, updates, destroys and arguments; right uses pass."""
    name, *options = checker
    given = [] if name == "mypy" else ["--pythonpath", sys.executable]
    done = subprocess.run(
        [sys.executable, "-m", name, *options, *given, "use.py"],
        cwd=app,
        check=False,
        capture_output=True,
        text=True,
        timeout=600,
    )
    found = {int(line.split("use.py:")[1].split(":")[0]) for line in done.stdout.splitlines() if "use.py:" in line}

    assert set(WRONG) == found, done.stdout
