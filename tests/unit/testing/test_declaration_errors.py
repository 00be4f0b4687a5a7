"""Declaration errors as data."""

from __future__ import annotations

import gc
import weakref

import pytest

from resourcekit import Attr, Domain, Resource, attribute, create, identity
from resourcekit.data_layers import SQL, Memory
from resourcekit.errors import Invalid
from resourcekit.testing import declaration_errors


def test_all_that_is_wrong_with_a_class_is_one_list() -> None:
    """Errors that come together are entries of their own, each with code, path, origin and hint."""
    with declaration_errors() as errors:

        class Note(Resource, data_layer=Memory()):
            id: Attr[int] = attribute(primary_key=True)
            text: Attr[str] = attribute()
            by_text = identity("texd")
            write = create(accept=["texx"])

    assert [("RK042", ("identities", "by_text")), ("RK043", ("actions", "write"))] == [
        (error.code, error.path) for error in errors
    ]
    assert ["Note", "Note"] == [error.resource for error in errors]
    assert all("test_declaration_errors.py" in error.origin for error in errors)
    assert ["Did you mean 'text'?"] * 2 == [error.hint for error in errors]


def test_a_sound_declaration_leaves_the_list_empty() -> None:
    """Where nothing is wrong there is no error, and the class is there."""
    with declaration_errors() as errors:

        class Note(Resource, domain=Domain("sound"), data_layer=Memory()):
            id: Attr[int] = attribute(primary_key=True)

    assert [] == errors
    assert ("id",) == Note.__info__.primary_key


def test_a_function_may_declare_or_seal() -> None:
    """Given a function, it is called, and what it finds is the list: here two resources that share a table."""
    domain = Domain("shared")

    class First(Resource, domain=domain, data_layer=SQL("sqlite:///shared.db", table="same")):
        id: Attr[int] = attribute(primary_key=True)

    class Second(Resource, domain=domain, data_layer=SQL("sqlite:///shared.db", table="same")):
        id: Attr[int] = attribute(primary_key=True)

    assert ["RK051"] == [error.code for error in declaration_errors(domain.seal)]


def test_other_exceptions_pass() -> None:
    """Only declaration errors become data; a test's own mistake does not vanish."""
    with pytest.raises(ZeroDivisionError), declaration_errors():
        _ = 1 / 0
    with pytest.raises(Invalid), declaration_errors():
        raise Invalid("not a declaration")


def test_a_refused_class_is_not_kept_alive() -> None:
    """The list holds no frames, so the class whose statement raised is gone when its scope is."""
    gone: list[weakref.ref[type]] = []

    class Watching(type(Resource)):
        def __new__(cls, name, bases, namespace, **options):
            try:
                return super().__new__(cls, name, bases, namespace, **options)
            finally:
                made = next((each for each in Resource.__subclasses__() if each.__name__ == name), None)
                gone.append(weakref.ref(made))

    def declare() -> None:
        class Refused(Resource, metaclass=Watching, data_layer=Memory()):
            id: Attr[int] = attribute()

    errors = declaration_errors(declare)
    gc.collect()

    assert ["RK040"] == [error.code for error in errors]
    assert [None] == [reference() for reference in gone]
