"""Installs the example packages as a user would, and runs programs that see them as installed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def install(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A function that builds an example package and installs it into a folder of its own, once; needs no network."""
    folders: dict[str, Path] = {}

    def make(package: str) -> Path:
        if package not in folders:
            folders[package] = tmp_path_factory.mktemp(package)
            pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-index"]
            where = ["--no-deps", "--no-build-isolation", "--target", str(folders[package]), str(EXAMPLES / package)]
            done = subprocess.run([*pip, *where], check=False, capture_output=True, text=True, timeout=300)
            assert 0 == done.returncode, done.stderr
        return folders[package]

    return make


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A function that runs Python in an empty folder; ``installed`` is put on its path."""

    def start(*arguments: str, installed: Path | None = None, cwd: Path = tmp_path) -> subprocess.CompletedProcess[str]:
        settings = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "RESOURCEKIT_"))}
        if installed is not None:
            settings["PYTHONPATH"] = os.pathsep.join(filter(None, [str(installed), settings.get("PYTHONPATH")]))
        arguments = ("-c", dedent(arguments[0])) if len(arguments) == 1 else arguments
        command = [sys.executable, *arguments]
        return subprocess.run(command, cwd=cwd, env=settings, check=False, capture_output=True, text=True, timeout=300)

    return start
