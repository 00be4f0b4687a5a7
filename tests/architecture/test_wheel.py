from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

ROOT = Path(__file__).parents[2]
PACKAGES = {
    "resourcekit": ROOT / "resourcekit",
    "resourcekit_tokens": ROOT / "extensions" / "tokens" / "resourcekit_tokens",
    "resourcekit_web": ROOT / "extensions" / "web" / "resourcekit_web",
}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Iterator[zipfile.ZipFile]:
    """The wheel of this tree, built as ``pip install`` builds it, without a network."""
    (built,) = WheelBuilder(str(ROOT)).build(directory=str(tmp_path_factory.mktemp("wheel")), versions=["standard"])
    with zipfile.ZipFile(built) as archive:
        yield archive


def test_the_wheel_holds_the_three_packages_and_nothing_else(wheel):
    """No test, example or stray folder reaches a user's site-packages."""
    top = {name.partition("/")[0] for name in wheel.namelist()}

    assert {*PACKAGES, "resourcekit-0.1.0.dist-info"} == top


@pytest.mark.parametrize("package", PACKAGES)
def test_every_module_is_in_the_wheel(wheel, package):
    """A package in the wheel has each of its source files and templates, and says that it is typed."""
    folder = PACKAGES[package]
    source = {f"{package}/{file.relative_to(folder).as_posix()}" for kind in ("*.py", "*.html") for file in folder.rglob(kind)}
    held = {name for name in wheel.namelist() if name.startswith(f"{package}/")}

    assert source | {f"{package}/py.typed"} == held


def test_the_wheel_announces_command_and_plugins(wheel):
    """The command, the token plugin and the pytest plugin are found through the wheel's entry points."""
    entries = wheel.read("resourcekit-0.1.0.dist-info/entry_points.txt").decode().split("\n")

    assert "resourcekit = resourcekit.cli:main" in entries
    assert "tokens = resourcekit_tokens.plugin" in entries
    assert "resourcekit.testing.plugin = resourcekit.testing.plugin" in entries
