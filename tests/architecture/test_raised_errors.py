"""Every error that is raised on purpose is one of resourcekit's own."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
BUILTIN = {name for name, value in vars(builtins).items() if isinstance(value, type) and issubclass(value, BaseException)}

PROTOCOL = {"AttributeError": {"__getattr__", "__setattr__", "__delattr__", "__get__"}}
"""Python itself asks for these errors in these methods: ``hasattr``, ``getattr`` with a default, ``copy`` and ``pickle``."""

REASONED = {
    "resourcekit/data_layers/json_reading.py": "ValueError: a stored value that is of another shape; its caller names resource and key",
    "extensions/tokens/resourcekit_tokens/keys/key_sets.py": "ValueError: an answer that is no key set; the caller notes it as the failure",
    "resourcekit/actions/bulk_at_once.py": "AssertionError: a line that cannot be reached",
    "resourcekit/actions/casting.py": "ValueError: a cast that fails; its caller turns it into a finding",
    "resourcekit/actions/loaded.py": "KeyError: record.extra is a dict, and this name is not in it",
    "resourcekit/data_layers/__init__.py": "ImportError: a package of an extra is missing; tools ask for it by importing",
    "resourcekit/data_layers/callbacks.py": "ExceptionGroup: the errors of several functions of the user",
    "resourcekit/data_layers/redis/codec.py": "ValueError: a stored text that is broken; its caller names resource and key",
    "resourcekit/data_layers/redis/sockets.py": "TimeoutError: as the client library expects it of a socket",
    "resourcekit/data_layers/rows/json_rows.py": "ValueError: a stored text that is broken; its caller names resource and key",
    "resourcekit/data_layers/sql/binding.py": "ValueError: a name that does not fit; its caller makes it a DeclarationError",
    "resourcekit/data_layers/sql/dialects/base.py": "NotImplementedError: methods that each dialect of this package defines",
    "resourcekit/data_layers/sql/dialects/codecs.py": "ValueError: a type without a column; its caller makes it a DeclarationError",
    "resourcekit/data_layers/sql/dialects/driver.py": "NotImplementedError: methods that each dialect of this package defines",
    "resourcekit/data_layers/sql/dialects/features.py": "NotImplementedError: a property that each dialect of this package defines",
    "resourcekit/data_layers/sql/dialects/maintenance.py": "NotImplementedError: methods that each dialect of this package defines",
    "resourcekit/data_layers/sql/dialects/mariadb/values.py": "ValueError: a key that is too long; its caller makes it a DeclarationError",
    "resourcekit/data_layers/sql/dialects/mariadb/sockets.py": "TimeoutError: as the driver expects it of a socket",
    "resourcekit/data_layers/sql/dialects/sqlite/forks.py": "ValueError: an unusual SQLite library; caught in the same module",
    "resourcekit/data_layers/stored_forms.py": "ValueError, TypeError: a stored form that does not fit; TypedStore makes it an Invalid",
    "resourcekit/declarations/runnable_query.py": "NotImplementedError: an interface; the queries that users get define all of it",
    "resourcekit/expressions/decimals.py": "ValueError: a decimal that cannot be kept; its caller turns it into a finding",
    "resourcekit/expressions/far.py": "OverflowError: raised again; the sum of two numbers that Python could not compute",
    "resourcekit/observability.py": "ImportError: a package of an extra is missing; tools ask for it by importing",
    "resourcekit/plugins.py": "of a hook: caught a few lines below, and reported as RK060; the hooks themselves are never called",
    "resourcekit/supervisor/__init__.py": "ExceptionGroup: the errors of several services",
    "resourcekit/testing/__init__.py": "ModuleNotFoundError: a package of an extra is missing; tools ask for it by importing",
    "resourcekit/testing/conformance/concurrency.py": "AssertionError: a conformance test fails",
    "resourcekit/testing/conformance/harness.py": "AssertionError: a conformance test fails",
    "resourcekit/testing/conformance/upkeep.py": "KeyError: an error of the user's own code",
}
"""The other places, each with its reason."""


def _raised(node: ast.AST, function: str = "") -> Iterator[tuple[str, str, int]]:
    """Yield exception, function and line of every ``raise``."""
    for child in ast.iter_child_nodes(node):
        inside = child.name if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)) else function
        if isinstance(child, ast.Raise) and child.exc is not None:
            raised = child.exc.func if isinstance(child.exc, ast.Call) else child.exc
            if isinstance(raised, ast.Name):
                yield raised.id, function, child.lineno
        yield from _raised(child, inside)


def _builtins() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for folder in ("resourcekit", "extensions"):
        for file in sorted((ROOT / folder).rglob("*.py")):
            for name, function, line in _raised(ast.parse(file.read_text(encoding="utf-8"))):
                if name in BUILTIN and function not in PROTOCOL.get(name, ()):
                    found.setdefault(file.relative_to(ROOT).as_posix(), []).append(f"{name} in line {line}")
    return found


def test_no_builtin_exception_is_raised_on_purpose() -> None:
    """A user catches ResourcekitError, and finds who, where, what and the next step in it."""
    assert {} == {file: lines for file, lines in _builtins().items() if file not in REASONED}


def test_no_reason_is_left_over() -> None:
    """A reason whose place is gone is taken out."""
    assert set() == set(REASONED) - set(_builtins())
