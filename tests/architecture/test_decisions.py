from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "adr"
DECISIONS = sorted(file for file in FOLDER.glob("*.md") if file.name != "README.md")


def test_decisions_are_numbered_without_gaps():
    """The number in a file's name counts from 0001, and is the one in its title."""
    numbers = [file.name[:4] for file in DECISIONS]

    assert [f"{place:04}" for place in range(1, len(DECISIONS) + 1)] == numbers


@pytest.mark.parametrize("decision", DECISIONS, ids=lambda file: file.stem)
def test_a_decision_has_its_four_parts(decision):
    """A decision says its context, what was decided, what follows, and what was rejected."""
    text = decision.read_text(encoding="utf-8")

    assert text.startswith(f"# {decision.name[:4]} ")
    assert ["Context", "Decision", "Consequences", "Rejected"] == re.findall(r"^## (.+)$", text, re.MULTILINE)


def test_every_decision_is_in_the_index():
    """The index lists each decision once, in order, by its title."""
    titles = [(file.name, file.read_text(encoding="utf-8").partition("\n")[0].partition(" ")[2]) for file in DECISIONS]
    listed = re.findall(r"^\* \[\d{4}\]\((\S+)\) (.+)$", (FOLDER / "README.md").read_text(encoding="utf-8"), re.MULTILINE)

    assert [(name, title.partition(" ")[2]) for name, title in titles] == listed


def test_every_dependency_is_accounted_for():
    """The decision on dependencies names each package that pyproject.toml asks for."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = [*project["dependencies"], *(each for extra in project["optional-dependencies"].values() for each in extra)]
    names = {re.match(r"[A-Za-z0-9-]+", each)[0].lower() for each in asked} - {"resourcekit"}
    text = (FOLDER / "0001-dependencies.md").read_text(encoding="utf-8").lower()

    assert set() == {name for name in names if not re.search(rf"\b{name}\b", text)}


def test_the_changelog_has_the_version():
    """The version in pyproject.toml has a heading in the changelog, below what is not released yet."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    headings = re.findall(r"^## \[(.+?)\]", (ROOT / "docs" / "changelog.md").read_text(encoding="utf-8"), re.MULTILINE)

    assert "Unreleased" == headings[0]
    assert version in headings
