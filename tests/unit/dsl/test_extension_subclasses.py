"""Subclasses of extensions: they take the place of their base, wherever that is asked for."""

from __future__ import annotations

from typing import Any, ClassVar

import attrs
import pytest

from resourcekit import Attr, Resource, attribute, info
from resourcekit.extending import Extension, State, Transformer
from resourcekit.testing import declaration_errors


class Note(Transformer):
    """Stores the level that the base's options have on the resource."""

    def transform(self, state: State, options: Any) -> State:
        found = state.extension(Levelled)
        assert found is not None
        return state.persist("level", found.level)


@attrs.frozen(kw_only=True)
class Levelled(Extension):
    """An extension that others build on."""

    level: int = 1
    transformers: ClassVar[tuple[type[Transformer], ...]] = (Note,)


@attrs.frozen(kw_only=True)
class Tuned(Levelled):
    """The base with an option of its own."""

    depth: int = 2


@attrs.frozen(kw_only=True)
class Needy(Extension):
    """An extension that requires the base."""

    requires: ClassVar[tuple[type[Extension], ...]] = (Levelled,)


class Keyed(Resource, abstract=True):
    id: Attr[int] = attribute(primary_key=True)


def test_the_base_finds_the_options_of_its_subclass() -> None:
    """Code that was written for the base works with a resource that names the subclass."""

    class Card(Keyed, extensions=[Tuned(level=7)]):
        pass

    assert (7, 2) == (Levelled.of(Card).level, Tuned.of(Card).depth)
    assert 7 == info(Card).persisted["level"]


def test_the_subclass_is_not_found_where_only_the_base_is_named() -> None:
    """The base has no options of the subclass."""

    class Card(Keyed, extensions=[Levelled]):
        pass

    with pytest.raises(LookupError, match="Card does not have the extension Tuned"):
        Tuned.of(Card)


def test_a_subclass_meets_a_requirement() -> None:
    """A required extension is not added beside a subclass of it, and comes first."""

    class Card(Keyed, extensions=[Needy, Tuned(level=3)]):
        pass

    assert ["Tuned", "Needy"] == [kind.__name__ for kind in info(Card).extensions][2:]
    assert 3 == info(Card).persisted["level"]


def test_a_subclass_replaces_the_extension_of_a_base_class() -> None:
    """A child that names the subclass has it in place of its base's, and the other way round."""

    class Base(Keyed, abstract=True, extensions=[Levelled]):
        pass

    class Child(Base, extensions=[Tuned]):
        pass

    class Grandchild(Child, extensions=[Levelled(level=4)]):
        pass

    assert [Tuned] == list(info(Child).extensions)[2:]
    assert [Levelled] == list(info(Grandchild).extensions)[2:]


def test_an_extension_and_its_subclass_are_not_named_together() -> None:
    """Their steps would run twice."""
    with declaration_errors() as errors:

        class Card(Keyed, extensions=[Levelled, Tuned]):
            pass

    assert [("RK004", "Tuned is a subclass of Levelled, and both are named")] == [(error.code, error.what) for error in errors]
