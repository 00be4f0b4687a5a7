"""The reference page of an extension: its options, and all that it adds to a resource."""

from __future__ import annotations

import inspect
import sys
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import attrs

from resourcekit.actions.functions import Function, MaybeRecordFunction, RecordFunction, RecordsFunction
from resourcekit.data_layers.base import DataLayer
from resourcekit.data_layers.memory import Memory
from resourcekit.declarations.action import Action, GenericAction
from resourcekit.declarations.argument import Argument
from resourcekit.declarations.attribute import Attr, Attribute, attribute
from resourcekit.declarations.builders import create, destroy, update
from resourcekit.domain import Domain
from resourcekit.dsl.entity import Entity
from resourcekit.dsl.extension import Extension
from resourcekit.dsl.option import MISSING, fields_of
from resourcekit.errors import ResourcekitError
from resourcekit.reference.docstrings import markdown, parse_docstring
from resourcekit.reference.sections import Item, function_section, items_of, shown, table
from resourcekit.resource import Resource

__all__ = ["argument_items", "attribute_item", "extension_page", "options_section"]

_RECORDS: Mapping[type[Function], str] = {
    RecordFunction: "Resource",
    MaybeRecordFunction: "Resource | None",
    RecordsFunction: "list[Resource]",
}
"""The results of functions that cannot name the class of their records."""

_KEY: Mapping[str, Callable[[], Any]] = {"id": lambda: attribute(primary_key=True)}
_ACTIONS: Mapping[str, Callable[[], Any]] = {
    "make": lambda: create(accept=["id"]),
    "change": update,
    "remove": destroy,
}
"""Declarations of the resource that shows what an extension adds."""

_OF_ENTITY = ("name", "origin", "doc", "extras")


