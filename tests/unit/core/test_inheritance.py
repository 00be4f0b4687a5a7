"""What a resource inherits: from abstract resources, concrete ones, abstract base classes and protocols."""

from abc import ABC, abstractmethod
from typing import ClassVar, Protocol

import attrs
import pytest

from resourcekit import Attr, Domain, Resource, attribute, create, info, update
from resourcekit.data_layers import SQL, Memory
from resourcekit.errors import DeclarationError
from resourcekit.extending import Extension, Transformer, option
from resourcekit.testing import declaration_errors


class Top(Resource, abstract=True):
    id: Attr[int] = attribute(primary_key=True)
    note: Attr[str] = attribute(default="top")


class Left(Top, abstract=True):
    note: Attr[str] = attribute(default="left", sensitive=True)


class Right(Top, abstract=True):
    other: Attr[str] = attribute(default="right")


def test_the_nearest_class_of_the_mro_wins_in_a_diamond():
    """Of two bases with one ancestor, the one that declares a name itself wins over the ancestor behind it."""

    class Diamond(Right, Left, domain=Domain("diamond"), data_layer=Memory()):
        add = create(accept=["id"])

    record = Diamond.add(id=1)

    assert ["left", "right"] == [record.note, record.other]
    assert info(Diamond).attributes["note"].sensitive


def test_a_method_of_a_base_hides_what_is_declared_behind_it():
    """A base that uses a name for a method takes the declaration of its ancestor away, for subclasses too."""

    class Plain(Top, abstract=True):
        def note(self) -> str:
            return "a method"

    class Leaf(Plain, domain=Domain("methods"), data_layer=Memory()):
        add = create(accept=["id"])

    assert "a method" == Leaf.add(id=1).note()
    assert "note" not in info(Leaf).attributes


class Twice(Transformer):
    def transform(self, state, options):
        if "put" not in state.entities:
            return state
        action = state.entities["put"]
        return state.replace(
            attrs.evolve(
                action, changes=(*action.changes, lambda changeset, context: changeset.set(note=changeset.get("note") + "+"))
            )
        )


@attrs.frozen(kw_only=True)
class Marks(Extension):
    transformers: ClassVar = (Twice,)


def test_steps_of_extensions_run_once_on_what_a_concrete_base_declares():
    """A subclass of a concrete resource starts from the declarations of its body, not from what extensions made of them."""

    class Base(Top, domain=Domain("once"), data_layer=Memory(), extensions=[Marks]):
        put = create(accept=["id", "note"])

    class Child(Base, domain=Domain("once_again"), data_layer=Memory()):
        pass

    assert ["a+", "a+"] == [Base.put(id=1, note="a").note, Child.put(id=1, note="a").note]


class Speaker(ABC):
    @abstractmethod
    def speak(self) -> str: ...


class Walker(Protocol):
    def walk(self) -> str: ...


def test_abstract_base_classes_and_protocols_beside_resource():
    """A resource may implement an abstract base class and a protocol; isinstance knows all of them."""

    class Dog(Resource, Speaker, Walker, domain=Domain("dogs"), data_layer=Memory()):
        id: Attr[int] = attribute(primary_key=True)
        add = create(accept=["id"])

        def speak(self) -> str:
            return "wuff"

        def walk(self) -> str:
            return "trot"

    dog = Dog.add(id=1)

    assert ["wuff", "trot"] == [dog.speak(), dog.walk()]
    assert isinstance(dog, Speaker)
    assert isinstance(dog, Resource)
    assert not isinstance(1, Dog)


def test_an_action_may_implement_an_abstract_method():
    """What is on the class in the end counts, so an action or a function of an extension implements a method."""

    class Cat(Resource, Speaker, domain=Domain("cats"), data_layer=Memory()):
        id: Attr[int] = attribute(primary_key=True)
        speak = update(accept=[])

    assert callable(Cat.speak)


def test_a_missing_implementation_is_told_when_the_class_is_declared():
    """A concrete class with abstract methods left is refused, with their names."""

    def declare():
        class Mute(Resource, Speaker, data_layer=Memory()):
            id: Attr[int] = attribute(primary_key=True)

    (error,) = declaration_errors(declare)

    assert ("RK014", "abstract methods are not implemented: speak") == (error.code, error.what)


def test_a_data_layer_among_the_extensions_is_refused(tmp_path):
    """Its records would go to Memory."""
    with pytest.raises(DeclarationError, match=r"SQL is a data layer.*Write data_layer=SQL") as caught:

        class Lost(Resource, extensions=[SQL(f"sqlite:///{tmp_path}/lost.db")]):
            id: Attr[int] = attribute(primary_key=True)

    assert "RK007" == caught.value.code


@attrs.frozen(kw_only=True)
class Typed(Extension):
    sizes: list[int] = option(factory=list)
    words: dict[str, int] = option(factory=dict)
    kinds: frozenset[str] = option(default=frozenset())
    pair: tuple[int, str] = option(default=(1, "a"))
    base: type[Extension] = option(default=Extension)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"sizes": [1, "2"]}, "must be list[int], and has an item that is str"),
        ({"words": {"a": "b"}}, "must be dict[str, int], and has an item that is str"),
        ({"words": {1: 1}}, "must be dict[str, int], and has an item that is int"),
        ({"kinds": frozenset({1})}, "must be frozenset[str], and has an item that is int"),
        ({"kinds": {"a"}}, "must be frozenset[str], is set"),
        ({"pair": (1, 2)}, "must be tuple[int, str], and has an item that is int"),
        ({"pair": (1,)}, "must be tuple[int, str], is tuple"),
        ({"base": int}, "must be type[Extension], is the class int"),
    ],
)
def test_items_of_options_are_checked(given, text):
    """The items of a collection, and the class in type[X], have the declared type."""
    (error,) = declaration_errors(lambda: Typed(**given))

    assert "RK003" == error.code
    assert text in error.what
