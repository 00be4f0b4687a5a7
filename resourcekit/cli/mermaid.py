"""Facts of resources as a Mermaid class diagram. It knows facts, and no resource."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

__all__ = ["diagram"]

Facts = dict[str, Any]


def diagram(resources: Iterable[Facts]) -> str:
    """Return the diagram: attributes (``+`` public, ``-`` not), actions, the store, and the extensions but for Core."""
    lines = ["classDiagram"]
    for facts in resources:
        lines += _class(facts)
    return "\n".join(lines)


def _class(facts: Facts) -> Iterable[str]:
    name = facts["resource"]
    yield f"    class {name} {{"
    for attribute in facts["attributes"]:
        key = " key" if attribute["primary_key"] else ""
        yield f"        {'+' if attribute['public'] else '-'}{_type(attribute['type'])} {attribute['name']}{key}"
    for action in facts["actions"]:
        taken = ", ".join([*action["accepts"], *(argument["name"] for argument in action["arguments"])])
        yield f"        +{action['name']}({taken}) {action['kind']}"
    yield "    }"
    for extension in facts["extensions"]:
        if extension["name"] not in ("Core", facts["data_layer"]):
            yield f"    {name} ..> {extension['name']} : extended by"
    yield f"    {name} --> {facts['data_layer']} : kept in"


def _type(annotation: str) -> str:
    """Return an annotation without what Mermaid would read as its own signs."""
    plain = annotation.replace(" | None", "?")
    if plain.startswith("Literal["):
        return "Literal?" if plain.endswith("?") else "Literal"
    return plain.replace("[", "~").replace("]", "~")
