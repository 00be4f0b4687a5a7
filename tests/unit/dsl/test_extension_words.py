"""Entities of extensions: deprecated ones, singletons, checked fields, and options added to another extension's entities."""

from __future__ import annotations

import linecache
import warnings
from typing import Any, ClassVar, TypeVar

import attrs
import pytest

from resourcekit import Attr, Resource, attribute, create, info
from resourcekit.extending import (
    Attribute,
    Entity,
    EntityOptions,
    Extension,
    Origin,
    State,
    Template,
    Transformer,
    extend,
    option,
)
from resourcekit.testing import declaration_errors

D = TypeVar("D")


class Keyed(Resource, abstract=True):
    id: Attr[int] = attribute(primary_key=True)


@attrs.frozen(kw_only=True, eq=False)
class Shelf(Entity):
    """A shelf; its fields are checked."""

    section: ClassVar[str] = "shelves"
    heights: tuple[int, ...] = option(default=())
    width: int = option(default=1, deprecated="Give heights instead.")


@attrs.frozen(kw_only=True, eq=False)
class OldShelf(Entity):
    """What a shelf was before."""

    section: ClassVar[str] = "shelves"
    deprecated: ClassVar[str] = "Write shelf() instead."


@attrs.frozen(kw_only=True, eq=False)
class Plan(Entity):
    """There is one plan."""

    section: ClassVar[str] = "plans"
    singleton: ClassVar[bool] = True
    text: str = ""


@attrs.frozen(kw_only=True)
class Masked(EntityOptions):
    """How a value is shown."""

    on: ClassVar[type[Entity]] = Attribute
    shows: int = option(default=4, doc="How many signs are shown.")


def shelf(**given: Any) -> Any:
    """Declare a shelf."""
    return Shelf(**given, origin=Origin.here())


def plan(text: str) -> Any:
    """Declare the plan."""
    return Plan(text=text, origin=Origin.here())


def masked(declared: D, *, shows: int = 4) -> D:
    """Declare that the value of an attribute is shown in part."""
    return extend(declared, Masked(shows=shows))


class ReadPlan(Transformer):
    """Stores the plan, and the masks, as a transformer sees them."""

    def transform(self, state: State, options: object) -> State:
        found = state.one_of(Plan)
        masks = {name: mask.shows for name, each in state.attributes.items() if (mask := Masked.of(each))}
        return state.persist("plan", found and found.text).persist("masks", masks)


@attrs.frozen(kw_only=True)
class Library(Extension):
    """Brings shelves, a plan and masks."""

    entities: ClassVar[tuple[type[Entity], ...]] = (Shelf, OldShelf, Plan)
    entity_options: ClassVar[tuple[type[EntityOptions], ...]] = (Masked,)
    transformers: ClassVar[tuple[type[Transformer], ...]] = (ReadPlan,)
    halls: int = option(default=1, deprecated="Declare shelves instead.")


def test_a_deprecated_option_warns_at_the_line_of_the_user() -> None:
    """The warning has the file and the line of the use, and the replacement; the default warns of nothing."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        Library()
        Library(halls=1)

    assert ["the option 'halls' of Library is deprecated. Declare shelves instead."] == [str(one.message) for one in caught]
    assert [DeprecationWarning] == [one.category for one in caught]
    assert __file__ == caught[0].filename
    assert "Library(halls=1)" in linecache.getline(__file__, caught[0].lineno)


def test_a_deprecated_entity_and_a_deprecated_field_warn_at_the_declaration() -> None:
    """Each names what takes its place; an entity without them is silent."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")

        class Hall(Keyed, extensions=[Library]):
            sound = shelf(heights=(1, 2))
            wide = shelf(width=3)
            old = OldShelf(origin=Origin.here())

    assert [
        "the option 'width' of Shelf 'wide' is deprecated. Give heights instead.",
        "OldShelf 'old' is deprecated. Write shelf() instead.",
    ] == [str(one.message) for one in caught]
    places = [info(Hall).all_of(Entity)[name].origin.line for name in ("wide", "old")]
    assert places == [one.lineno for one in caught]


def test_a_field_of_an_entity_is_checked_where_it_is_declared() -> None:
    """A value of a wrong type names the kind, the field and the item."""
    with declaration_errors() as errors:

        class Hall(Keyed, extensions=[Library]):
            wrong = shelf(heights=(1, "2"))

    assert [("RK003", ("Shelf", "heights"))] == [(error.code, error.path) for error in errors]
    assert "has an item that is str" in errors[0].what


def test_a_singleton_stands_once_in_a_resource() -> None:
    """A second one is refused with both places; a child's replaces its base's, and is found by its kind."""

    class Base(Keyed, abstract=True, extensions=[Library]):
        first = plan("of the base")

    class Heir(Base):
        pass

    class Child(Base):
        other = plan("of the child")

    with declaration_errors() as errors:

        class Twice(Keyed, extensions=[Library]):
            one = plan("one")
            two = plan("two")

    assert ["of the base", "of the child"] == [info(each).persisted["plan"] for each in (Heir, Child)]
    assert [("RK010", True)] == [
        (error.code, error.what.startswith("the Plan of a resource is declared twice")) for error in errors
    ]
    found = info(Child).one_of(Plan)
    assert found is not None
    assert "other" == found.name


def test_a_user_s_singleton_replaces_that_of_a_template() -> None:
    """The template's plan is used only without one of the user."""

    class Parts(Template, abstract=True, extensions=[Library]):
        given = plan("of the template")

    class Planned(Extension):
        template = Parts
        requires = (Library,)

    class Own(Keyed, extensions=[Planned]):
        mine = plan("mine")

    class Without(Keyed, extensions=[Planned]):
        pass

    assert ["mine", "of the template"] == [info(each).persisted["plan"] for each in (Own, Without)]


def test_options_are_added_to_the_attribute_of_another_extension() -> None:
    """The added options travel with the attribute, to subclasses and transformers too."""

    class Card(Keyed, abstract=True, extensions=[Library]):
        number: Attr[str] = masked(attribute(max_length=16), shows=2)
        plain: Attr[str] = attribute()

    class Gold(Card):
        pass

    assert {"number": 2} == info(Gold).persisted["masks"]
    mask = Masked.of(info(Gold).attributes["number"])
    assert mask is not None
    assert 2 == mask.shows
    assert Masked.of(info(Gold).attributes["plain"]) is None
    with pytest.raises(Exception, match="number") as caught:
        Gold(id=1, number="1" * 17, plain="x")
    assert "16" in str(caught.value)


def test_added_options_need_their_extension() -> None:
    """Without the extension they would have no meaning."""
    with declaration_errors() as errors:

        class Card(Keyed):
            number: Attr[str] = masked(attribute())

    assert [("RK006", True)] == [(error.code, error.what.startswith("Masked is a word of")) for error in errors]


def test_added_options_fit_one_kind_of_entity() -> None:
    """An action has no mask, and a mask has no other options than its own."""
    with declaration_errors() as errors:

        class Card(Keyed, extensions=[Library]):
            make = masked(create())

    assert [("RK003", "Masked belongs to a declaration of the kind Attribute, is given CreateAction")] == [
        (error.code, error.what) for error in errors
    ]
    with pytest.raises(Exception, match="option 'shows' must be int, is str"):
        masked(attribute(), shows="2")  # type: ignore[arg-type]
