from __future__ import annotations

from uuid import UUID

import pytest

from resourcekit import (
    Attr,
    Domain,
    Many,
    One,
    Resource,
    attribute,
    belongs_to,
    has_many,
    has_one,
    identity,
    info,
    many_to_many,
    related,
)
from resourcekit.errors import DeclarationError, NotLoaded


class Author(Resource):
    id: Attr[int] = attribute(primary_key=True)
    books: Many[Book] = has_many("author_id", sort=["-title"])


class Book(Resource):
    id: Attr[int] = attribute(primary_key=True)
    title: Attr[str] = attribute(default="")
    author_id: Attr[int | None] = attribute(default=None)
    author: One[Author | None] = belongs_to("author_id")


def test_facts_of_relationships():
    """The annotation names the destination, and whether there may be none or several."""
    books, author = info(Author).relationships["books"], info(Book).relationships["author"]

    assert ("has_many", True, False, ("author_id",)) == (books.kind, books.is_many, books.allow_none, books.key)
    assert ("belongs_to", False, True, ("author_id",)) == (author.kind, author.is_many, author.allow_none, author.key)


@pytest.mark.parametrize(("record", "name"), [(Author(id=1), "books"), (Book(id=1), "author")])
def test_what_was_not_loaded_cannot_be_read(record, name):
    """Reading a relationship loads nothing; the error names the line that loads it, and getattr's default hides it not."""
    with pytest.raises(NotLoaded, match=rf"query\({type(record).__name__}\)\.load\({type(record).__name__}\.{name}\)"):
        getattr(record, name, None)


def test_a_relationship_is_no_value_of_a_record():
    """A constructor takes attributes only."""
    with pytest.raises(ValueError, match="author: is no attribute"):
        Book(id=1, author=Author(id=1))


def declare(**options):
    """Declare a resource Person in a domain of its own, and a resource Pet with the given names; return the domain."""
    domain = Domain("declared")

    class Person(Resource, domain=domain):
        id: Attr[int] = attribute(primary_key=True)

    names = {"__annotations__": {}, "__module__": __name__, "__qualname__": "Pet"}
    annotations = {"id": "Attr[int]", **options.pop("annotations")}
    type(Person)("Pet", (Resource,), _body(names | {"__annotations__": annotations}, options), domain=domain)
    return domain


def _body(names, options):
    body = type(Resource).__prepare__("Pet", (Resource,))
    for name, value in {**names, "id": attribute(primary_key=True), **options}.items():
        body[name] = value
    return body


KEY = {"owner_id": "Attr[int | None]"}
WRONG = {
    "no annotation": ("RK090", {}, {"owner": belongs_to("owner_id")}),
    "of many": ("RK090", KEY | {"owner": "Many[Person]"}, {"owner": belongs_to("owner_id")}),
    "of a type": ("RK090", KEY | {"owner": "Person"}, {"owner": belongs_to("owner_id")}),
    "without a value": ("RK090", KEY | {"owner": "One[Person | None]"}, {}),
    "without None": ("RK090", KEY | {"owner": "One[Person]"}, {"owner": belongs_to("owner_id")}),
    "has_one without None": ("RK090", {"owner": "One[Person]"}, {"owner": has_one("pet_id")}),
    "unknown": ("RK091", KEY | {"owner": "One[Persn | None]"}, {"owner": belongs_to("owner_id")}),
    "no resource": ("RK091", KEY | {"owner": "One[UUID | None]"}, {"owner": belongs_to("owner_id")}),
    "a failing lambda": ("RK091", KEY | {"owner": "One[Person | None]"}, {"owner": belongs_to("owner_id", to=lambda: missing)}),  # noqa: F821
    "a key that is missing": ("RK092", {"owner": "One[Person | None]"}, {"owner": belongs_to("owner_id")}),
    "too many keys": ("RK092", KEY | {"owner": "One[Person | None]"}, {"owner": belongs_to(("owner_id", "id"))}),
    "a field that is missing": (
        "RK092",
        KEY | {"owner": "One[Person | None]"},
        {"owner": belongs_to("owner_id", to_field="uid")},
    ),
    "an order that is missing": ("RK092", {"others": "Many[Pet]"}, {"others": has_many("id", sort=["nme"])}),
    "no limit": ("RK003", {"others": "Many[Pet]"}, {"others": has_many("id", limit=0)}),
    "another type": ("RK093", {"owner_id": "Attr[UUID]", "owner": "One[Person]"}, {"owner": belongs_to("owner_id")}),
    "several": ("RK094", KEY | {"next": "One[Pet | None]"}, {"next": has_one("owner_id")}),
    "a circle": ("RK095", {"mother_id": "Attr[int]", "mother": "One[Pet]"}, {"mother": belongs_to("mother_id")}),
    "a join without its key": (
        "RK092",
        {"friends": "Many[Pet]"},
        {"friends": many_to_many(through="Person", source="id", destination="pet_id")},
    ),
}


