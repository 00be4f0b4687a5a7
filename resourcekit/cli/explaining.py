"""``resourcekit explain``: prints what a class became, and who added what. It knows facts, and no resource."""

from __future__ import annotations

from typing import Any

import click

from resourcekit.cli.facts import facts_of
from resourcekit.cli.mermaid import diagram
from resourcekit.cli.page import Page
from resourcekit.discovery import find_resources

__all__ = ["explain"]

Facts = dict[str, Any]
_KNOWN = ("attributes", "actions", "identities", "indexes", "extensions", "functions")


@click.command()
@click.argument("app", metavar="APP:RESOURCE")
@click.option("--mermaid", is_flag=True, help="Print a Mermaid class diagram.")
@click.option("--json", "as_json", is_flag=True, help="Print the facts as a JSON list.")
def explain(app: str, *, mermaid: bool, as_json: bool) -> None:
    """Show what a resource became: attributes, actions, and who added what.

    Names a resource ("myapp.accounts:Token"), or a domain or module whose resources are shown one after the other.
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
    page.line(f"{facts['origin']} · domain {facts['domain']} · kept in {facts['data_layer']}")
    columns = ("name", "type", "notes", "who", "where")
    page.table("Attributes", columns, [(each["name"], each["type"], _notes(each), *_who(each)) for each in facts["attributes"]])
    columns = ("name", "kind", "takes", "who", "where")
    page.table("Actions", columns, [(each["name"], each["kind"], _taken(each), *_who(each)) for each in facts["actions"]])
    for section in ("identities", "indexes"):
        rows = [(each["name"], ", ".join(each["fields"]), *_who(each)) for each in facts[section]]
        page.table(section.capitalize(), ("name", "attributes", "who", "where"), rows)
    for section, entities in facts.items():
        if section not in _KNOWN and isinstance(entities, list):
            rows = [(each["name"], each["kind"], *_who(each)) for each in entities]
            page.table(section.capitalize(), ("name", "kind", "who", "where"), rows)
    page.table("Functions", ("name", "what"), [(each["name"], each["doc"]) for each in facts["functions"]])
    page.table(
        "Extensions", ("name", "what", "brings"), [(each["name"], each["doc"], _brought(each)) for each in facts["extensions"]]
    )


def _who(entity: Facts) -> tuple[str, str]:
    """Return who declared an entity and who touched it since, and where it stands."""
    first = entity["declared_by"]
    later = [step for step in entity["history"] if not step.startswith("added by ") and not step.endswith(f" by {first}")]
    return ", ".join(dict.fromkeys([first, *later])), entity["origin"]


def _notes(attribute: Facts) -> str:
    notes = [word.replace("_", " ") for word in ("primary_key", "public", "sensitive", "required") if attribute[word]]
    if attribute["default"] is not None:
        notes.append(f"default {attribute['default']}")
    return ", ".join(notes)


def _taken(action: Facts) -> str:
    """Return what a caller may give, a question mark behind what may be left out, and what a generic action returns."""
    arguments = [f"{each['name']}: {each['type']}{'' if each['required'] else '?'}" for each in action["arguments"]]
    taken = ", ".join([*action["accepts"], *arguments])
    return f"{taken} -> {action['returns']}".strip() if action["returns"] else taken


def _brought(extension: Facts) -> str:
    return "; ".join(
        f"{what}: {', '.join(extension[what])}" for what in ("transformers", "verifiers", "services", "checks") if extension[what]
    )
