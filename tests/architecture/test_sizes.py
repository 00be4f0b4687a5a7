from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OURS = ("resourcekit", "extensions", "examples", "docs", "tests")
LONGEST_FILE, LONGEST_FUNCTION = 450, 60


def files(*folders: str) -> list[Path]:
    """Return the Python files below folders of the project."""
    return sorted(file for folder in folders for file in (ROOT / folder).rglob("*.py"))


def named(file: Path) -> str:
    """Return a file's path from the root of the project."""
    return file.relative_to(ROOT).as_posix()


def functions(file: Path) -> Iterator[tuple[str, int]]:
    """Yield each function of a file with its length in lines, without its docstring and the classes declared inside."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            apart: list[ast.stmt] = [inner for inner in node.body if isinstance(inner, ast.ClassDef)]
            if ast.get_docstring(node) is not None:
                apart.append(node.body[0])
            yield node.name, length(node) - sum(map(length, apart))


def length(node: ast.stmt) -> int:
    """Return over how many lines a statement goes."""
    return (node.end_lineno or 0) - node.lineno + 1


def test_no_file_is_too_long():
    """A file has one idea; one of more than 450 lines has a second one to be found."""
    long = {named(file): len(file.read_text(encoding="utf-8").splitlines()) for file in files(*OURS)}

    assert {} == {name: lines for name, lines in long.items() if lines > LONGEST_FILE}


def test_no_function_is_too_long():
    """A function fits on a screen: at most 60 lines, without its docstring and the classes declared in it."""
    long = {
        f"{named(file)}:{name}": lines for file in files(*OURS) for name, lines in functions(file) if lines > LONGEST_FUNCTION
    }

    assert {} == long


@pytest.mark.parametrize("folder", ["resourcekit", "extensions", "examples", "docs"])
def test_every_module_says_what_it_is(folder):
    """A module opens with a docstring, a package's ``__init__`` too."""
    silent = [named(file) for file in files(folder) if not ast.get_docstring(ast.parse(file.read_text(encoding="utf-8")))]

    assert [] == silent


def test_names_of_test_files_are_unique():
    """Tests are no packages, so two files of one name would hide each other."""
    names = Counter(file.name for file in files("tests") if file.name != "conftest.py")

    assert [] == [name for name, times in names.items() if times > 1]
