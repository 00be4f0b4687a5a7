"""A declaration that does not fit the extension is reported with both places."""

from __future__ import annotations

import pytest

from resourcekit import Attr, Domain, attribute
from resourcekit.data_layers import Memory
from resourcekit.errors import DeclarationError
from resourcekit_tokens import TokenRecord, TokenResource


def test_an_attribute_of_a_wrong_type_is_told_with_the_place_that_expects_another():
    """The user's place is the user's, and the template's place is the extension's."""
    with pytest.raises(DeclarationError) as caught:

        class Token(TokenRecord, domain=Domain("places"), data_layer=Memory(), extensions=[TokenResource]):
            jti: Attr[int] = attribute(primary_key=True)

    text = str(caught.value)

    assert "RK221" == caught.value.code
    assert 1 == text.count("declared by you")
    assert text.index(__file__.rpartition("/")[2]) < text.index("declared by you") < text.index("record.py")
    assert "declared by TokenResource" in text
