"""An option without a default must be given."""

from __future__ import annotations

import attrs
import pytest

from resourcekit import Attr, Domain, Resource, attribute
from resourcekit.data_layers import SQL
from resourcekit.errors import DeclarationError
from resourcekit.extending import Extension, option


@attrs.frozen
class Labelled(Extension):
    """An extension with two options that must be given, the second by name."""

    label: str = option(doc="What it says.")
    size: int = attrs.field(kw_only=True)


@pytest.mark.parametrize(
    ("make", "missing"),
    [
        (Labelled, "label"),
        (lambda: Labelled("a"), "size"),
        (lambda: Labelled(label="a"), "size"),
        (lambda: Labelled(size=1), "label"),
        (SQL, "database"),
    ],
)
def test_a_missing_option_is_a_declaration_error(make, missing):
    """The error names the class, the option and the line, like every other error of an option."""
    with pytest.raises(DeclarationError) as caught:
        make()

    assert "RK003" == caught.value.code
    assert missing == caught.value.path[-1]


def test_options_may_be_given_by_position_and_by_name():
    """All that must be given is given."""
    assert ("a", 1) == (Labelled("a", size=1).label, Labelled(label="a", size=1).size)


def test_a_data_layer_class_that_needs_options_is_refused_with_the_resource():
    """``data_layer=SQL`` is a DeclarationError at the class statement."""
    with pytest.raises(DeclarationError) as caught:

        class Note(Resource, domain=Domain("missing"), data_layer=SQL):
            id: Attr[int] = attribute(primary_key=True)

    assert "option 'database' is missing" in str(caught.value)
    assert __file__.rpartition("/")[2] in str(caught.value)
