"""Writes docs/reference out of declarations and docstrings; ``--check`` only says whether the pages are up to date.

Exit codes: 0 done, 1 a page differs from what would be written.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click

import resourcekit
from resourcekit import context, observability, plugins, queries
from resourcekit.cli import main as command
from resourcekit.data_layers import SQL, Memory, Partitions, Redis, Repo, joined
from resourcekit.data_layers.base import Capability
from resourcekit.declarations.action import (
    Action,
    CreateAction,
    DestroyAction,
    GenericAction,
    ReadAction,
    UpdateAction,
    Upsert,
)
from resourcekit.declarations.argument import Argument
from resourcekit.declarations.attribute import Attribute, Constraints
from resourcekit.declarations.identity import Identity, Index
from resourcekit.declarations.value_type import Kind
from resourcekit.dsl.docstrings import first_sentence, markdown, texts_below, told
from resourcekit.dsl.entity import Entity
from resourcekit.dsl.reference import Item, class_section, code, enum_table, function_section, items_of, shown, table
from resourcekit.dsl.sentinel import MISSING
from resourcekit.engine.functions import Function, MaybeRecordFunction, RecordFunction, RecordsFunction
from resourcekit.resource_info import ResourceInfo
from resourcekit.supervisor import Health, ServiceHealth, Supervisor
from resourcekit.telemetry import measures
from resourcekit_tokens import JWT, Confirmation, Revocation, SigningKey, TokenRecord, TokenResource, results
from resourcekit_tokens.actions import default_actions
from resourcekit_tokens.claims import Claims
from resourcekit_tokens.commands import COMMANDS

REFERENCE = Path(__file__).parent / "reference"
_MADE = "<!-- Written by docs/generate.py out of docstrings and declarations. Change those, and run it again. -->"
_SELF = ("self", "cls")


def page(title: str, intro: str, *sections: str) -> str:
    """Return a page."""
    return "\n\n".join([f"# {title}", _MADE, intro, *sections]) + "\n"


def attribute_item(attribute: Attribute) -> Item:
    """Return what a table tells of an attribute."""
    notes = [word.replace("_", " ") for word in ("primary_key", "public", "sensitive") if getattr(attribute, word)]
    return Item(
        name=attribute.name, type=str(attribute.type), default=_default(attribute), notes=", ".join(notes), doc=attribute.doc
    )


def _default(entity: Attribute | Argument) -> str:
    if entity.default_factory is not None:
        return f"{shown(entity.default_factory)}()"
    return "" if entity.default is MISSING else shown(entity.default)


# The pages --------------------------------------------------------------------------------------------------------


def tokens_page() -> str:
    """Options, attributes, actions, functions and results of a token resource."""
    return page(
        "Token resources",
        "What `extensions=[TokenResource]` brings to a resource.",
        "## Options",
        *(_options_section(kind, 3) for kind in (TokenResource, Revocation, Confirmation, JWT, SigningKey)),
        "## Attributes",
        markdown(TokenRecord.__doc__),
        table(map(attribute_item, TokenRecord.__info__.attributes.values()), called="attribute"),
        "## Actions",
        "Each function runs one of these. Declare an action of the same name, and yours is run in its place.",
        *map(_action_section, default_actions(TokenResource())),
        "## Functions",
        "Each stands on the class, in both colours (`Token.revoke(token)`, `await Token.revoke.aio(token)`), and in "
        "the module for every resource (`resourcekit_tokens.revoke(Token, token)`, `await revoke.aio(Token, token)`).",
        *_token_functions(),
        "## Results",
        *(_result_section(getattr(results, name)) for name in results.__all__),
        class_section(Claims, level=3, without=("payload", "rules", "plain")),
    )


def _options_section(kind: type, level: int) -> str:
    prose, _ = told(kind.__doc__, [item.name for item in items_of(kind)])
    return "\n\n".join([f"{'#' * level} {kind.__name__}", markdown(prose), table(items_of(kind), called="option")])


def _action_section(action: Action) -> str:
    texts: dict[str, str] = {}
    if action.function is not None:
        texts.update(told(action.function.__doc__, list(action.arguments))[1])
    items = [
        Item(
            name=one.name,
            type=str(one.type),
            default=_default(one),
            notes="sensitive" if one.sensitive else "",
            doc=one.doc or texts.get(one.name, ""),
        )
        for one in action.arguments.values()
    ]
    facts = [
        f"A {action.kind} action" if action.kind != "action" else "A generic action",
        f"named by `{_option_for(action.name)}`",
    ]
    if accepted := getattr(action, "accept", ()):
        facts.append(f"accepts {', '.join(f'`{name}`' for name in accepted)} and attributes of your own")
    if isinstance(action, GenericAction):
        facts.append(f"returns `{action.returns}`")
    return "\n\n".join(
        [
            f"### {action.name}",
            markdown(action.doc),
            f"{'; '.join(facts)}.",
            *([table(items, called="argument")] if items else []),
        ]
    )


def _option_for(action: str) -> str:
    for prefix, kind in (("", TokenResource), ("revocation.", Revocation), ("confirmation.", Confirmation)):
        for item in items_of(kind):
            if item.name.endswith("_action_name") and item.default == f'"{action}"':
                return prefix + item.name
    raise LookupError(action)


_RECORDS: dict[type[Function], str] = {
    RecordFunction: "Token",
    MaybeRecordFunction: "Token | None",
    RecordsFunction: "list[Token]",
}
"""What functions return that cannot name the class of their records."""


def _token_functions() -> Iterator[str]:
    for name, value in sorted(vars(TokenRecord).items()):
        if isinstance(value, Function):
            returns = _RECORDS.get(type(value))
            yield function_section(name, value.function, called=f"Token.{name}", without=("resource",), returns=returns)


def _result_section(kind: type) -> str:
    prose, _ = told(kind.__doc__, [item.name for item in items_of(kind)])
    return "\n\n".join([f"### {kind.__name__}", markdown(prose), table(items_of(kind), called="field")])


_WORDS: dict[str, tuple[type, ...]] = {
    "attribute": (Attribute, Constraints, Entity),
    "argument": (Argument, Constraints, Entity),
    "identity": (Identity, Entity),
    "index": (Index, Entity),
    "create": CreateAction.__mro__,
    "read": ReadAction.__mro__,
    "update": UpdateAction.__mro__,
    "destroy": DestroyAction.__mro__,
    "action": GenericAction.__mro__,
}
_CHANGES = ("set_attribute", "set_new_attribute", "increment", "touch", "optimistic_lock")
_VALIDATIONS = ("one_of", "string_length", "match", "compare", "present", "absent")
_PREPARATIONS = ("filter", "sort", "limit")
_EXPRESSIONS = ("now", "arg", "case", "coalesce", "greatest", "existing", "incoming")


def words_page() -> str:
    """The words of a class body, and what can be said with them."""
    options = told(resourcekit.Resource.__doc__, ("domain", "data_layer", "extensions", "notifiers", "abstract"))[1]
    return page(
        "The words of a class body",
        "All of them are imported from `resourcekit`.",
        "## Class options",
        code("class Ticket(Resource, domain=helpdesk, data_layer=SQL(...), extensions=[...], notifiers=[...]): ..."),
        table((Item(name=name, doc=doc) for name, doc in options.items()), called="option"),
        "## Types",
        "What `Attr[...]`, an argument or the parameter of a decorated action may be; each also as `... | None`.",
        enum_table(Kind),
        "## Words",
        *(_word_section(name, (kind.__doc__ for kind in kinds)) for name, kinds in _WORDS.items()),
        _result_section(Upsert),
        "## Changes",
        *map(_word_section, _CHANGES),
        "## Validations",
        *map(_word_section, _VALIDATIONS),
        "## Preparations",
        *map(_word_section, _PREPARATIONS),
        "## Expressions",
        "Attributes of the class (`Ticket.status`) and these stand in filters, in `set_attribute`, in upserts.",
        *map(_word_section, _EXPRESSIONS),
    )


def _word_section(name: str, docs: Iterable[str | None] = ()) -> str:
    return function_section(name, getattr(resourcekit, name), *docs, in_table=True, returns="", without=("function",))


def running_page() -> str:
    """What is called once resources are declared."""
    return page(
        "Running",
        "Domains, queries, transactions, the context of calls, the Supervisor, and what can be observed.",
        class_section(resourcekit.Domain, called="Domain"),
        function_section("info", resourcekit.info, level=2),
        class_section(ResourceInfo),
        function_section("query", resourcekit.query, level=2),
        class_section(resourcekit.Query, level=2),
        class_section(queries.ResourceQuery, level=2),
        function_section("get", queries._Get.__call__, level=2),  # noqa: SLF001  # the function behind the name
        class_section(queries.transaction, called="transaction"),
        class_section(context, called="context", without=("base",)),
        class_section(resourcekit.Context, called="Context"),
        class_section(resourcekit.Changeset, called="Changeset"),
        class_section(resourcekit.Notification, called="Notification"),
        function_section("as_dict", resourcekit.as_dict, level=2),
        _supervisor(),
        function_section("instrument", observability.instrument, level=2),
        "From `resourcekit.observability`. Each call of an extension's function counts in `resourcekit.calls` (labels `function`, "
        "`resource`, `outcome`) and in `resourcekit.call.duration` (seconds), and is a span `Resource.function`. These are "
        "counted besides:",
        table(
            (
                Item(name=each.name, notes="" if each.unit == "1" else f"in {each.unit}", doc=each.doc)
                for each in sorted(measures(), key=str)
            ),
            called="metric",
        ),
    )


def _supervisor() -> str:
    methods = [
        function_section(f"Supervisor.{name}", getattr(Supervisor, f"_{name}"), called=name)
        for name in ("start", "stop", "run_now", "health")
    ]
    answers = [class_section(kind, called=kind.__name__) for kind in (Health, ServiceHealth)]
    return "\n\n".join([class_section(Supervisor, called="Supervisor"), *methods, *answers])


def data_layers_page() -> str:
    """The data layers that come along."""
    return page(
        "Data layers",
        "All of them are imported from `resourcekit.data_layers`. Authors of others read `resourcekit.extending` in "
        "[the doors](doors.md).",
        class_section(Memory, without=("bind",)),
        _options_section(SQL, 2),
        _options_section(Partitions, 3),
        _options_section(Redis, 2),
        class_section(Repo, called="Repo", without=("dialect", "sync_pool", "async_pools", "forget")),
        class_section(joined, called="joined"),
        "## Capabilities",
        "What a data layer can say that it does; an action that needs another one is refused (RK050).",
        enum_table(Capability),
    )


def doors_page() -> str:
    """Every public name with its first sentence, and the hooks."""
    doors = (
        "resourcekit",
        "resourcekit.data_layers",
        "resourcekit.doctor",
        "resourcekit.errors",
        "resourcekit.extending",
        "resourcekit.observability",
        "resourcekit.supervisor",
        "resourcekit.testing",
        "resourcekit.types",
        "resourcekit_tokens",
        "resourcekit_tokens.errors",
    )
    sections: list[str] = []
    for door in map(importlib.import_module, doors):
        items = [Item(name=name, doc=sentence_of(name, getattr(door, name))) for name in door.__all__]
        sections += [f"## {door.__name__}", markdown(door.__doc__), table(items)]
    hooks = [function_section(name, hook) for name, hook in vars(plugins.Hooks).items() if name.startswith("resourcekit_")]
    return page(
        "The doors",
        "Every name that is meant to be imported, and what it is. What stands in no door may change without notice.",
        *sections,
        "## Hooks",
        "What a plugin may answer; it announces itself in the entry-point group `resourcekit`.",
        *hooks,
    )


def sentence_of(name: str, value: Any) -> str:
    """Return the first sentence on a name: of its docstring, or of the text below its assignment."""
    if inspect.isroutine(value) or isinstance(value, type):
        return first_sentence(value.__doc__)
    ours = [module for place, module in sorted(sys.modules.items()) if place.startswith("resourcekit")]
    known = (module for module in ours if vars(module).get(name) is value)
    texts = (text for module in known if (text := texts_below(inspect.getsource(module)).get(name)))
    return first_sentence(next(texts, None) or (type(value).__doc__ if type(value).__module__.startswith("resourcekit") else ""))


def command_page() -> str:
    """The command line, out of click."""
    with click.Context(command, info_name="resourcekit") as surroundings:
        ours = {**command.commands, **{each.name or "": each for each in COMMANDS}}
        return page("The command", *_command_parts(command, ours, surroundings, 2))


def _command_parts(found: click.Command, below: Mapping[str, click.Command], here: click.Context, level: int) -> Iterator[str]:
    """Yield what a command says of itself, then the commands below it: those of this distribution, no other plugin's."""
    yield markdown(found.help)
    if options := [each for each in found.params if isinstance(each, click.Option)]:
        yield table(map(_option_item, options), called="option")
    for name, command_below in sorted(below.items()):
        with click.Context(command_below, info_name=name, parent=here) as inner:
            usage = " ".join(piece for piece in command_below.collect_usage_pieces(inner) if piece)
            yield f"{'#' * level} {inner.command_path}"
            yield f"```text\n{inner.command_path} {usage}\n```"
            yield from _command_parts(command_below, getattr(command_below, "commands", {}), inner, level + 1)


