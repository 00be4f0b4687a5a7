"""``resourcekit explain``: prints the compiled facts of a resource, and the author of each."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import click

from resourcekit.cli.facts import facts_of
from resourcekit.cli.mermaid import diagram
from resourcekit.cli.page import Page
from resourcekit.discovery import find_resources

__all__ = ["explain"]

Facts = dict[str, Any]
_KNOWN = ("attributes", "actions", "identities", "indexes", "relationships", "calculations", "extensions", "functions")


@click.command()
@click.argument("app", metavar="APP:RESOURCE")
@click.option(
    "--mermaid",
    is_flag=True,
    help="Print a Mermaid diagram: of entities and their relationships, or of classes if none are related.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the facts as a JSON list.")
def explain(app: str, *, mermaid: bool, as_json: bool) -> None:
    """Show the compiled resource: attributes, actions, and the author of each.

    APP names a resource ("myapp.accounts:Token"), or a domain or module whose resources are shown one after the other.
    """
    if mermaid and as_json:
        msg = "--mermaid and --json exclude each other"
        raise click.UsageError(msg)
    found = [facts_of(resource) for resource in find_resources(app)]
    page = Page()
    if as_json:
        page.json(found)
    elif mermaid:
        page.line(diagram(found))
    else:
        for place, facts in enumerate(found):
            if place:
                page.line()
            _print(page, facts)


def _print(page: Page, facts: Facts) -> None:
    page.line(f"{facts['module']}.{facts['resource']}", "bold green")
    if facts["doc"]:
        page.line(facts["doc"])
    page.line(f"{facts['origin']} · domain {facts['domain']} · stored in {facts['data_layer']}")
    columns = ("name", "type", "notes", "author", "where")
    page.table("Attributes", columns, [(each["name"], each["type"], _notes(each), *_who(each)) for each in facts["attributes"]])
    columns = ("name", "kind", "takes", "author", "where")
    page.table("Actions", columns, [(each["name"], each["kind"], _taken(each), *_who(each)) for each in facts["actions"]])
    for section in ("identities", "indexes"):
        rows = [(each["name"], ", ".join(each["fields"]), *_who(each)) for each in facts[section]]
        page.table(section.capitalize(), ("name", "attributes", "author", "where"), rows)
    related = [
        (each["name"], each["kind"], each["to"], ", ".join(each["key"]), each["on_delete"] or "", *_who(each))
        for each in facts["relationships"]
    ]
    page.table("Relationships", ("name", "kind", "to", "key", "on delete", "author", "where"), related)
    computed = [(each["name"], each["type"], each["kind"], _inputs(each), *_who(each)) for each in facts["calculations"]]
    page.table("Calculations and aggregates", ("name", "type", "computed as", "takes", "author", "where"), computed)
    for section, entities in facts.items():
        if section not in _KNOWN and isinstance(entities, list):
            rows = [(each["name"], each["kind"], *_who(each)) for each in entities]
            page.table(section.capitalize(), ("name", "kind", "author", "where"), rows)
    page.table("Functions", ("name", "what"), [(each["name"], each["doc"]) for each in facts["functions"]])
    page.table("Extensions", ("name", "what"), [(each["name"], each["doc"]) for each in facts["extensions"]])
    steps = [row for each in facts["extensions"] for row in _steps(each)]
    page.table("Steps of extensions", ("name", "kind", "in their order"), steps)


def _who(entity: Facts) -> tuple[str, str]:
    """Return the authors of an entity and of its changes, and its place."""
    first = entity["declared_by"]
    later = [step for step in entity["history"] if not step.startswith("added by ") and not step.endswith(f" by {first}")]
    return ", ".join(dict.fromkeys([first, *later])), entity["origin"]


def _notes(attribute: Facts) -> str:
    notes = [word.replace("_", " ") for word in ("primary_key", "public", "sensitive", "required") if attribute[word]]
    if attribute["filled"] is not None:
        notes.append(attribute["filled"])
    if attribute["default"] is not None:
        notes.append(f"default {attribute['default']}")
    return ", ".join(notes)


def _taken(action: Facts) -> str:
    """Return the inputs of an action, with a question mark after optional ones, and the result of a generic action."""
    taken = ", ".join(filter(None, [*action["accepts"], _inputs(action)]))
    return f"{taken} -> {action['returns']}".strip() if action["returns"] else taken


def _inputs(entity: Facts) -> str:
    return ", ".join(f"{each['name']}: {each['type']}{'' if each['required'] else '?'}" for each in entity["arguments"])


def _steps(extension: Facts) -> Iterator[tuple[str, str, str]]:
    """Yield the steps of an extension by kind, their class names as words; ``--json`` has the class names."""
    for kind in ("transformers", "verifiers", "services", "checks"):
        if extension[kind]:
            yield extension["name"], kind, ", ".join(map(_words, extension[kind]))


def _words(class_name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", class_name).lower()
