from __future__ import annotations

import re
from pathlib import Path

import pytest

from resourcekit import errors
from resourcekit_tokens import errors as token_errors

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^### (RK\d{3})\n(.*?)(?=^##|\Z)", PAGE, re.MULTILINE | re.DOTALL))
SOURCE = [file.read_text(encoding="utf-8") for folder in ("resourcekit", "extensions") for file in (ROOT / folder).rglob("*.py")]
RAISED = {code for text in SOURCE for code in re.findall(r'"(RK\d{3})"', text)}


def test_every_code_has_a_heading():
    """A code that a program can meet has a section in docs/errors.md, and the page has no other."""
    assert RAISED == set(SECTIONS)


def test_codes_stand_in_order_and_once():
    """A reader finds a code by its number."""
    headings = re.findall(r"^### (RK\d{3})$", PAGE, re.MULTILINE)

    assert sorted(set(headings)) == headings


def test_codes_that_docstrings_name_exist():
    """A docstring that says "raises RK045" does not name a code that is gone."""
    named = {code for text in SOURCE for code in re.findall(r"RK\d{3}", text)}

    assert set() == named - RAISED


@pytest.mark.parametrize("code", sorted(SECTIONS))
def test_a_section_says_what_happened_and_the_cure(code):
    """A section begins with what is wrong, in bold, and names a cure."""
    text = SECTIONS[code].strip()

    assert text.startswith("**")
    assert "Cure:" in text


NO_EXAMPLE = {
    "RK019",
    "RK056",
    "RK057",
    "RK058",
    "RK060",
    "RK061",
    "RK080",
    "RK081",
    "RK082",
    "RK083",
    "RK104",
    "RK110",
    "RK111",
    "RK112",
    "RK113",
    "RK114",
    "RK115",
    "RK116",
    "RK117",
    "RK118",
    "RK119",
    "RK150",
    "RK160",
    "RK161",
    "RK163",
    "RK164",
    "RK227",
    "RK230",
    "RK231",
    "RK232",
    "RK233",
    "RK234",
    "RK235",
    "RK236",
    "RK237",
    "RK238",
    "RK239",
    "RK240",
    "RK304",
}
"""What no class statement can raise: found by a call, by doctor in a database, among plugins, or in the deployment."""


@pytest.mark.parametrize("code", sorted(set(SECTIONS) - NO_EXAMPLE))
def test_a_refused_declaration_is_shown(code):
    """A code that a declaration can raise has an example that raises it; one that only doctor finds is described in words."""
    assert re.search(rf"# raises DeclarationError\[{code}\]", SECTIONS[code])


@pytest.mark.parametrize("module", [errors, token_errors], ids=["core", "tokens"])
def test_every_error_is_in_the_tree(module):
    """The tree on the page is the one in the module's docstring, and has every exception of the module."""
    tree = module.__doc__.partition("::\n\n")[2].rstrip().replace("``", "")
    drawn = "\n".join(line.removeprefix("    ") for line in tree.splitlines())
    classes = {
        name for name in module.__all__ if isinstance(value := getattr(module, name), type) and issubclass(value, Exception)
    }

    assert drawn in PAGE.replace("``", "")
    assert {name for name in classes if not name.endswith("Warning")} <= set(re.findall(r"\w+", drawn))
