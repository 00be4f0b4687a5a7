"""The example programs run, twice too, and say what their README promises."""

from __future__ import annotations

from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


def told(run, script: str) -> str:
    """Run a script with every warning an error, and return what it prints."""
    done = run("-W", "error", str(EXAMPLES / script))
    assert (0, "") == (done.returncode, done.stderr), done.stdout + done.stderr
    return done.stdout


def test_swapping_the_data_layer_changes_nothing_that_is_seen(run) -> None:
    """The scenario tells the same story on Memory and on SQLite, line by line."""
    memory, _, rest = told(run, "swap_data_layer.py").partition("SQLite:\n")
    lines = [line.strip() for line in memory.splitlines()[1:]]

    assert 8 == len(lines)
    assert "entered 2, refused [2]" == lines[0]
    assert "the link of Ada is used" == lines[-2]
    assert "and does not work twice" == lines[-1]
    assert [*lines, "The same story: True"] == [line.strip() for line in rest.splitlines()]


def test_the_help_desk_works(run, tmp_path) -> None:
    """The help desk goes through its day, leaves its file, and can begin again with it."""
    first = told(run, "helpdesk.py")

    assert "in bulk: 2 stored, 1 refused" in first
    assert "rolled back: Printer on fire is still there\n" in first
    assert "closed at once: 2 | open: 0\n" in first
    assert "removed; left: 3 | new: open\n" in first
    assert tmp_path.joinpath("helpdesk.db").exists()
    assert first == told(run, "helpdesk.py")


def test_no_example_is_left_out() -> None:
    """Each example is run by a test in this folder, and described in the README of examples."""
    tests = "".join(file.read_text() for file in Path(__file__).parent.glob("test_*.py"))
    readme = EXAMPLES.joinpath("README.md").read_text()
    examples = [path.name for path in EXAMPLES.iterdir() if path.suffix == ".py" or (path / "pyproject.toml").exists()]

    assert 4 == len(examples)
    assert [] == [name for name in examples if f'"{name}"' not in tests or f"({name}" not in readme]


@pytest.mark.parametrize("script", ["helpdesk.py", "swap_data_layer.py"])
def test_importing_an_example_does_nothing(run, tmp_path, script: str) -> None:
    """A module that is imported, by ``resourcekit explain`` for one, opens no file and prints nothing."""
    done = run(f"import sys; sys.path.insert(0, {str(EXAMPLES)!r}); import {script.removesuffix('.py')}")

    assert ("", "") == (done.stdout, done.stderr)
    assert [] == list(tmp_path.iterdir())
