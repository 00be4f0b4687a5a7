"""The demo leaves commands to try; they work as they are printed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

SCRIPTS = Path(sys.executable).parent


def shell(command: str, folder: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """Type a command in a folder."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RESOURCEKIT_")}
    environment.update(settings)
    return subprocess.run(
        command, shell=True, cwd=folder, env=environment, check=False, capture_output=True, text=True, timeout=120
    )


@pytest.fixture(params=[pytest.param("by its path", marks=pytest.mark.slow), "by its name"])
def typed(request, tmp_path):
    """How the command is typed, and with which search path: a fresh virtual environment is not in it."""
    if request.param == "by its path":
        folder = tmp_path / "a b" / "bin"
        folder.parent.mkdir()
        folder.symlink_to(SCRIPTS)
        return "'a b/bin/resourcekit'", os.defpath
    return "resourcekit", os.pathsep.join([str(SCRIPTS), os.defpath])


@pytest.mark.parametrize("file", [pytest.param("", marks=pytest.mark.slow), "my file.db"])
def test_what_the_demo_prints_can_be_typed(typed, file, tmp_path):
    """Check, revoke, check, explain: each runs as printed, also without the environment activated."""
    command, path = typed
    received = shell(f"{command} demo{f' --db {file!r}' if file else ''}", tmp_path, PATH=path)
    printed = [line.strip() for line in received.stdout.splitlines() if " token " in line and "--file" in line]
    answers = [shell(line, tmp_path, PATH=path) for line in printed]

    assert 0 == received.returncode, received.stderr
    assert [0, 0, 1, 1] == [answer.returncode for answer in answers], [answer.stderr for answer in answers]
    assert ["not revoked", "revoked at", "revoked", "revoked (rule: token)"] == [
        " ".join(answer.stdout.split()[: len(wanted.split())])
        for answer, wanted in zip(answers, ["not revoked", "revoked at", "revoked", "revoked (rule: token)"], strict=True)
    ]


def test_the_token_that_the_demo_leaves_is_its_owners(tmp_path):
    """No other user may read the file with the token, nor the secret."""
    shell(f"{SCRIPTS}/resourcekit demo", tmp_path)

    assert {0o600} == {file.stat().st_mode & 0o777 for file in (tmp_path / "demo.db.token", tmp_path / "demo.db.secret")}
