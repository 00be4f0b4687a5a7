from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

import pytest

from resourcekit import Domain
from resourcekit.data_layers import SQL
from resourcekit_tokens import JWT, TokenRecord, TokenResource

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "internals" / "house.md").read_text(encoding="utf-8")
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
WAY = re.findall(r"^\| \d+ \| `([^`]+)` \| `([^`]+)` \|", PAGE, re.MULTILINE)


def test_the_floors_on_the_page_are_those_of_the_contract():
    """The drawing in house.md has the floors of pyproject.toml, in their order, numbered from below."""
    drawn = [(int(number), floor) for number, floor in re.findall(r"^ ?(\d+)  (\S.*)$", PAGE, re.MULTILINE)]
    layers = next(contract["layers"] for contract in CONTRACTS if contract["type"] == "layers")

    assert [(len(layers) - place, layer) for place, layer in enumerate(layers)] == drawn


def test_every_contract_is_on_the_page():
    """The page names each import contract, by the first words of its name."""
    rows = re.findall(r"^\| ([^|`]+) \|", PAGE, re.MULTILINE)

    assert [] == [contract["name"] for contract in CONTRACTS if not any(contract["name"].startswith(row) for row in rows)]


def test_every_room_is_on_the_page():
    """Each module and package of resourcekit stands in the drawing of the rooms."""
    drawing = PAGE.partition("```text\n")[2].partition("```")[0]
    rooms = {path.name for path in (ROOT / "resourcekit").iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}

    assert set() == {
        room for room in rooms - {"__main__.py"} if not re.search(rf"^\s+(\S+\s+)?{re.escape(room)}", drawing, re.MULTILINE)
    }


@pytest.fixture
def token(tmp_path):
    """A token resource with keys and a notifier on SQLite, and a token that it issued and revoked once."""
    domain = Domain("floors")

    class Token(
        TokenRecord,
        domain=domain,
        data_layer=SQL(f"sqlite:///{tmp_path}/floors.db"),
        extensions=[TokenResource(jwt=JWT("b6jCk0fVZ1cQ9uYxL3mWd7RtHs2NpEaG8iToK5yvX4zQ"))],
        notifiers=[lambda notification: None],
    ):
        """Revoked tokens."""

    domain.create_storage()
    text = Token.issue("ada").token
    Token.revoke(text)
    return Token, text


def test_the_way_of_a_call_is_the_one_on_the_page(token):
    """Revoking a token calls the functions of the page's table, each file and name as written, in this order."""
    resource, text = token
    called: list[tuple[str, str]] = []

    def note(frame, event, arg):
        file = Path(frame.f_code.co_filename)
        if event == "call" and file.is_relative_to(ROOT):
            called.append((file.relative_to(ROOT).as_posix(), frame.f_code.co_qualname))

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        resource.revoke(text)
    finally:
        sys.setprofile(before)
    listed = iter(called)
    missing = [step for step in WAY if step not in listed]

    assert len(WAY) > 20
    assert [] == missing
