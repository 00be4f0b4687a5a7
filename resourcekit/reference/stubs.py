"""Stub files for modules with resources: the module without function bodies, with what extensions add to each resource.

A type checker reads a class body and its base classes, but does not run the extensions of a resource. What an extension adds by
a template, users get by inheriting from that template. What transformers add exists only when the class is compiled; the stub
has it in words. The rest of the module is kept as it is written, so that its types are the same with and without the stub.
"""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from resourcekit.actions.functions import Function
from resourcekit.declarations.action import Action, GenericAction
from resourcekit.declarations.attribute import Attribute
from resourcekit.metaclass import registered
from resourcekit.reference.typed_inputs import caller_of, callers_of, has_inputs, replace

__all__ = ["stub_of"]

_HEAD = "# Written by `resourcekit stubs`. Change the module, and write it again.\n"
_IMPORTS = """\
import collections.abc as _abc
import datetime as _datetime
import decimal as _decimal
import typing as _typing
import uuid as _uuid
from resourcekit import Attr as _Attr
from resourcekit import attribute as _attribute
from resourcekit.declarations import callers as _callers
from resourcekit.declarations.runnable_query import RunnableQuery as _RunnableQuery
from resourcekit.expressions.query import Query as _Query
from resourcekit.results import BulkResult as _BulkResult
from resourcekit.results import Written as _Written
"""
_TYPES = {
    **dict.fromkeys(("date", "datetime", "time", "timedelta"), "_datetime"),
    "Decimal": "_decimal",
    "UUID": "_uuid",
    "Any": "_typing",
    "Literal": "_typing",
}
_PLAIN = {"str", "int", "float", "bool", "bytes", "None", "list", "dict", "tuple", "set", "frozenset"}


def stub_of(module: ModuleType) -> str:
    """Return the stub of a module; ``""`` if its resources have no action with inputs, and extensions add nothing to them."""
    resources = {
        resource.__name__: resource
        for resource in registered()
        if resource.__module__ == module.__name__ and resource.__qualname__ == resource.__name__
    }
    added = {
        name: _added(resource)
        for name, resource in resources.items()
        if _added(resource) or any(map(_is_typed, resource.__info__.actions.values()))
    }
    if not added:
        return ""
    tree = ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))
    imports, callers = set[str](), list[str]()
    for statement in tree.body:
        if isinstance(statement, ast.ClassDef) and statement.name in added:
            lines = added[statement.name]
            imports |= {line for line in lines if line.startswith(("import ", "from "))}
            statement.body += ast.parse("\n".join(line for line in lines if line not in imports)).body
            resource = resources[statement.name]
            callers += replace(statement, resource, _type)
            callers += callers_of(resource, _generic(resource), _type)
    tree = ast.fix_missing_locations(_Shortened().visit(tree))
    future = [each for each in tree.body if isinstance(each, ast.ImportFrom) and each.module == "__future__"]
    rest = ast.Module([each for each in tree.body if each not in future], [])
    return "\n".join(
        [
            _HEAD,
            *map(ast.unparse, future),
            _IMPORTS + "".join(f"{line}\n" for line in sorted(imports)),
            ast.unparse(rest),
            *callers,
            "",
        ]
    )


def _is_typed(action: Action) -> bool:
    """Return whether the stub knows more of an action than the class body; the primary read of Core has no inputs."""
    return has_inputs(action) and action.origin.declared_by != "Core"


def _generic(resource: Any) -> list[GenericAction]:
    """Return the generic actions that extensions added."""
    seen = {name for base in resource.__mro__ if base is not object for name in _written(base)}
    actions = resource.__info__.actions.values()
    return [action for action in actions if isinstance(action, GenericAction) and action.name not in seen]


class _Shortened(ast.NodeTransformer):
    """Replaces the bodies of functions, and drops the statements that a stub cannot have."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        """Keep the signature and the decorators."""
        node.body = [ast.Expr(ast.Constant(...))]
        return node

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AsyncFunctionDef:
        """Keep the signature and the decorators."""
        node.body = [ast.Expr(ast.Constant(...))]
        return node

    def visit_Module(self, node: ast.Module) -> ast.Module:
        """Drop the statements that do not declare anything, such as calls."""
        kept = (
            ast.Import,
            ast.ImportFrom,
            ast.ClassDef,
            ast.FunctionDef,
            ast.AsyncFunctionDef,
            ast.Assign,
            ast.AnnAssign,
            ast.If,
        )
        node.body = [each for each in node.body if isinstance(each, kept) and not _is_main(each)]
        self.generic_visit(node)
        return node


def _is_main(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.If) and "__main__" in ast.unparse(statement.test)


def _added(resource: Any) -> list[str]:
    """Return the lines for a class body that declare what its extensions added, after the imports that the lines need."""
    facts = resource.__info__
    seen = {name for base in resource.__mro__ if base is not object for name in _written(base)}
    imports: list[str] = []
    lines: list[str] = []
    for entity in facts.entities:
        # The primary read of Core would hide the builder of its name from the class body.
        if entity.name in seen or entity.name in facts.functions or entity.origin.declared_by == "Core":
            continue
        if isinstance(entity, Attribute):
            given = " = _attribute(default=_typing.cast(_typing.Any, ...))" if entity.has_default else " = _attribute()"
            lines.append(f"{entity.name}: _Attr[{_type(str(entity.type))}]{given}")
        elif isinstance(entity, Action):
            lines.append(f"{entity.name}: _typing.ClassVar[{caller_of(resource, entity)}]")
    for name, function in facts.functions.items():
        if name in seen:
            continue
        place = _place_of(function)
        if place is None:
            lines.append(f"{name}: _typing.ClassVar[_typing.Any]")
        else:
            imports.append(f"import {place[0]}")
            lines.append(f"{name} = {place[0]}.{place[1]}")
    return [*imports, *lines] if lines else []


def _written(base: type) -> set[str]:
    """Return the names that type checkers see in the body of a class: all of it, or the declarations of a resource's own body."""
    declared = base.__dict__.get("__declared__")
    if declared is None:
        return set(vars(base))
    return {*declared.entities, *declared.reserved}


def _type(text: str) -> str:
    """Return the annotation of a type as the stub writes it; ``Any`` for types that the stub cannot name."""
    words = set(re.findall(r"[A-Za-z_]\w*", re.sub(r"'[^']*'|\"[^\"]*\"", "", text)))
    if not words <= _PLAIN | _TYPES.keys():
        return "_typing.Any"
    return re.sub(
        r"[A-Za-z_]\w*(?=([^']*'[^']*')*[^']*$)",
        lambda found: f"{_TYPES[found[0]]}.{found[0]}" if found[0] in _TYPES else found[0],
        text,
    )


def _place_of(function: object) -> tuple[str, str] | None:
    """Return the module and the name under which a function of an extension can be imported; ``None`` if it has none."""
    if not isinstance(function, Function):
        return None
    name = function.__name__
    module = function.function.__module__
    found = getattr(sys.modules.get(module), name, None)
    return (module, name) if found is function else None
