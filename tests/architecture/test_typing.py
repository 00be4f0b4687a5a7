"""What type checkers know of resourcekit: right uses pass, wrong ones are flagged, by both checkers."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

HOUSE = Path(__file__).parents[2]
FILES = [
    "tests/typing/declaring.py",
    "tests/typing/valuing.py",
    "tests/typing/authoring.py",
    "tests/typing/relating.py",
    "tests/typing/wrong_uses.py",
]

pytestmark = pytest.mark.slow  # half a minute; .ci/run calls the checkers as well

RIGHT_USES = """

get(Note, 1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
a_note(get(Note, 1))
"""


def mypy(*files: str) -> list[str]:
    """Return what mypy says of files, with the project's settings."""
    command = [sys.executable, "-m", "mypy", "--no-error-summary", *files]
    done = subprocess.run(command, cwd=HOUSE, check=False, capture_output=True, text=True, timeout=600)
    assert done.returncode in {0, 1}, done.stderr
    return done.stdout.splitlines()


def basedpyright(*files: str) -> list[str]:
    """Return what basedpyright says of files, with the project's settings."""
    command = [str(Path(sys.executable).with_name("basedpyright")), "--pythonpath", sys.executable, "--outputjson", *files]
    done = subprocess.run(command, cwd=HOUSE, check=False, capture_output=True, text=True, timeout=600)
    found = json.loads(done.stdout)["generalDiagnostics"]
    return [f"{each['file']}:{each['range']['start']['line'] + 1}: {each['message']}" for each in found]


@pytest.mark.parametrize("checker", [mypy, basedpyright])
def test_right_uses_pass_and_wrong_ones_are_flagged(checker) -> None:
    """Each checker agrees with every assert_type, and with every comment that says how a line is wrong."""
    assert [] == checker(*FILES)


@pytest.mark.parametrize("checker", [mypy, basedpyright])
def test_a_wrong_use_that_is_no_longer_flagged_is_found(checker) -> None:
    """A comment that nothing is wrong with is reported: the file of wrong uses cannot rot."""
    name = f"wrong_uses_for_{checker.__name__}.py"  # one for each, because both may run at once
    shutil.copy(HOUSE / "tests/typing/wrong_uses.py", copy := HOUSE / "tests/typing" / name)
    try:
        line = len(copy.read_text().splitlines()) + 3
        copy.write_text(copy.read_text().rstrip("\n") + "\n" + RIGHT_USES)
        found = checker(f"tests/typing/{name}")
    finally:
        copy.unlink()

    assert 1 == len(found), found
    assert f"{name}:{line}:" in found[0]
    assert re.search(r"(?i)unused|unnecessary", found[0])


def test_wrong_uses_are_flagged_by_both() -> None:
    """All wrong lines name a code of both checkers, but for the options of class statements, which mypy does not see."""
    lines = [line for line in (HOUSE / FILES[-1]).read_text().splitlines() if ": ignore[" in line]
    counts = Counter(("type: ignore[" in line, "pyright: ignore[" in line) for line in lines)
    by_one = [line for line in lines if "type: ignore[" not in line]

    assert counts[True, True] > 80
    assert 0 == counts[True, False]
    assert all(line.startswith("class ") for line in by_one)
    assert 5 == len(by_one)
