"""How many files a warm call enters, and how many functions it calls. A number is raised only for a reason that the
commit names.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MOST = {
    "create": (10, 30),
    "jti_revoked": (11, 20),
    "revoke": (15, 65),
    "rotate": (29, 398),
    "token_revoked": (15, 81),
    "update": (10, 29),
    "verify": (14, 83),
}
"""Most files and most calls of each kind of call, on SQLite. The goals (issue 10) are: revoke 15 files and 110 calls, create and
update 10 and 60, verify 14 files, rotate 18 files, jti_revoked 22 calls.
"""


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[tuple[str, str]]]:
    """The way of each kind of call, after a first and a second call of its kind."""
    spec = importlib.util.spec_from_file_location("ways", ROOT / "docs" / "ways.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: dict[str, list[tuple[str, str]]] = module.ways(tmp_path_factory.mktemp("ways"))
    return found


@pytest.mark.parametrize("kind", MOST)
def test_a_warm_call_goes_a_short_way(calls: dict[str, list[tuple[str, str]]], kind: str) -> None:
    """A call enters no more files, and calls no more functions, than it did when the numbers were written."""
    files, functions = len({file for file, _ in calls[kind]}), len(calls[kind])

    print(f"{kind}: {files} files, {functions} calls")  # noqa: T201  # pytest -rP shows today's figures
    assert files <= MOST[kind][0]
    assert functions <= MOST[kind][1]
