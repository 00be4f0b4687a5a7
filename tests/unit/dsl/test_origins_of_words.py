"""The place that a declaration names as its origin."""

from __future__ import annotations

import sys

import attrs

from resourcekit import Attr, Domain, Resource, attribute, identity, info, update
from resourcekit.data_layers import Memory
from resourcekit.extending import Entity, Extension, Origin, option


@attrs.frozen(kw_only=True, eq=False)
class Silent(Entity):
    """A word of an extension."""

    actions: tuple[str, ...] = ()


def silent(*actions: str) -> Silent:
    """Return a word, as the functions of extensions do."""
    return Silent(actions=actions, origin=Origin.here())


@attrs.frozen(kw_only=True)
class Quiet(Extension):
    """Brings the word."""

    loud: bool = option(default=False)
    entities = (Silent,)


def line_here() -> int:
    """Return the line of the caller."""
    return sys._getframe(1).f_lineno


def test_a_word_stands_where_the_class_body_uses_it():
    """The place of a word is the line of the class body: for the kit's own words, and for those of an extension."""
    before = line_here()

    class Note(Resource, domain=Domain("origins"), data_layer=Memory(), extensions=[Quiet(loud=True)]):
        id: Attr[int] = attribute(primary_key=True)
        seen: Attr[int] = attribute(default=0)
        by_seen = identity("seen")
        look = update(accept=["seen"])
        quiet = silent("look")

    found = info(Note)
    places = [found.attributes["id"], found.attributes["seen"], found.identities["by_seen"], found.actions["look"]]
    places.append(found.all_of(Silent)["quiet"])

    assert [before + 3 + offset for offset in range(5)] == [entity.origin.line for entity in places]
    assert {__file__} == {entity.origin.file for entity in places}
    assert (__file__, before + 2) == (Quiet.of(Note).origin.file, Quiet.of(Note).origin.line)
