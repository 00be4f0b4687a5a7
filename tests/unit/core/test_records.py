"""Records and classes as Python values: copies, pickles, inheritance, mixins and generics."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, ClassVar, Generic, TypeVar
from uuid import UUID

import pytest

from resourcekit import (
    Attr,
    Domain,
    Resource,
    as_dict,
    attribute,
    create,
    destroy,
    get,
    identity,
    info,
    query,
    read,
    set_attribute,
    sort,
    update,
    utc_now,
    uuid7,
)
from resourcekit.errors import Invalid, InvalidArgument

T = TypeVar("T")


class Pickled(Resource, domain=Domain("pickled")):
    """A resource of a module, as pickle wants it."""

    id: Attr[UUID] = attribute(primary_key=True, default_factory=uuid7)
    tags: Attr[list[str]] = attribute(default_factory=list, public=True)
    at: Attr[datetime] = attribute(default_factory=utc_now)
    note: Attr[str | None] = attribute(default=None, sensitive=True)
    write = create(accept=["tags"])
    touch_it = update()


@pytest.mark.parametrize(
    "travel",
    [copy.copy, copy.deepcopy, *(lambda record, p=p: pickle.loads(pickle.dumps(record, p)) for p in range(2, 6))],
)
def test_records_travel(travel: Callable[[Any], Any]) -> None:
    """Copied or pickled, a record is an equal, frozen record of the same class."""
    record = Pickled.write(tags=["a"])
    arrived = travel(record)

    assert record == arrived
    assert record is not arrived
    assert type(record) is type(arrived)
    assert hash(record) == hash(arrived)
    with pytest.raises(AttributeError):
        arrived.tags = []


def test_records_in_sets_and_dicts() -> None:
    """Equal records are one; a record is hashed by its key, also where it holds lists."""
    record = Pickled.write(tags=["a"])

    assert 1 == len({record, copy.deepcopy(record)})
    assert {record: 1}[copy.copy(record)] == 1
    assert record != object()
    assert record != Pickled.write(tags=["a"])


def test_defaults_are_fresh() -> None:
    """No two records share a default, and none of them can be changed in place."""
    one, two = Pickled.write(), Pickled.write()
    with pytest.raises(TypeError):
        one.tags.append("mine")

    assert one.tags is not two.tags
    assert [] == two.tags
    assert [] == get(Pickled, one.id).tags


def test_classes_travel_by_name() -> None:
    """A resource class pickles as any class does, and so do facts that name it."""
    assert Pickled is pickle.loads(pickle.dumps(Pickled))
    assert Pickled is copy.deepcopy(Pickled)


def test_positional_and_unknown_values_of_an_unsaved_record() -> None:
    """A record is made by names; what is wrong comes as one Invalid."""
    with pytest.raises(TypeError):
        Pickled("a")  # type: ignore[misc]
    with pytest.raises(Invalid) as caught:
        Pickled(tags=5, tgas=[], at="yesterday")
    assert {"tags", "tgas", "at"} == {finding.path for finding in caught.value.findings}
    assert "Did you mean 'tags'?" in str(caught.value)


def test_methods_that_other_libraries_have_are_answered_by_the_call_to_write() -> None:
    """A record has no as_dict, and a class no query: both are functions of resourcekit."""
    record = Pickled.write()
    with pytest.raises(
        AttributeError, match=r"Pickled has no .* 'as_dict'\. Write as_dict\(record\), with the function of resourcekit\."
    ):
        record.as_dict()  # type: ignore[attr-defined]
    for name in ("query", "objects"):
        with pytest.raises(AttributeError, match=rf"Pickled has no .* {name!r}\. Write query\(Pickled\), with"):
            getattr(Pickled, name)


class Stamped(Resource, abstract=True):
    """What is stamped."""

    created_at: Attr[datetime] = attribute(default_factory=utc_now)
    updated_at: Attr[datetime | None] = attribute(default=None, update_default_factory=utc_now)


class Keyed(Resource, abstract=True):
    """What has a number."""

    id: Attr[int] = attribute(primary_key=True)
    every = read(primary=True, preparations=[sort("id")])
    add = create(accept=["id"])
    remove = destroy()


class Greets:
    """A plain mixin: methods only."""

    greeting = "hello"

    def greet(self) -> str:
        """Greet."""
        return f"{self.greeting} {self.id}"  # type: ignore[attr-defined]

    @property
    def double(self) -> int:
        """Twice the number."""
        return 2 * self.id  # type: ignore[attr-defined,no-any-return]


def test_abstract_bases_are_combined(layer: Callable[[], Any]) -> None:
    """Declarations of all bases are inherited, with their places; the child's own and the nearer base's win."""
    domain = Domain("combined")

    class Middle(Keyed, Stamped, abstract=True):
        name: Attr[str] = attribute(default="middle")
        rename = update(changes=[set_attribute("name", "renamed")])

    class Leaf(Greets, Middle, domain=domain, data_layer=layer()):
        name: Attr[str] = attribute(default="leaf", public=True)
        by_name = identity("name")
        add = create(accept=["id", "name"])
        remove = None  # a name of the base's is taken away

        def shout(self) -> str:
            """Use a value."""
            return self.name.upper()

    domain.create_storage()
    leaf = Leaf.add(id=1)

    assert {"id", "created_at", "updated_at", "name"} == set(info(Leaf).attributes)
    assert {"every", "add", "rename"} == set(info(Leaf).actions)
    assert ("leaf", "LEAF", "hello 1", 2) == (leaf.name, leaf.shout(), leaf.greet(), leaf.double)
    assert "renamed" == leaf.rename().name
    assert leaf.rename().updated_at is not None
    assert {"name": "leaf"} == as_dict(leaf)
    assert info(Leaf).attributes["id"].origin.line == info(Keyed).attributes["id"].origin.line
    assert isinstance(leaf, (Middle, Keyed, Stamped))
    with pytest.raises(InvalidArgument, match="Middle is abstract"):
        query(Middle).all()


def test_two_resources_of_one_base_are_apart(layer: Callable[[], Any]) -> None:
    """They share declarations, and neither records nor fields."""
    domain = Domain("apart")

    class One(Keyed, domain=domain, data_layer=layer()):
        own: Attr[int] = attribute(default=1)

    class Two(Keyed, domain=domain, data_layer=layer()):
        pass

    domain.create_storage()
    One.add(id=1)

    assert ([1], []) == ([each.id for each in One.every()], Two.every())
    assert "own" not in info(Two).attributes
    with pytest.raises(InvalidArgument, match="needs a Two or its key, not a One"):
        Two.remove(query(One).one())
    assert query(One).one() != Two(id=1)


def test_a_resource_of_a_concrete_one(layer: Callable[[], Any]) -> None:
    """Subclassing a concrete resource makes another resource, with records of its own."""
    domain = Domain("heirs")
    make = layer

    class Parent(Keyed, domain=domain, data_layer=make()):
        pass

    class Child(Parent, data_layer=make()):
        more: Attr[int] = attribute(default=1)

    domain.create_storage()
    Child.add(id=1)

    assert [] == Parent.every()
    assert 1 == Child.every()[0].more
    assert (Parent, Child) == domain.resources
    with pytest.raises(InvalidArgument, match="is abstract"):

        class Half(Parent, abstract=True):
            pass

        query(Half).all()


def test_generic_bases(layer: Callable[[], Any]) -> None:
    """A generic abstract base can be subscripted; its methods are inherited."""
    domain = Domain("generic")

    class Repository(Keyed, Generic[T], abstract=True):
        @classmethod
        def first_of_all(cls) -> Any:
            """Return the first record."""
            return query(cls).sort("id").first()

    class Box(Repository[int], domain=domain, data_layer=layer()):
        pass

    domain.create_storage()
    Box.add(id=2)
    Box.add(id=1)

    assert 1 == Box.first_of_all().id


def test_super_and_class_cells_work() -> None:
    """A method may use ``super()`` and ``__class__``."""

    class Base(Resource, abstract=True):
        id: Attr[int] = attribute(primary_key=True)

        def text(self) -> str:
            """Say the key."""
            return str(self.id)

    class Child(Base):
        def text(self) -> str:
            """Say more."""
            return f"{__class__.__name__} {super().text()}"  # type: ignore[name-defined]

    assert "Child 1" == Child(id=1).text()


def test_a_record_with_its_own_truth(layer: Callable[[], Any]) -> None:
    """A record that calls itself false is a record: updates by it work."""
    domain = Domain("falsy")

    class Empty(Keyed, domain=domain, data_layer=layer()):
        name: Attr[str] = attribute(default="old")
        rename = update(changes=[lambda changeset, context: changeset.set(name="new")])

        def __bool__(self) -> bool:
            return False

    domain.create_storage()

    assert "new" == Empty.rename(Empty.add(id=1)).name
    assert "new" == query(Empty).one().name


def test_a_misspelt_name_gets_a_suggestion() -> None:
    """On the class and on a record; ``hasattr`` and ``getattr`` with a default work as ever."""
    record = Pickled.write()

    for owner in (Pickled, record):
        with pytest.raises(AttributeError, match=r"Pickled has no attribute, action or function 'tgas'\. Did you mean 'tags'\?"):
            _ = owner.tgas  # type: ignore[attr-defined]
        assert not hasattr(owner, "nothing")
        assert getattr(owner, "nothing", 5) == 5
    with pytest.raises(AttributeError, match="Did you mean 'write'"):
        Pickled.wirte()  # type: ignore[attr-defined]


def test_attributes_keep_the_order_of_writing() -> None:
    """Also those that are an annotation only."""

    class Ordered(Resource):
        first: Attr[int]
        id: Attr[int] = attribute(primary_key=True)
        second: Attr[str]
        plain: ClassVar[int]
        third: Attr[int] = attribute(default=1)
        fourth: Attr[int | None]
        write = create(accept=["id"])

    assert ["first", "id", "second", "third", "fourth"] == list(info(Ordered).attributes)
    assert "Ordered(first=1, id=2, second='x', third=1, fourth=None)" == repr(Ordered(first=1, id=2, second="x"))


def test_how_things_show_themselves() -> None:
    """Actions and attributes say what they are."""
    record = Pickled(id=UUID(int=1), at=datetime(2026, 11, 24, tzinfo=UTC))

    assert "<attribute note: str | None>" == repr(Pickled.note)
    assert "<create action Pickled.write>" == repr(Pickled.write)
    assert repr(record.touch_it) == f"<update action Pickled.touch_it of {record!r}>"
    with pytest.raises(InvalidArgument, match="needs a record, not int"):
        as_dict(5)
