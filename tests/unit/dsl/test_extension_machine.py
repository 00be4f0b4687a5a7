"""The extension machine: how extensions are named, ordered, combined and refused, and what they may do to a resource."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, ClassVar

import attrs
import pytest

from resourcekit import Attr, Domain, Resource, attribute, create, destroy, info, query, touch, update
from resourcekit.data_layers import Memory
from resourcekit.extending import (
    Attribute,
    DestroyAction,
    Entity,
    Extension,
    Finding,
    ResourceInfo,
    State,
    Template,
    Transformer,
    Verifier,
    option,
)
from resourcekit.testing import declaration_errors


class AddArchivedAt(Transformer):
    """Adds the timestamp."""

    def transform(self, state: State, options: Archival) -> State:
        """Add it unless it is there."""
        return state.add_new(Attribute.of(options.attribute, datetime | None, default=None))


class ArchiveInsteadOfDestroy(Transformer):
    """Turns destroys into writes."""

    after: ClassVar = frozenset({AddArchivedAt})

    def transform(self, state: State, options: Archival) -> State:
        """Make each of them soft."""
        for action in state.all_of(DestroyAction).values():
            state = state.replace(attrs.evolve(action, soft=True, changes=(*action.changes, touch(options.attribute))))
        return state


class DestroyActionExists(Verifier):
    """There is something to archive."""

    def verify(self, info: ResourceInfo, options: Archival) -> Iterable[Finding]:
        """Find that there is not."""
        if not info.all_of(DestroyAction):
            yield Finding(id="X001", what="nothing is archived", cure="Declare remove = destroy().", path=("actions",))


@attrs.frozen(kw_only=True)
class Archival(Extension):
    """Destroy becomes "mark as archived"."""

    attribute: str = option(default="archived_at", doc="Name of the timestamp that marks an archived record.")
    transformers = (AddArchivedAt, ArchiveInsteadOfDestroy)
    verifiers = (DestroyActionExists,)


def test_the_example_of_the_design(layer: Callable[[], Any]) -> None:
    """Destroy marks the record with the moment, and the record stays."""
    domain = Domain("archives")

    class Note(Resource, domain=domain, data_layer=layer(), extensions=[Archival(attribute="gone_at")]):
        id: Attr[int] = attribute(primary_key=True)
        write = create(accept=["id"])
        remove = destroy()

    domain.create_storage()
    removed = Note.write(id=1).remove()

    assert removed.gone_at is not None
    assert [removed] == query(Note).all()
    assert "gone_at" == Archival.of(Note).attribute
    assert "Archival" == info(Note).attributes["gone_at"].origin.declared_by
    assert ("added by Archival",) == info(Note).history["attributes", "gone_at"]
    assert "replaced by Archival" == info(Note).history["actions", "remove"][-1]


def test_findings_of_verifiers_raise() -> None:
    """They come as DeclarationErrors with the resource's name, the verifier's code and its cure."""
    with declaration_errors() as errors:

        class Note(Resource, extensions=[Archival]):
            id: Attr[int] = attribute(primary_key=True)
            write = create(accept=["idd"])

    assert [("RK043", "Note"), ("X001", "Note")] == sorted((error.code, error.resource) for error in errors)
    assert "Declare remove = destroy()." == next(error.hint for error in errors if error.code == "X001")


@attrs.frozen(kw_only=True)
class Plain(Extension):
    """Does nothing; remembers an option."""

    level: int = 1


def test_a_class_an_instance_and_what_a_base_names() -> None:
    """A class means its defaults; a child's instance takes the place of its base's; options are read typed."""

    class Base(Resource, abstract=True, extensions=[Plain(level=2)]):
        id: Attr[int] = attribute(primary_key=True)

    class Default(Resource, extensions=[Plain]):
        id: Attr[int] = attribute(primary_key=True)

    class Heir(Base):
        pass

    class Other(Base, extensions=[Plain(level=3)]):
        pass

    class Without(Resource):
        id: Attr[int] = attribute(primary_key=True)

    assert [1, 2, 3] == [Plain.of(each).level for each in (Default, Heir, Other)]
    with pytest.raises(LookupError, match="Without does not have the extension Plain"):
        Plain.of(Without)
    with pytest.raises(LookupError, match="int does not have the extension Plain"):
        Plain.of(int)


@attrs.frozen(kw_only=True, eq=False)
class Shelf(Entity):
    """A word that an extension adds to class bodies."""

    section: ClassVar[str] = "shelves"
    height: int = 0


@attrs.frozen(kw_only=True, eq=False)
class TallShelf(Shelf):
    """A more special word."""


@attrs.frozen(kw_only=True)
class Shelving(Extension):
    """Brings the word."""

    entities = (Shelf,)


def test_words_of_an_extension() -> None:
    """They are collected by kind, in order, with their place; without the extension they are refused by name."""

    class Library(Resource, extensions=[Shelving]):
        id: Attr[int] = attribute(primary_key=True)
        upper = Shelf(height=2)
        lower = TallShelf(height=1)

    assert [("upper", 2), ("lower", 1)] == [(name, each.height) for name, each in info(Library).all_of(Shelf).items()]
    assert ["lower"] == list(info(Library).all_of(TallShelf))
    with declaration_errors() as errors:

        class Hall(Resource):
            id: Attr[int] = attribute(primary_key=True)
            upper = Shelf(height=2)

    assert [("RK006", ("shelves", "upper"))] == [(error.code, error.path) for error in errors]
    assert "Shelf is a word of" in errors[0].what


class StampedTemplate(Template, abstract=True):
    """What every stamped resource gets."""

    stamp: Attr[int] = attribute(default=7)
    restamp = update(accept=["stamp"])


@attrs.frozen(kw_only=True)
class Stamped(Extension):
    """Brings a template."""

    template = StampedTemplate


def test_templates() -> None:
    """Their declarations are added, said to be the extension's; the user's own win; a subclass brings the extension."""

    class Letter(Resource, extensions=[Stamped]):
        id: Attr[int] = attribute(primary_key=True)
        write = create(accept=["id"])

    class Parcel(StampedTemplate):
        id: Attr[int] = attribute(primary_key=True)
        stamp: Attr[int] = attribute(default=9)
        write = create(accept=["id"])

    assert [7, 9] == [Letter.write(id=1).stamp, Parcel.write(id=1).stamp]
    assert 8 == Letter.restamp(1, stamp=8).stamp
    assert ["Stamped", "Stamped", "you"] == [
        info(Letter).attributes["stamp"].origin.declared_by,
        info(Parcel).actions["restamp"].origin.declared_by,
        info(Parcel).attributes["stamp"].origin.declared_by,
    ]
    assert "test_extension_machine.py" in info(Letter).attributes["stamp"].origin.file
    assert Stamped.of(Parcel) == Stamped()


def test_templates_of_two_extensions_may_not_meet() -> None:
    """One name from two extensions is an error with both places."""

    class RivalTemplate(Template, abstract=True):
        stamp: Attr[str] = attribute(default="x")

    @attrs.frozen(kw_only=True)
    class Rival(Extension):
        template = RivalTemplate

    with declaration_errors() as errors:

        class Letter(Resource, extensions=[Stamped, Rival]):
            id: Attr[int] = attribute(primary_key=True)

    assert [("RK010", "Letter")] == [(error.code, error.resource) for error in errors]
    assert "declared by Stamped" in errors[0].what
    assert "declared by Rival" in errors[0].what


@attrs.frozen(kw_only=True)
class Deep(Extension):
    """Required by another."""

    level: int = 1


@attrs.frozen(kw_only=True)
class Middle(Extension):
    """Requires one and is required."""

    requires = (Deep,)


@attrs.frozen(kw_only=True)
class Top(Extension):
    """Requires all."""

    requires = (Middle, Plain)


def test_requirements_are_transitive_and_come_first() -> None:
    """Each required extension is there once, ahead of who asks for it, with the user's options where there are any."""

    class Tower(Resource, extensions=[Top, Deep(level=5)]):
        id: Attr[int] = attribute(primary_key=True)

    assert ["Deep", "Middle", "Plain", "Top"] == [
        kind.__name__ for kind in info(Tower).extensions if kind.__name__ in ("Top", "Middle", "Deep", "Plain")
    ]
    assert 5 == Deep.of(Tower).level
    assert 1 == Plain.of(Tower).level


