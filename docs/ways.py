"""Parts of pages that are generated: the ways of warm calls, found by tracing them, and the private names of drivers in decision 0022."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from resourcekit import Attr, Domain, Resource, attribute, create, update
from resourcekit.data_layers import SQL
from resourcekit.data_layers.driver_names import DRIVERS
from resourcekit_tokens import JWT, TokenRecord, TokenResource

__all__ = ["SERVERS", "Way", "section", "servers_page", "ways"]

ROOT = Path(__file__).parents[1]
SOURCES = (ROOT / "resourcekit", ROOT / "extensions")
COMPREHENSIONS = ("<listcomp>", "<dictcomp>", "<setcomp>", "<genexpr>", "<lambda>")
"""Frames that are no functions of their own; newer versions of Python have none for most of them."""

Way = list[tuple[str, str]]
"""File and function of everything that a call enters, in order."""


def path_of(call: Callable[..., Any], *args: Any, **named: Any) -> Way:
    """Return the way of one call."""
    entered: Way = []

    def note(frame: Any, event: str, _: Any) -> None:
        if event == "call":
            file = Path(frame.f_code.co_filename)
            if frame.f_code.co_name not in COMPREHENSIONS and any(file.is_relative_to(folder) for folder in SOURCES):
                entered.append((file.relative_to(ROOT).as_posix(), frame.f_code.co_qualname))

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        call(*args, **named)
    finally:
        sys.setprofile(before)
    return entered


def ways(folder: Path) -> dict[str, Way]:
    """Return the way of each kind of call on an SQLite file in a folder, after a first and a second call of its kind."""
    domain, database = Domain("ways"), SQL(f"sqlite:///{folder}/ways.db")

    class Token(
        TokenRecord,
        domain=domain,
        data_layer=database,
        extensions=[TokenResource(jwt=JWT("b6jCk0fVZ1cQ9uYxL3mWd7RtHs2NpEaG8iToK5yvX4zQ"))],
    ):
        """Revoked tokens."""

    class Note(Resource, domain=domain, data_layer=database):
        """A record without an extension."""

        key: Attr[str] = attribute(primary_key=True)
        text: Attr[str] = attribute()
        write = create(accept=["key", "text"])
        edit = update(accept=["text"])

    domain.create_storage()
    tokens = [Token.issue("ada").token for _ in range(3)]
    notes = [Note.write(key=str(number), text="first") for number in range(3)]
    pairs = [Token.issue_pair("ada").refresh.token for _ in range(3)]
    jti = Token.verify(tokens[2]).jti
    for number in range(2):
        Token.revoke(tokens[number])
        Note.edit(notes[number], text="second")
        Token.rotate(pairs[number])
        Token.verify(tokens[2])
        Token.token_revoked(tokens[2])
        Token.jti_revoked(jti)
    return {
        "create": path_of(Note.write, key="new", text="first"),
        "update": path_of(Note.edit, notes[2], text="second"),
        "jti_revoked": path_of(Token.jti_revoked, jti),
        "token_revoked": path_of(Token.token_revoked, tokens[2]),
        "verify": path_of(Token.verify, tokens[2]),
        "rotate": path_of(Token.rotate, pairs[2]),
        "revoke": path_of(Token.revoke, tokens[2]),
    }


SERVERS = Path(__file__).parent / "adr" / "0022-servers.md"
_NAMES = "<!-- The names below are written by docs/generate.py out of driver_names.py. -->", "<!-- End of the names. -->"
"""The lines around the private names of drivers in decision 0022."""

SHOWN = ("create", "revoke")
"""The calls whose ways the page shows in full."""


def section() -> str:
    """Return the counts of all kinds of calls, and the ways of two of them."""
    with tempfile.TemporaryDirectory() as folder:
        found = ways(Path(folder))
    counts = ["| call | files | functions |", "| --- | --- | --- |"]
    counts += [f"| `{kind}` | {len({file for file, _ in way})} | {len(way)} |" for kind, way in found.items()]
    return "\n\n".join(["\n".join(counts), *(f"`{kind}`:\n\n{_table(found[kind])}" for kind in SHOWN)])


def servers_page() -> str:
    """Return decision 0022 with the private names of drivers that are in use now."""
    rows = ["| driver | versions | name | used to |", "| --- | --- | --- | --- |"]
    rows += [
        f"| {driver} | `{known.versions}` | `{name}` | {why} |"
        for driver, known in DRIVERS.items()
        for name, why in known.names.items()
    ]
    before, _, rest = SERVERS.read_text(encoding="utf-8").partition(_NAMES[0])
    return "\n".join([f"{before}{_NAMES[0]}\n", *rows, f"\n{_NAMES[1]}{rest.partition(_NAMES[1])[2]}"])


def _table(way: Way) -> str:
    """Return a row for each visit to a file, with the functions that are entered there before another file is."""
    visits: list[tuple[str, list[str]]] = []
    for file, function in way:
        if not visits or visits[-1][0] != file:
            visits.append((file, []))
        visits[-1][1].append(function)
    rows = [f"| `{file}` | {', '.join(map(_shown, dict.fromkeys(functions)))} |" for file, functions in visits]
    return "\n".join(["| file | functions |", "| --- | --- |", *rows])


def _shown(function: str) -> str:
    return f"`{function.replace('.<locals>', '')}`"
