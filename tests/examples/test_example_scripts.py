"""The example programs run, twice too, and say what their README promises."""

from __future__ import annotations

from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).parents[2] / "examples"


def printed(run, script: str) -> str:
    """Run a script with every warning an error, and return what it prints."""
    done = run("-W", "error", str(EXAMPLES / script))
    assert (0, "") == (done.returncode, done.stderr), done.stdout + done.stderr
    return done.stdout


def test_swapping_the_data_layer_changes_nothing_that_is_seen(run) -> None:
    """The scenario prints the same on Memory and on SQLite, line by line."""
    memory, _, rest = printed(run, "swap_data_layer.py").partition("SQLite:\n")
    lines = [line.strip() for line in memory.splitlines()[1:]]

    assert 8 == len(lines)
    assert "entered 2, refused [2]" == lines[0]
    assert "the link of Ada is used" == lines[-2]
    assert "and does not work twice" == lines[-1]
    assert [*lines, "The same story: True"] == [line.strip() for line in rest.splitlines()]


def test_the_state_machine_moves_records_and_refuses_the_rest(run) -> None:
    """A move that is not declared is refused, also for a record that has moved meanwhile; a wrong declaration is reported."""
    lines = printed(run, "state_machine.py").splitlines()

    assert [
        "out of placed: pay, cancel",
        "not sent: it is not paid",
        "paid: paid",
        "not paid twice",
        "sent: 1 refused: 1",
        "{1: 'sent', 2: 'cancelled'}",
        "MACHINE01 'swich' is no update action",
    ] == lines
    assert lines == printed(run, "state_machine.py").splitlines()


def day(run, package: str) -> str:
    """Run an example package with every warning an error, and return what it prints."""
    done = run("-W", "error", "-m", package, installed=EXAMPLES)
    assert (0, "") == (done.returncode, done.stderr), done.stdout + done.stderr
    return done.stdout


def test_the_help_desk_works(run, tmp_path) -> None:
    """The help desk goes through its day, leaves its file, and can begin again with it."""
    first = day(run, "helpdesk")

    assert "in bulk: 2 stored, 1 refused" in first
    assert "Printer on fire: Ann, ['hardware', 'urgent'], 'Done: Printer on fire'\n" in first
    assert "Ann Ng has 2 open\nBob Orr has 1 open\n" in first
    assert "refused: Representative.leave: another record refers to it (Ticket.representative)" in first
    assert "rolled back: Printer on fire is still there\n" in first
    assert "closed at once: 2 | open: 0\n" in first
    assert "removed; left: 3 | comments: 4 | new: open\n" in first
    assert tmp_path.joinpath("helpdesk.db").exists()
    assert first == day(run, "helpdesk")


def test_the_music_library_works(run, tmp_path) -> None:
    """The library shows counts, sums, newest albums and genres within genres, and a removed album takes its tracks along."""
    first = day(run, "music")

    assert "Can: 2 followers, 2 albums, newest: Ege Bamyasi\n" in first
    assert "1971 Tago Mago by Can, 0:26:01; longest: Halleluhwah\n" in first
    assert "Ada hears Ege Bamyasi, Tago Mago, Pastel Blues\n" in first
    assert "rock, also in narrower genres: ['Ege Bamyasi', 'Tago Mago']\n" in first
    assert "withdrawn; tracks left: 4\n" in first
    assert tmp_path.joinpath("music.db").exists()
    assert first == day(run, "music")


def test_no_example_is_left_out() -> None:
    """Each example is run by a test in this folder, and described in the README of examples."""
    tests = "".join(file.read_text() for file in Path(__file__).parent.glob("test_*.py"))
    readme = EXAMPLES.joinpath("README.md").read_text()
    examples = [
        path.name
        for path in EXAMPLES.iterdir()
        if path.suffix == ".py" or any((path / name).exists() for name in ("pyproject.toml", "__main__.py"))
    ]

    assert 6 == len(examples)
    assert [] == [name for name in examples if f'"{name}"' not in tests or f"({name}" not in readme]


@pytest.mark.parametrize("script", ["helpdesk.models", "music.models", "state_machine.py", "swap_data_layer.py"])
def test_importing_an_example_does_nothing(run, tmp_path, script: str) -> None:
    """A module that is imported, by ``resourcekit explain`` for one, opens no file and prints nothing."""
    done = run(f"import sys; sys.path.insert(0, {str(EXAMPLES)!r}); import {script.removesuffix('.py')}")

    assert ("", "") == (done.stdout, done.stderr)
    assert [] == list(tmp_path.iterdir())
