from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "internals" / "architecture.md").read_text(encoding="utf-8")
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
MODULES_OF_A_PAIR = 2
"""A package of one module beside its ``__init__`` can have no circle."""


def test_the_layers_on_the_page_are_those_of_the_contract():
    """The drawing in architecture.md has the layers of pyproject.toml, in their order, numbered from below."""
    drawn = [(int(number), layer) for number, layer in re.findall(r"^ ?(\d+)  (\S.*)$", PAGE, re.MULTILINE)]
    layers = next(contract["layers"] for contract in CONTRACTS if contract["type"] == "layers")

    assert [(len(layers) - place, layer) for place, layer in enumerate(layers)] == drawn


def test_every_contract_is_on_the_page():
    """The page names each import contract, by the first words of its name."""
    rows = re.findall(r"^\| ([^|`]+) \|", PAGE, re.MULTILINE)

    assert [] == [contract["name"] for contract in CONTRACTS if not any(contract["name"].startswith(row) for row in rows)]


def test_every_module_is_on_the_page():
    """The drawing shows each module and package of resourcekit."""
    drawing = PAGE.partition("```text\n")[2].partition("```")[0]
    modules = {path.name for path in (ROOT / "resourcekit").iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}

    assert set() == {
        module
        for module in modules - {"__main__.py"}
        if not re.search(rf"^\s+(\S+\s+)?{re.escape(module)}", drawing, re.MULTILINE)
    }


def test_every_package_is_free_of_circles():
    """The contract against circles names each package that has modules beside each other."""
    contract = next(contract for contract in CONTRACTS if contract["type"] == "acyclic_siblings")
    folders = [ROOT, ROOT / "extensions" / "tokens"]
    packages = {
        ".".join(file.parent.relative_to(folder).parts)
        for folder, package in zip(folders, ("resourcekit", "resourcekit_tokens"), strict=True)
        for file in (folder / package).rglob("__init__.py")
        if len(list(file.parent.glob("*.py"))) > MODULES_OF_A_PAIR
    }

    assert set() == packages - set(contract["ancestors"])


def test_extensions_import_no_module_without_a_public_name():
    """The contract of extensions forbids each module of resourcekit but those of its public API."""
    contract = next(contract for contract in CONTRACTS if contract["name"].startswith("Extensions import only"))
    public = {"data_layers", "errors", "extending", "observability", "supervisor", "testing"}
    modules = {path.stem for path in (ROOT / "resourcekit").iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}

    assert {f"resourcekit.{module}" for module in modules - public - {"__init__", "__main__"}} == set(
        contract["forbidden_modules"]
    )


def test_only_the_folder_of_a_database_asks_for_its_name():
    """No module compares anything with the name of a database: what differs is a flag or a method of the dialect."""
    found = [
        f"{file.relative_to(ROOT)}:{node.lineno}"
        for file in (ROOT / "resourcekit").rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Compare) and any(map(names_a_database, [node.left, *node.comparators]))
    ]

    assert [] == found


def names_a_database(side: ast.expr) -> bool:
    """Return whether a side of a comparison is the name of a database, or a collection of such names."""
    parts = side.elts if isinstance(side, (ast.Tuple, ast.List, ast.Set)) else [side]
    return any(isinstance(part, ast.Constant) and part.value in {"sqlite", "postgresql", "mariadb", "mysql"} for part in parts)
