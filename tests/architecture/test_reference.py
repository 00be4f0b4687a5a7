from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import ModuleType

import pytest

import resourcekit
from resourcekit.data_layers import SQL, Redis, Repo
from resourcekit.data_layers.base import Capability
from resourcekit.declarations.value_type import Kind
from resourcekit.dsl.option import fields_of
from resourcekit.metaclass import _OPTIONS
from resourcekit.plugins import Hooks
from resourcekit.reference.docstrings import parse_docstring, texts_below
from resourcekit.reference.sections import items_of
from resourcekit_tokens import JWT, Confirmation, Revocation, SigningKey, TokenResource

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference"


@pytest.fixture(scope="module")
def generate() -> Iterator[ModuleType]:
    """The program ``docs/generate.py`` as a module. Meanwhile calls have the timeout of users, not that of tests."""
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    defaults = Repo.__init__.__kwdefaults__
    assert defaults is not None
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(defaults, "timeout", timedelta(seconds=5))
        yield module


def written(generate: ModuleType) -> dict[str, str]:
    """Return the pages as they would be written now."""
    return {name: make() for name, make in generate.PAGES.items()}


def test_the_reference_is_what_the_declarations_say(generate):
    """Every page of docs/reference is as docs/generate.py writes it now, and there is no other page."""
    there = {file.name: file.read_text(encoding="utf-8") for file in REFERENCE.glob("*.md")}

    assert written(generate) == there


def test_the_ways_on_the_page_are_those_of_real_calls(generate):
    """The page on architecture shows the ways of calls as docs/generate.py traces them now."""
    there = generate.ARCHITECTURE.read_text(encoding="utf-8")

    assert generate.architecture_page() == there


def test_checking_finds_a_page_that_differs(generate, tmp_path, capsys):
    """``--check`` writes nothing, names what differs or does not belong there, and exits with 1."""
    assert 0 == generate.main(["--to", str(tmp_path)])
    assert 0 == generate.main(["--to", str(tmp_path), "--check"])
    capsys.readouterr()

    (tmp_path / "builders.md").write_text("changed", encoding="utf-8")
    (tmp_path / "stray.md").write_text("not generated", encoding="utf-8")

    assert 1 == generate.main(["--to", str(tmp_path), "--check"])
    assert ["builders.md differs", "stray.md is not a page that is made here"] == capsys.readouterr().out.splitlines()
    assert "changed" == (tmp_path / "builders.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("options", [TokenResource, Revocation, Confirmation, JWT, SigningKey, SQL, Redis])
def test_every_option_says_what_it_means(options):
    """An option has a text at its declaration, and so a meaning in the reference."""
    silent = [item.name for item in items_of(options) if not item.doc]

    assert [] == silent
    assert len(fields_of(options)) == len(items_of(options))


def test_every_class_option_says_what_it_means():
    """Whatever a class statement takes is described in the docstring of Resource."""
    _, texts = parse_docstring(resourcekit.Resource.__doc__, _OPTIONS)

    assert set(_OPTIONS) == {name for name, text in texts.items() if text}


@pytest.mark.parametrize("word", ["attribute", "argument", "identity", "index", "create", "read", "update", "destroy", "action"])
def test_every_parameter_of_a_word_is_in_the_reference_with_a_meaning(word):
    """The section of a word has no row whose last cell is empty."""
    _, _, section = (REFERENCE / "builders.md").read_text(encoding="utf-8").partition(f"\n### {word}\n")
    rows = [line for line in section.partition("\n### ")[0].splitlines() if line.startswith("| `")]
    silent = [row for row in rows if row.endswith("|  |")]

    assert rows
    assert [] == silent


@pytest.mark.parametrize("kind", [Kind, Capability])
def test_every_member_of_a_closed_set_says_what_it_means(kind):
    """Types and capabilities are described one by one."""
    source = Path(sys.modules[kind.__module__].__file__).read_text(encoding="utf-8")
    body = source[source.index(f"class {kind.__name__}(") :].partition("\n\n\n")[0]

    assert {member.name for member in kind} == texts_below(body).keys()


def test_every_hook_is_documented():
    """A hook has a section in the reference, and a line on what it returns."""
    hooks = {name for name in vars(Hooks) if name.startswith("resourcekit_")}
    text = (REFERENCE / "api.md").read_text(encoding="utf-8")

    declared = {"extensions", "data_layers", "value_types", "commands", "port"}
    assert {f"resourcekit_{name}" for name in declared} == hooks
    assert set() == {name for name in hooks if f"\n### {name}\n" not in text or not vars(Hooks)[name].__doc__}
