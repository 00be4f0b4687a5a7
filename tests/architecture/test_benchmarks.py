from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
NAMES = (
    "check",
    "memory",
    "token",
    "revoke",
    "claims",
    "verify",
    "issue",
    "import",
    "declare",
    "resources",
    "postgresql",
    "together",
    "web",
    "redis",
    "sweep",
    "partitions",
)
_LINE = re.compile(r"^(?P<word>pass|fail|info) +(?P<value>-?[\d.]+) .*?(?P<name>[a-z]+): ")


@pytest.fixture(scope="module")
def figures(tmp_path_factory) -> list[str]:
    """The last lines of a run so small that its figures mean nothing."""
    path = os.pathsep.join(map(str, (ROOT, ROOT / "extensions" / "tokens")))
    environment = {**os.environ, "PYTHONPATH": path, "TMPDIR": str(tmp_path_factory.mktemp("benchmarks"))}
    command = [sys.executable, "-m", "tests.benchmarks", "--tiny"]
    done = subprocess.run(command, cwd=ROOT, env=environment, check=False, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    return done.stdout.split("\n\n")[-1].splitlines()


@pytest.mark.parametrize("name", NAMES)
def test_a_benchmark_runs_and_prints_figures(name, figures):
    """Each benchmark works on tiny sizes, its sides agree, and it prints a figure at the end."""
    found = [line for each in figures if (line := _LINE.match(each)) and line["name"] == name]

    assert found


def test_every_budget_is_judged(figures):
    """The last lines are figures, each with a word: pass or fail where there is a budget, else info."""
    words = [(line["word"], "<=" in each or ">=" in each) for each in figures if (line := _LINE.match(each))]

    assert len(figures) == len(words)
    assert all((word != "info") == has_budget for word, has_budget in words)
