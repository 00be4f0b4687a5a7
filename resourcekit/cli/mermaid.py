"""Facts of resources as a Mermaid diagram: of entities if some are related, else of classes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

__all__ = ["diagram"]

Facts = dict[str, Any]


def diagram(resources: Iterable[Facts]) -> str:
    """Return the diagram.

    Of classes: attributes (``+`` public, ``-`` not), actions, the store, and the extensions except Core. Of entities: attributes
    with their keys, computed values, and one line for each relationship with how many records are on either side.
    """
    found = list(resources)
    if any(facts["relationships"] for facts in found):
        return "\n".join(["erDiagram", *(line for facts in found for line in _entity(facts)), *_lines(found)])
    return "\n".join(["classDiagram", *(line for facts in found for line in _class(facts))])


def _entity(facts: Facts) -> Iterable[str]:
    foreign = {name for each in facts["relationships"] if each["kind"] == "belongs_to" for name in each["key"]}
    yield f"    {facts['resource']} {{"
    for each in facts["attributes"]:
        keys = [mark for mark, holds in (("PK", each["primary_key"]), ("FK", each["name"] in foreign)) if holds]
        yield f"        {_word(each['type'])} {each['name']} {', '.join(keys)}".rstrip()
    for each in facts["calculations"]:
        yield f'        {_word(each["type"])} {each["name"]} "{each["kind"]}"'
    yield "    }"


def _lines(found: list[Facts]) -> Iterable[str]:
    """Yield a line for each pair of related resources and the keys between them; both directions share it."""
    ends: dict[tuple[str, str, str], list[str]] = {}
    names: dict[tuple[str, str, str], list[str]] = {}
    for facts in found:
        unique = {frozenset(each["fields"]) for each in facts["identities"]}
        unique.add(frozenset(each["name"] for each in facts["attributes"] if each["primary_key"]))
        for each in facts["relationships"]:
            key, end = _line(facts["resource"], each, is_one=frozenset(each["key"]) in unique)
            turned = (key[1], key[0], ", ".join(reversed(key[2].split(", "))))
            key = turned if each["kind"] == "many_to_many" and turned in names else key
            ends.setdefault(key, []).append(end)
            names.setdefault(key, []).append(each["name"])
    for key, given in ends.items():
        # One direction says that there is always a record, or that there is only one, and the other does not.
        left = next((end[:2] for end in given if end.startswith("||")), given[0][:2])
        right = next((end[-2:] for end in given if end.endswith("o|")), given[0][-2:])
        yield f'    {key[0]} {left}{given[0][2:4]}{right} {key[1]} : "{" / ".join(names[key])}"'


def _line(resource: str, relationship: Facts, *, is_one: bool) -> tuple[tuple[str, str, str], str]:
    """Return both resources with the key between them, and the line as Mermaid writes it."""
    may_lack = relationship["to"].endswith("| None")
    other = relationship["to"].removesuffix(" | None").strip("'").rpartition(".")[2]
    key = (resource, other, ", ".join(relationship["key"]))
    match relationship["kind"]:
        case "belongs_to":
            return (other, resource, key[2]), f"{'|o' if may_lack else '||'}--{'o|' if is_one else 'o{'}"
        case "many_to_many":
            return key, "}o--o{"
        case "has_many":
            return key, "|o--o{"
        case "has_one":
            return key, "|o--o|"
        case _:
            return (*key[:2], relationship["name"]), "}o..o|" if may_lack else "}o..o{"


def _word(annotation: str) -> str:
    """Return an annotation as one word, as an entity's attribute needs it."""
    plain = _type(annotation).removesuffix("?")
    return "".join(letter if letter.isalnum() or letter == "_" else "_" for letter in plain).strip("_") or "value"


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
    yield f"    {name} --> {facts['data_layer']} : stored in"


def _type(annotation: str) -> str:
    """Return an annotation without the characters that have a meaning in Mermaid."""
    plain = annotation.replace(" | None", "?")
    if plain.startswith("Literal["):
        return "Literal?" if plain.endswith("?") else "Literal"
    return plain.replace("[", "~").replace("]", "~")
