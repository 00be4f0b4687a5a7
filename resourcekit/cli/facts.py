"""The facts of a resource as plain values, for whoever shows them. It knows no paper and no terminal."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from resourcekit.declarations.action import Action, GenericAction
from resourcekit.declarations.argument import Argument
from resourcekit.declarations.attribute import Attribute
from resourcekit.declarations.identity import Identity, Index
from resourcekit.dsl.entity import Entity
from resourcekit.dsl.origin import Origin
from resourcekit.dsl.sentinel import MISSING
from resourcekit.resource_info import ResourceInfo

__all__ = ["facts_of"]


def facts_of(resource: Any) -> dict[str, Any]:
    """Return everything that ``explain`` tells of a resource: text, numbers, lists and dicts only.

    Values of options are left out, because they may be secrets.
    """
    info: ResourceInfo = resource.__info__
    sections: dict[str, list[dict[str, Any]]] = {"attributes": [], "actions": [], "identities": [], "indexes": []}
    for entity in info.entities:
        sections.setdefault(entity.section, []).append({**_common(entity, info), **_particular(entity)})
    return {
        "resource": info.name,
        "module": info.module,
        "doc": _first_line(info.doc),
        "origin": _place(info.origin),
        "domain": getattr(info.options.get("domain"), "name", "default"),
        "data_layer": type(info.options["data_layer"]).__name__,
        "extensions": _extensions(info),
        **sections,
        "functions": [{"name": name, "doc": _first_line(value.__doc__)} for name, value in info.functions.items()],
    }


def _extensions(info: ResourceInfo) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for kind, options in info.extensions.items():
        brought = {
            what: [one.__name__ for one in getattr(options, what)] for what in ("transformers", "verifiers", "services", "checks")
        }
        found.append({"name": kind.__name__, "module": kind.__module__, "doc": _first_line(kind.__doc__), **brought})
    return found


def _common(entity: Entity, info: ResourceInfo) -> dict[str, Any]:
    """Return name, description, and who made it what it is: whoever declared it, then whoever touched it since."""
    history = info.history.get((entity.section, entity.name), ())
    return {
        "name": entity.name,
        "doc": _first_line(entity.doc),
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
            }
        case Action():
            return _action(entity)
        case Identity() | Index():
            return {"fields": list(entity.fields)}
        case _:
            return {"kind": type(entity).__name__}


def _default(entity: Attribute | Argument) -> str | None:
    """Return the default as text; ``None`` where there is none. A sensitive one is not shown."""
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
    """Return file and line, the file as it stands in the current folder or else as Python finds it; ``""`` for no place."""
    if not origin.file:
        return ""
    file = Path(origin.file)
    folders = [
        Path.cwd(),
        *sorted((Path(entry) for entry in sys.path if entry), key=lambda entry: len(entry.parts), reverse=True),
    ]
    shown = next((file.relative_to(folder) for folder in folders if file.is_relative_to(folder)), file)
    return f"{shown}:{origin.line}"


def _first_line(text: str | None) -> str:
    return (text or "").strip().partition("\n")[0].strip()
