"""The lock of the records in memory is taken only where an exception from outside releases it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "resourcekit" / "data_layers"
FILES = sorted([*(ROOT / "rows").glob("*.py"), *(ROOT / "memory").glob("*.py")])


def unguarded(source: str) -> list[str]:
    """Return the functions that take the lock in a ``with`` and are not decorated with ``releases_lock``."""
    return [
        function.name
        for function in ast.walk(ast.parse(source))
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        and any(
            isinstance(block, ast.With) and any(ast.unparse(item.context_expr) in ("LOCK", "IN_TIME") for item in block.items)
            for block in ast.walk(function)
        )
        and (isinstance(function, ast.AsyncFunctionDef) or "releases_lock" not in map(ast.unparse, function.decorator_list))
    ]


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_a_function_that_takes_the_lock_releases_it_after_an_exception_from_outside(file):
    """An exception may come at the end of a ``with`` block, before the lock is released."""
    assert [] == unguarded(file.read_text())


def test_a_function_without_the_decorator_is_found():
    """An async function too: ``releases_lock`` does not see into its body."""
    assert ["f"] == unguarded("async def f():\n    with IN_TIME:\n        pass")
