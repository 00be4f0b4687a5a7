"""A store that forgets tokens causes a warning, unless the declaration accepts it."""

from __future__ import annotations

import sys
import warnings

import pytest

from resourcekit import Domain, Resource, info
from resourcekit.data_layers import Memory
from resourcekit.errors import UnsafeStoreWarning
from resourcekit_tokens import TokenRecord, TokenResource


@pytest.mark.parametrize("base", [Resource, TokenRecord])
def test_a_token_resource_without_a_data_layer_warns_once_at_its_class_statement(base):
    """The warning names the resource and the cure, and its place is the class statement."""
    line = sys._getframe().f_lineno + 3
    with pytest.warns(UnsafeStoreWarning) as received:

        class Token(base, domain=Domain("warned"), extensions=[TokenResource]):
            """No data layer is named."""

    assert 1 == len(received)
    assert (__file__, line) == (received[0].filename, received[0].lineno)
    assert "Token" in str(received[0].message)
    assert "data_layer=SQL(...)" in str(received[0].message)


def test_naming_memory_accepts_it():
    """``data_layer=Memory()`` says that the store may forget; so does a base that names it."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")

        class Token(TokenRecord, domain=Domain("accepted"), data_layer=Memory(), extensions=[TokenResource]):
            """Memory is named."""

        class Base(TokenRecord, domain=Domain("accepted by its base"), data_layer=Memory(), abstract=True):
            """A base of the application's own."""

        class Child(Base, extensions=[TokenResource]):
            """Its base names Memory."""

    assert "Memory" == type(info(Token).options["data_layer"]).__name__
    assert info(Child).options["data_layer"] is info(Base).options["data_layer"]


def test_a_base_without_a_data_layer_does_not_name_one_for_its_children():
    """An abstract base that names none says nothing for its children: they are warned."""

    class Base(TokenRecord, domain=Domain("unnamed"), abstract=True):
        """A base of the application's own."""

    with pytest.warns(UnsafeStoreWarning):

        class Token(Base, extensions=[TokenResource]):
            """Neither names one."""

    assert [Token] == list(info(Token).options["domain"].resources)