def extension_page(kind: type[Extension], name: str = "") -> str:
    """Return the page of an extension or a data layer in Markdown.

    name: under which a plugin registered it; ``""`` for none.
    """
    use = f"data_layer={kind.__name__}(...)" if issubclass(kind, DataLayer) else f"extensions=[{kind.__name__}]"
    prose, _ = parse_docstring(kind.__doc__, [item.name for item in items_of(kind)])
    named = f", or `{'data_layer' if issubclass(kind, DataLayer) else 'extensions'}={_by_name(kind, name)}`" if name else ""
    parts = [
        f"# {kind.__name__}",
        markdown(prose),
        f"`from {_public_place(kind)} import {kind.__name__}`, then `{use}`{named} in the class statement.",
        *_titled("Options", table(items_of(kind), called="option")),
        *_titled("Requires", _names(kind.requires)),
        *_entities(kind),
        *_added(kind),
        *_titled("Background work", table(map(_step_item, kind.services), called="service")),
        *_titled("What it refuses", table(map(_step_item, kind.verifiers), called="verifier")),
        *_titled("Checks of doctor", table(map(_step_item, kind.checks), called="check")),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _public_place(kind: type) -> str:
    """Return the outermost package that has the class under its name; else the module of the class."""
    parts = kind.__module__.split(".")
    places = [".".join(parts[:length]) for length in range(1, len(parts))]
    return next((place for place in places if getattr(sys.modules.get(place), kind.__name__, None) is kind), kind.__module__)


def _by_name(kind: type[Extension], name: str) -> str:
    return f'"{name}"' if issubclass(kind, DataLayer) else f'["{name}"]'


def _titled(title: str, text: str) -> list[str]:
    return [f"## {title}", text] if text else []


def _names(kinds: Iterable[type]) -> str:
    return ", ".join(f"`{kind.__name__}`" for kind in kinds)


def _step_item(kind: type) -> Item:
    return Item(name=getattr(kind, "name", "") or kind.__name__, doc=kind.__doc__ or "")


def options_section(kind: type, level: int) -> str:
    """Return a section on a class of options."""
    prose, _ = parse_docstring(kind.__doc__, [item.name for item in items_of(kind)])
    return "\n\n".join([f"{'#' * level} {kind.__name__}", markdown(prose), table(items_of(kind), called="option")])


def _entities(kind: type[Extension]) -> Iterator[str]:
    """Yield the entities that the extension brings, with their builders, and its options for entities of others."""
    if kind.entities or kind.entity_options:
        yield "## For the class body"
    for entity in kind.entities:
        builders = list(_builders(kind, entity))
        yield from (function_section(name, builder, entity.__doc__) for name, builder in builders)
        if not builders:
            own = [item for item in items_of(entity) if item.name not in _OF_ENTITY]
            yield "\n\n".join([f"### {entity.__name__}", markdown(entity.__doc__), table(own, called="field")])
    for options in kind.entity_options:
        yield f"{options_section(options, 3)}\n\nFor each `{options.on.__name__}`."


def _builders(kind: type[Extension], entity: type[Entity]) -> Iterator[tuple[str, Callable[..., Any]]]:
    """Yield the public functions, in the modules of the extension and of the entity, that return the entity."""
    places = dict.fromkeys([kind.__module__.rpartition(".")[0], kind.__module__, entity.__module__])
    seen: set[object] = set()
    for place in places:
        for name, value in vars(sys.modules.get(place, types.ModuleType(""))).items():
            if not inspect.isfunction(value) or name.startswith("_") or value in seen:
                continue
            returned = str(getattr(value, "__annotations__", {}).get("return", ""))
            if returned.rpartition(".")[2].strip("'>") == entity.__name__:
                seen.add(value)
                yield name, value


def _added(kind: type[Extension]) -> Iterator[str]:
    """Yield the attributes, actions and functions that a resource with the extension has besides its own."""
    if missing := [field.alias for field in fields_of(kind) if field.default is attrs.NOTHING]:
        if kind.transformers or kind.template is not None:
            yield f"What it adds to a resource depends on the options {_quoted(missing)}, which have no default."
        return
    example = _example(kind)
    if isinstance(example, str):
        yield example
        return
    facts = example.__info__
    own = ("id", "read", *_ACTIONS)
    attributes = [each for name, each in facts.attributes.items() if name not in own]
    yield from _titled("Attributes", table(map(attribute_item, attributes), called="attribute"))
    actions = [each for name, each in facts.actions.items() if name not in own]
    if actions:
        yield "## Actions"
    yield from map(_action_section, actions)
    functions = {name: each for name, each in facts.functions.items() if isinstance(each, Function)}
    functions |= {name: each for name, each in _template_functions(kind) if name not in functions}
    if functions:
        yield "## Functions"
        yield "Each has a sync form, `Resource.name(...)`, and an async one, `await Resource.name.aio(...)`."
    for name, each in sorted(functions.items()):
        returns = _RECORDS.get(type(each))
        yield function_section(name, each.function, called=f"Resource.{name}", without=("resource",), returns=returns)


def _quoted(names: Iterable[str | None]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _template_functions(kind: type[Extension]) -> Iterator[tuple[str, Function]]:
    for base in () if kind.template is None else kind.template.__mro__:
        yield from ((name, value) for name, value in vars(base).items() if isinstance(value, Function))


def _example(kind: type[Extension]) -> Any:
    """Return a resource that has nothing but the extension; a sentence if the extension refuses such a resource."""
    is_layer = issubclass(kind, DataLayer)
    refusal: ResourcekitError | None = None
    attempts: tuple[Mapping[str, Callable[[], Any]], ...] = ({}, _KEY, {**_KEY, **_ACTIONS})
    # An extension may bring the primary key, or change actions of the resource.
    for own in attempts:

        def fill(body: dict[str, Any], own: Mapping[str, Callable[[], Any]] = own) -> None:
            body["__module__"] = __name__
            body["__annotations__"] = {"id": Attr[int]} if "id" in own else {}
            body.update({name: make() for name, make in own.items()})

        options = {
            "domain": Domain("example"),
            "data_layer": kind if is_layer else Memory(),
            "extensions": [] if is_layer else [kind],
        }
        try:
            return types.new_class("Example", (Resource,), options, fill)
        except ResourcekitError as error:
            refusal = error
    return f"What it adds depends on the resource: one with a primary key and actions is refused ({markdown(getattr(refusal, 'what', ''))})."


def attribute_item(attribute: Attribute) -> Item:
    """Return the row of an attribute in a table."""
    notes = [word.replace("_", " ") for word in ("primary_key", "public", "sensitive") if getattr(attribute, word)]
    return Item(
        name=attribute.name, type=str(attribute.type), default=_default(attribute), notes=", ".join(notes), doc=attribute.doc
    )


def _default(entity: Attribute | Argument) -> str:
    if entity.default_factory is not None:
        return f"{shown(entity.default_factory)}()"
    return "" if entity.default is MISSING else shown(entity.default)


def argument_items(action: Action) -> list[Item]:
    """Return the rows of an action's arguments in a table."""
    texts: dict[str, str] = {}
    if action.function is not None:
        texts.update(parse_docstring(action.function.__doc__, list(action.arguments))[1])
    return [
        Item(
            name=one.name,
            type=str(one.type),
            default=_default(one),
            notes="sensitive" if one.sensitive else "",
            doc=one.doc or texts.get(one.name, ""),
        )
        for one in action.arguments.values()
    ]


def _action_section(action: Action) -> str:
    article = "An" if action.kind == "update" else "A"
    facts = [f"{article} {action.kind} action" if action.kind != "action" else "A generic action"]
    if accepted := getattr(action, "accept", ()):
        facts.append(f"accepts {', '.join(f'`{name}`' for name in accepted)}")
    if isinstance(action, GenericAction):
        facts.append(f"returns `{action.returns}`")
    parts = [f"### {action.name}", markdown(action.doc), f"{'; '.join(facts)}."]
    if items := argument_items(action):
        parts.append(table(items, called="argument"))
    return "\n\n".join(part for part in parts if part)