@pytest.mark.parametrize(("code", "annotations", "options"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_told(code, annotations, options):
    """A relationship that cannot work is refused at the class or when the domain is sealed, with place and next step."""
    with pytest.raises(DeclarationError) as caught:
        declare(annotations=annotations, **options).seal()

    assert (code, "Pet", "relationships") == (caught.value.code, caught.value.resource, caught.value.path[0])
    assert caught.value.hint
    assert caught.value.origin


def test_an_error_of_a_key_prints_the_line_to_paste():
    """The error of a key that is not declared contains its declaration."""
    with pytest.raises(DeclarationError, match=r"Declare it: owner_id: Attr\[int\] = attribute"):
        declare(annotations={"owner": "One[Person | None]"}, owner=belongs_to("owner_id")).seal()


def test_several_findings_come_together():
    """All relationships of a domain are checked before anything is raised."""
    annotations = {"owner": "One[Person | None]", "vet": "One[Vet | None]"}

    with pytest.raises(DeclarationError) as caught:
        declare(annotations=annotations, owner=belongs_to("owner_id"), vet=belongs_to("vet_id")).seal()

    assert ["RK092", "RK091"] == [error.code for error in caught.value.exceptions]


def test_destinations_by_every_spelling():
    """A class, a lambda, a dotted text, a text with a colon and a bare name of the domain mean one resource."""
    spellings = (Author, lambda: Author, f"{__name__}.Author", f"{__name__}:Author", "Author")
    for to in spellings:
        domain = declare(annotations=KEY | {"owner": "One[Unknown | None]"}, owner=belongs_to("owner_id", to=to))
        domain.seal()
        pet = next(each for each in domain.resources if each.__name__ == "Pet")

        assert Author is pet.__runtime__.joins["owner"].destination


def test_relationships_are_inherited():
    """A relationship of an abstract base belongs to each resource that inherits from it."""
    domain = Domain("heirs")

    class Owned(Resource, abstract=True):
        owner_id: Attr[int | None] = attribute(default=None)
        owner: One[Author | None] = belongs_to("owner_id")
        similar: Many[Author] = related(load=lambda records: {})

    class Garden(Owned, domain=domain):
        id: Attr[int] = attribute(primary_key=True)

    domain.seal()

    assert Garden.owner.owner is Garden
    assert Many is type(Garden.similar)


def test_has_one_by_an_identity():
    """A has_one whose key has an identity needs no order."""
    domain = Domain("single")

    class Person(Resource, domain=domain):
        id: Attr[UUID] = attribute(primary_key=True)
        passport: One[Passport | None] = has_one("person_id", to=lambda: Passport)

    class Passport(Resource, domain=domain):
        number: Attr[str] = attribute(primary_key=True)
        person_id: Attr[UUID] = attribute()
        by_person = identity("person_id")

    domain.seal()

    assert ("id",) == Person.__runtime__.joins["passport"].own


def test_sealing_seals_the_domains_it_names():
    """What is wrong in a domain to which a relationship leads is reported when the first one is sealed."""
    near, far = Domain("near"), Domain("far")

    class Port(Resource, domain=far):
        id: Attr[int] = attribute(primary_key=True)
        ships: Many[Ship] = has_many("harbour_id", to=lambda: Ship)

    class Ship(Resource, domain=near):
        id: Attr[int] = attribute(primary_key=True)
        port_id: Attr[int] = attribute()
        port: One[Port] = belongs_to("port_id", to=lambda: Port)

    with pytest.raises(DeclarationError, match="its key 'harbour_id' is no attribute of Ship"):
        near.seal()
