"""The facts of a resource as plain values, for output."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from resourcekit.cli.page import unmarked
from resourcekit.declarations.action import Action, GenericAction
from resourcekit.declarations.argument import Argument
from resourcekit.declarations.attribute import Attribute
from resourcekit.declarations.calculations import Calculation
from resourcekit.declarations.filled import SQLText
from resourcekit.declarations.identity import Identity, Index
from resourcekit.declarations.relationships import Relationship
from resourcekit.dsl.diagnostics import Origin
from resourcekit.dsl.entity import Entity
from resourcekit.dsl.option import MISSING
from resourcekit.expressions.nodes import Now, as_expression
from resourcekit.expressions.related import ManyOf
from resourcekit.resource_info import ResourceInfo

__all__ = ["facts_of"]


def facts_of(resource: Any) -> dict[str, Any]:
    """Return all facts that ``explain`` shows, as text, numbers, lists and dicts.

    Values of options are left out, because they may be secrets.
    """
    info: ResourceInfo = resource.__info__
    sections: dict[str, list[dict[str, Any]]] = {
        "attributes": [],
        "actions": [],
        "identities": [],
        "indexes": [],
        "relationships": [],
        "calculations": [],
    }
    for entity in info.entities:
        sections.setdefault(entity.section, []).append({**_common(entity, info), **_particular(entity)})
    return {
        "resource": info.name,
        "module": info.module,
        "doc": _summary(info.doc),
        "origin": _place(info.origin),
        "domain": getattr(info.options.get("domain"), "name", "default"),
        "data_layer": type(info.options["data_layer"]).__name__,
        "extensions": _extensions(info),
        **sections,
        "functions": [{"name": name, "doc": _summary(value.__doc__)} for name, value in info.functions.items()],
    }


def _extensions(info: ResourceInfo) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for kind, options in info.extensions.items():
        brought = {
            what: [one.__name__ for one in getattr(options, what)] for what in ("transformers", "verifiers", "services", "checks")
        }
        found.append({"name": kind.__name__, "module": kind.__module__, "doc": _summary(kind.__doc__), **brought})
    return found


def _common(entity: Entity, info: ResourceInfo) -> dict[str, Any]:
    """Return name, description and authors: the author of the declaration, then those of its changes."""
    history = info.history.get((entity.section, entity.name), ())
    return {
        "name": entity.name,
        "doc": _summary(entity.doc),
        "declared_by": entity.origin.declared_by,
        "origin": _place(entity.origin),
        "history": list(history),
    }


def _particular(entity: Entity) -> dict[str, Any]:
    match entity:
        case Attribute():
            return {
                "type": str(entity.type),
                "primary_key": entity.primary_key,
                "public": entity.public,
                "sensitive": entity.sensitive,
                "required": not entity.has_default,
                "default": _default(entity),
                "filled": _filled(entity),
            }
        case Action():
            return _action(entity)
        case Identity() | Index():
            return {"fields": list(entity.fields)}
        case Relationship():
            target = entity.target.__name__ if isinstance(entity.target, type) else str(entity.target)
            shown = f"{target} | None" if entity.allow_none else target
            keys = [*entity.key, *entity.source, *entity.destination]
            return {
                "kind": entity.kind,
                "to": shown,
                "key": keys,
                "public": entity.public,
                "on_delete": entity.on_delete if entity.kind == "belongs_to" else None,
            }
        case Calculation():
            arguments = [_argument(argument) for argument in entity.arguments]
            type_ = "tuple" if entity.type is None else str(entity.type)
            return {"kind": _computed(entity), "type": type_, "arguments": arguments, "public": entity.public}
        case _:
            return {"kind": type(entity).__name__}


def _filled(entity: Attribute) -> str | None:
    """Return how the database fills an attribute; ``None`` if it does not."""
    if entity.generated:
        return "generated"
    if entity.is_computed:
        return "computed"
    if not entity.is_filled:
        return None
    default = entity.database_default
    shown = default.text if isinstance(default, SQLText) else "now()" if isinstance(default, Now) else repr(default)
    return "database default" if entity.sensitive else f"database default {shown}"


def _computed(entity: Calculation) -> str:
    """Return how a value is computed: by a function, by an expression, or as an aggregate of related records."""
    if entity.expression is None:
        return f"function of {', '.join(entity.needs)}" if entity.needs else "function"
    try:
        node = as_expression(entity.expression())
    except Exception:  # a lambda of the user can fail in any way, and is reported when its domain is sealed
        return "expression"
    return f"{node.kind} of {node.relation.name}" if isinstance(node, ManyOf) else "expression"


def _default(entity: Attribute | Argument) -> str | None:
    """Return the default as text; ``None`` if there is none. A sensitive default is hidden."""
    if entity.default_factory is not None:
        return f"{getattr(entity.default_factory, '__qualname__', type(entity.default_factory).__name__)}()"
    if entity.default is MISSING:
        return None
    return "hidden" if entity.sensitive else repr(entity.default)


def _action(action: Action) -> dict[str, Any]:
    returns = str(action.returns) if isinstance(action, GenericAction) else None
    return {
        "kind": action.kind,
        "primary": action.primary,
        "accepts": list(getattr(action, "accept", ())),
        "arguments": [_argument(argument) for argument in action.arguments.values()],
        "returns": returns,
        "changes": _names(action, "changes"),
        "validations": _names(action, "validations"),
        "preparations": _names(action, "preparations"),
    }


def _names(action: Action, steps: str) -> list[str]:
    return [getattr(step, "__qualname__", type(step).__name__).removeprefix("_") for step in getattr(action, steps, ())]


def _argument(argument: Argument) -> Mapping[str, Any]:
    return {
        "name": argument.name,
        "type": str(argument.type),
        "required": argument.is_required,
        "sensitive": argument.sensitive,
        "default": _default(argument),
    }


def _place(origin: Origin) -> str:
    """Return file and line; ``""`` for no place. The file is relative to the current folder, or else to Python's path."""
    if not origin.file:
        return ""
    file = Path(origin.file)
    folders = [
        Path.cwd(),
        *sorted((Path(entry) for entry in sys.path if entry), key=lambda entry: len(entry.parts), reverse=True),
    ]
    shown = next((file.relative_to(folder) for folder in folders if file.is_relative_to(folder)), file)
    return f"{shown}:{origin.line}"


def _summary(text: str | None) -> str:
    """Return the first paragraph of a docstring as one line of plain text."""
    return unmarked(" ".join((text or "").strip().partition("\n\n")[0].split()))