def _option_item(option: click.Option) -> Item:
    takes_value = not option.is_flag
    default = f"default `{option.default}`" if takes_value and option.show_default else ""
    names = ", ".join(option.opts) + (f" {option.metavar or option.type.name.upper()}" if takes_value else "")
    return Item(name=names, notes="required" if option.required else default, doc=option.help or "")


PAGES: dict[str, Callable[[], str]] = {
    "command.md": command_page,
    "data-layers.md": data_layers_page,
    "doors.md": doors_page,
    "running.md": running_page,
    "tokens.md": tokens_page,
    "words.md": words_page,
}


def main(arguments: list[str]) -> int:
    """Write the pages, or compare them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 where a page differs")
    parser.add_argument("--to", type=Path, default=REFERENCE, help="folder of the pages")
    given = parser.parse_args(arguments)
    stale = [name for name, make in PAGES.items() if not _is_current(given.to / name, make())]
    unknown = sorted(file.name for file in given.to.glob("*.md") if file.name not in PAGES)
    for name in (*stale, *unknown):
        click.echo(f"{name} {'is not a page that is made here' if name in unknown else 'differs' if given.check else 'written'}")
    if given.check:
        return int(bool(stale or unknown))
    given.to.mkdir(parents=True, exist_ok=True)
    for name in stale:
        (given.to / name).write_text(PAGES[name](), encoding="utf-8")
    return 0


def _is_current(file: Path, text: str) -> bool:
    return file.is_file() and file.read_text(encoding="utf-8") == text


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
