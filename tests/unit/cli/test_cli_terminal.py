"""What a terminal shows: lines that fit, broken between words, without markup."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from rich.cells import cell_len

from resourcekit.cli import main
from resourcekit.cli.page import unmarked, wrapped

pytestmark = pytest.mark.slow

TOKENS = '''
from resourcekit import Domain
from resourcekit.data_layers import Memory
from resourcekit_tokens import TokenRecord

accounts = Domain("accounts")

class Token(TokenRecord, domain=accounts, data_layer=Memory()):
    """What is known of ``JWT`` tokens,
    and of :class:`~accounts.Subject` (P2).

    More.
    """
'''


@pytest.fixture
def shown(folder):
    """Run the command as in a terminal of some columns; return what it shows."""
    (folder / "accounts_app.py").write_text(TOKENS)

    def shown(columns: int, *words: str) -> str:
        settings = {"FORCE_COLOR": "1", "NO_COLOR": "1", "TERM": "xterm", "COLUMNS": str(columns)}
        return click.unstyle(CliRunner(env=settings).invoke(main, list(words), prog_name="resourcekit").stdout)

    yield shown
    sys.modules.pop("accounts_app", None)


@pytest.mark.parametrize("columns", [60, 80, 120, 200])
def test_no_line_of_explain_is_wider_than_the_terminal_and_no_word_is_broken(shown, run, columns):
    """Each width shows the words that a pipe gets, whole, and no action takes more than five lines."""
    output = shown(columns, "explain", "accounts_app:Token")
    words = {word for word in output.split() if word != "·"}
    piped = run("explain", "accounts_app:Token").output
    heads = {"name", "type", "notes", "author", "where", "kind", "takes", "attributes", "what", "brings", "order"}
    actions = output.partition("Actions\n")[2].partition("\n\n")[0].splitlines()
    starts = [place for place, line in enumerate(actions) if not line.startswith("      ")]

    assert max(map(cell_len, output.splitlines())) <= columns
    assert set(piped.split()) - {"·"} - heads == words - heads
    assert max(after - before for before, after in zip(starts, [*starts[1:], len(actions)], strict=True)) <= 5
    assert not any(line.lstrip().startswith("·") for line in output.splitlines())


def test_a_table_that_fits_is_a_table(shown):
    """Columns are drawn one below the other if each row fits on a line."""
    lines = [line.split() for line in shown(80, "explain", "accounts_app:Token").splitlines()]

    assert ["name", "attributes", "author", "where"] in lines
    assert ["name", "kind", "takes", "author", "where"] not in lines


def test_a_text_shows_no_markup_and_no_number_of_a_promise(run, shown):
    """The first paragraph of a docstring is one sentence of plain text, for a terminal, a pipe and a program."""
    (facts,) = json.loads(run("explain", "accounts_app:Token", "--json").stdout) if shown else ()

    assert "What is known of JWT tokens, and of accounts.Subject." == facts["doc"]
    for output in (run("explain", "accounts_app:Token").output, shown(80, "explain", "accounts_app:Token")):
        assert "``" not in output
        assert "(P2)" not in output


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("``a`` and ``b c``", "a and b c"),
        (":class:`~x.Y` and :func:`.z`", "x.Y and z"),
        ("one succeeds (P2).", "one succeeds."),
        ("stays (P1, P7), always", "stays, always"),
        ("a `quoted` word (PX)", "a `quoted` word (PX)"),
    ],
)
def test_markup_is_removed(text, plain):
    """Literals, roles and citations lose their markup; other text is kept."""
    assert plain == unmarked(text)


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", [""]),
        ("  one two three", ["  one two", "    three"]),
        ("a " + "x" * 30 + " b", ["a", "    " + "x" * 30, "    b"]),
        ("name: a | b, c", ["name: a |", "    b, c"]),
        ("日本語 日本語", ["日本語", "    日本語"]),
        ("abcdefghi · j", ["abcdefghi ·", "    j"]),
    ],
)
def test_lines_break_between_words(text, lines):
    """A long word and a type that fits are kept whole; a wide character counts twice; no line starts with a separator."""
    assert lines == wrapped(text, 11, "    ")


def test_the_list_of_commands_has_whole_summaries(shown):
    """No summary is cut, however narrow the terminal is; a hidden command is not listed."""
    output = shown(60, "--help")

    assert "..." not in output.partition("Commands:")[2]
    for name in main.list_commands(click.Context(main)):
        command = main.get_command(click.Context(main), name)
        assert " ".join(command.get_short_help_str(10_000).split()) in " ".join(output.split())


def test_a_class_behind_a_dot_is_named_with_a_colon(run, folder):
    """``module.Class`` is answered with ``module:Class`` if the module has that class; else with what may be wrong."""
    assert 'do: Write "helpdesk_app:Ticket".' in run("doctor", "helpdesk_app.Ticket").output
    assert 'do: Write "helpdesk_app:helpdesk".' in run("explain", "helpdesk_app.helpdesk").output
    assert "do: Check the spelling" in run("explain", "helpdesk_app.Tickets").output


def in_a_terminal(folder: Path, columns: int, *words: str) -> str:
    """Run the command in a real terminal of some columns; return what it writes."""
    ours, its = os.openpty()
    settings = {**os.environ, "COLUMNS": str(columns), "NO_COLOR": "1", "TERM": "dumb"}
    command = [str(Path(sys.executable).parent / "resourcekit"), *words]
    with subprocess.Popen(command, cwd=folder, env=settings, stdin=its, stdout=its, stderr=its) as process:
        os.close(its)
        written = b""
        while True:
            try:
                part = os.read(ours, 4096)
            except OSError:  # the last process closed it
                break
            written += part
            if not part:
                break
        process.wait(60)
    os.close(ours)
    return written.decode().replace("\r\n", "\n")


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a pseudo-terminal")
def test_the_demo_fits_a_terminal_and_names_all_that_it_leaves(tmp_path):
    """Each line fits; each file is named; a printed command runs unchanged, also one that is continued."""
    columns = 60
    output = in_a_terminal(tmp_path, columns, "demo")
    commands = [
        line
        for line in output.replace("\\\n", "").splitlines()
        if " token " in line and line.startswith("  ") and "--file" in line
    ]
    answer = subprocess.run(
        commands[0], shell=True, cwd=tmp_path, env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.defpath}"},
        check=False, capture_output=True, text=True, timeout=60,
    )  # fmt: skip

    assert all(len(line) <= columns or " " not in line.strip().removesuffix(" \\") for line in output.splitlines())
    assert all(f"{file.name}" in " ".join(output.split()) for file in tmp_path.iterdir())
    assert "Ctrl-D" in output
    assert (0, "not revoked\n") == (answer.returncode, answer.stdout), answer.stderr


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a pseudo-terminal")
def test_a_line_of_expunge_breaks_between_words(tmp_path):
    """A failure that is longer than a line is shown in lines, none with half a word."""
    (tmp_path / "sql_app.py").write_text(
        TOKENS.replace("import Memory", "import SQL").replace("Memory()", 'SQL("sqlite:///nothing.db")')
    )
    output = in_a_terminal(tmp_path, 60, "expunge", "sql_app")

    assert len(output.splitlines()) > 1
    assert all(len(line) <= 60 for line in output.splitlines())
    assert "call create_storage() for a new table" in " ".join(output.split())