def test_a_round_of_requirements() -> None:
    """It is named in full, with the resource that meets it."""

    @attrs.frozen(kw_only=True)
    class Hen(Extension):
        """Needs an egg."""

    @attrs.frozen(kw_only=True)
    class Egg(Extension):
        requires = (Hen,)

    Hen.requires = (Egg,)
    with declaration_errors() as errors:

        class Farm(Resource, extensions=[Egg]):
            id: Attr[int] = attribute(primary_key=True)

    assert [("RK005", "Farm", "Egg requires Hen requires Egg")] == [(error.code, error.resource, error.what) for error in errors]


def test_a_data_layer_brings_words_and_steps() -> None:
    """It is an extension like others: its entities, transformers and verifiers take part."""

    class Mark(Transformer):
        def transform(self, state: State, options: object) -> State:
            return state.persist("shelves", tuple(state.all_of(Shelf)))

    class NeedsAShelf(Verifier):
        def verify(self, info: ResourceInfo, options: object) -> Iterable[Finding]:
            return [] if info.persisted["shelves"] else [Finding(id="X002", what="no shelf", cure="Declare one.")]

    @attrs.frozen(kw_only=True)
    class Library(Memory):
        entities = (Shelf,)
        transformers = (Mark,)
        verifiers = (NeedsAShelf,)

    class Book(Resource, data_layer=Library()):
        id: Attr[int] = attribute(primary_key=True)
        upper = Shelf(height=2)

    assert ("upper",) == info(Book).persisted["shelves"]
    assert Library.of(Book) is info(Book).options["data_layer"]
    with declaration_errors() as errors:

        class Loose(Resource, data_layer=Library):
            id: Attr[int] = attribute(primary_key=True)

    assert ["X002"] == [error.code for error in errors]


def test_origins_name_file_and_line() -> None:
    """What a class body declares has its own line, an extension the line on which it was made."""
    plain = Plain(level=4)
    made = sys._getframe().f_lineno - 1

    class Note(Resource, extensions=[plain]):
        id: Attr[int] = attribute(primary_key=True)

    line = sys._getframe().f_lineno - 3
    assert (__file__, made) == (Plain.of(Note).origin.file, Plain.of(Note).origin.line)
    assert (__file__, line) == (info(Note).origin.file, info(Note).origin.line)
    assert (__file__, line + 1) == (info(Note).attributes["id"].origin.file, info(Note).attributes["id"].origin.line)
