"""Writes docs/reference out of declarations and docstrings, and the ways of calls into docs/internals/architecture.md.

``--check`` only says whether the pages are up to date.

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
from resourcekit.actions.functions import Function, MaybeRecordFunction, RecordFunction, RecordsFunction
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
from resourcekit.dsl.entity import Entity
from resourcekit.reference.docstrings import first_sentence, markdown, parse_docstring, texts_below
from resourcekit.reference.extension_page import argument_items, attribute_item, options_section
from resourcekit.reference.sections import Item, class_section, code, enum_table, function_section, items_of, table
from resourcekit.resource_info import ResourceInfo
from resourcekit.supervisor import Health, ServiceHealth, Supervisor
from resourcekit.telemetry import measures
from resourcekit_tokens import (
    JWT,
    Confirmation,
    Confirmed,
    CutOff,
    ExpungeResult,
    IssuedToken,
    Revocation,
    RevokedJti,
    SigningKey,
    TokenPair,
    TokenRecord,
    TokenResource,
    TokenSession,
    Verdict,
)
from resourcekit_tokens.actions import default_actions
from resourcekit_tokens.claims import Claims
from resourcekit_tokens.commands.importers import import_revocations
from resourcekit_tokens.commands.token import COMMANDS

REFERENCE = Path(__file__).parent / "reference"
RESULTS = (Confirmed, CutOff, ExpungeResult, IssuedToken, RevokedJti, TokenPair, TokenSession, Verdict)
"""What functions of tokens return or take, in the order of the page."""
ARCHITECTURE = Path(__file__).parent / "internals" / "architecture.md"
_WAYS = "<!-- The ways below are written by docs/generate.py, which traces the calls. -->", "<!-- End of the ways. -->"
"""The lines around the ways in the page on architecture."""

_MADE = "<!-- Written by docs/generate.py out of docstrings and declarations. Change those, and run it again. -->"
_SELF = ("self", "cls")


def page(title: str, intro: str, *sections: str) -> str:
    """Return a page."""
    return "\n\n".join([f"# {title}", _MADE, intro, *sections]) + "\n"


# The pages --------------------------------------------------------------------------------------------------------


def tokens_page() -> str:
    """Options, attributes, actions, functions and results of a token resource."""
    return page(
        "Token resources",
        "What `extensions=[TokenResource]` adds to a resource.",
        "## Options",
        *(options_section(kind, 3) for kind in (TokenResource, Revocation, Confirmation, JWT, SigningKey)),
        "## Attributes",
        markdown(TokenRecord.__doc__),
        table(map(attribute_item, TokenRecord.__info__.attributes.values()), called="attribute"),
        "## Actions",
        "Each function runs one of these. If you declare an action of the same name, it runs in its place.",
        *map(_action_section, default_actions(TokenResource())),
        "## Functions",
        "Each is a function of the class, for sync and async code (`Token.revoke(token)`, `await Token.revoke.aio(token)`), and a "
        "function of the module, for every resource (`resourcekit_tokens.revoke(Token, token)`, `await revoke.aio(Token, token)`).",
        *_token_functions(),
        "## Results",
        *map(_result_section, RESULTS),
        class_section(Claims, level=3, without=("payload", "rules", "plain")),
    )


def _action_section(action: Action) -> str:
    items = argument_items(action)
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
    prose, _ = parse_docstring(kind.__doc__, [item.name for item in items_of(kind)])
    return "\n\n".join([f"### {kind.__name__}", markdown(prose), table(items_of(kind), called="field")])


_WORDS: dict[str, tuple[type, ...]] = {
    "attribute": (Attribute, Constraints, Entity),
    "argument": (Argument, Constraints, Entity),
    "identity": (Identity, Entity),
    "index": (Index, Entity),
    "belongs_to": (),
    "has_one": (),
    "has_many": (),
    "many_to_many": (),
    "related": (),
    "create": CreateAction.__mro__,
    "read": ReadAction.__mro__,
    "update": UpdateAction.__mro__,
    "destroy": DestroyAction.__mro__,
    "action": GenericAction.__mro__,
}
_CHANGES = (
    "set_attribute",
    "set_new_attribute",
    "increment",
    "touch",
    "optimistic_lock",
    "manage",
    "relate_actor",
    "cascade_destroy",
)
_VALIDATIONS = ("one_of", "string_length", "match", "compare", "present", "absent")
_PREPARATIONS = ("filter", "sort", "limit")
_EXPRESSIONS = ("now", "today", "arg", "case", "coalesce", "greatest", "least", "concat", "existing", "incoming")
_OF_THE_CALL = ("actor", "tenant", "fragment")


def builders_page() -> str:
    """The builders of a class body, with their parameters."""
    options = parse_docstring(resourcekit.Resource.__doc__, ("domain", "data_layer", "extensions", "notifiers", "abstract"))[1]
    return page(
        "Builders of a class body",
        "All of them are imported from `resourcekit`.",
        "## Class options",
        code("class Ticket(Resource, domain=helpdesk, data_layer=SQL(...), extensions=[...], notifiers=[...]): ..."),
        table((Item(name=name, doc=doc) for name, doc in options.items()), called="option"),
        "## Types",
        "Types of `Attr[...]`, of arguments and of parameters of decorated actions. Each may also be `... | None`.",
        enum_table(Kind),
        "## Entity builders",
        *(_word_section(name, (kind.__doc__ for kind in kinds)) for name, kinds in _WORDS.items()),
        _result_section(Upsert),
        "## Changes",
        *map(_word_section, _CHANGES),
        "## Validations",
        *map(_word_section, _VALIDATIONS),
        "## Preparations",
        *map(_word_section, _PREPARATIONS),
        "## Expressions",
        "Attributes of the class (`Ticket.status`) and these are used in filters, in `set_attribute` and in upserts.",
        *map(_word_section, (*_EXPRESSIONS, *_OF_THE_CALL)),
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
        class_section(resourcekit.Page, level=2),
        function_section("get", queries._Get.__call__, level=2),  # noqa: SLF001  # the function behind the name
        function_section("reload", queries._Reload.__call__, level=2),  # noqa: SLF001  # the function behind the name
        function_section("load", queries._LoadRelated.__call__, level=2),  # noqa: SLF001  # the function behind the name
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


def web_page() -> str:
    """The web layer: options, routes, and the adapter of each framework."""
    return page(*beside("web_reference").parts())


def beside(name: str) -> Any:
    """Return a module beside this one."""
    sys.path.insert(0, str(Path(__file__).parent))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.pop(0)


def data_layers_page() -> str:
    """The data layers of resourcekit."""
    return page(
        "Data layers",
        "All of them are imported from `resourcekit.data_layers`. Authors of other data layers use `resourcekit.extending`, "
        "listed in [public names](api.md).",
        class_section(Memory, without=("bind",)),
        options_section(SQL, 2),
        options_section(Partitions, 3),
        options_section(Redis, 2),
        class_section(
            Repo, called="Repo", without=("dialect", "sync_pool", "async_pools", "forget", "close_idle", "close_everywhere")
        ),
        class_section(joined, called="joined"),
        "## Capabilities",
        "Features that a data layer may declare. An action that needs a feature which its data layer lacks is refused (RK050).",
        enum_table(Capability),
    )


def api_page() -> str:
    """Every public name with its first sentence, and the hooks."""
    modules = (
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
    for module in map(importlib.import_module, modules):
        items = [Item(name=name, doc=sentence_of(name, getattr(module, name))) for name in module.__all__]
        sections += [f"## {module.__name__}", markdown(module.__doc__), table(items)]
    hooks = [function_section(name, hook) for name, hook in vars(plugins.Hooks).items() if name.startswith("resourcekit_")]
    return page(
        "Public names",
        "Every name of the public API, by the module that it is imported from. A name that is not listed here may change without notice.",
        *sections,
        "## Hooks",
        "Functions that a plugin may define. Its package names it in the entry-point group `resourcekit`.",
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
    with click.Context(command, info_name="resourcekit") as deployment:
        ours = {**command.commands, **{each.name or "": each for each in (*COMMANDS, import_revocations)}}
        return page("The command", *_command_parts(command, ours, deployment, 2))


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
    "api.md": api_page,
    "running.md": running_page,
    "web.md": web_page,
    "tokens.md": tokens_page,
    "builders.md": builders_page,
}


def architecture_page() -> str:
    """Return the page on architecture with the ways of calls as they are now."""
    before, _, rest = ARCHITECTURE.read_text(encoding="utf-8").partition(_WAYS[0])
    return f"{before}{_WAYS[0]}\n\n{beside('ways').section()}\n\n{_WAYS[1]}{rest.partition(_WAYS[1])[2]}"


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
    ways = beside("ways")
    parts = {ARCHITECTURE: architecture_page, ways.SERVERS: ways.servers_page} if given.to == REFERENCE else {}
    changed = {file: text for file, make in parts.items() if not _is_current(file, text := make())}
    if given.check:
        return int(bool(stale or unknown or changed))
    for file, text in changed.items():
        file.write_text(text, encoding="utf-8")
    given.to.mkdir(parents=True, exist_ok=True)
    for name in stale:
        (given.to / name).write_text(PAGES[name](), encoding="utf-8")
    return 0


def _is_current(file: Path, text: str) -> bool:
    return file.is_file() and file.read_text(encoding="utf-8") == text


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
