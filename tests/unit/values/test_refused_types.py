"""Types that no data layer can store are refused at declaration, and the others are shown by their names."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any

import attrs
import pytest

from resourcekit import Limits, value_type
from resourcekit.declarations.value_type import read_annotation
from resourcekit.errors import DeclarationError
from resourcekit.extending import Attribute
from tests.support.own_types import Address, Circle, Email, Handle, Money, Point, Settings, Square


class Opaque:
    """A class whose fields cannot be read."""


@attrs.frozen
class Loop:
    """A class that contains itself."""

    inner: Loop | None = None


@attrs.frozen
class Holder:
    """A class with a field of an unknown type."""

    what: Opaque


@pytest.mark.parametrize(
    ("annotation", "message"),
    [
        (Opaque, "Opaque is no type that a record can hold"),
        (Holder, "field 'what' of Holder: Opaque is no type"),
        (Loop, "Loop contains itself"),
        (Settings | Point, "cannot be distinguished"),
        (int | str, "is a union of several types"),
        (list[Annotated[str, Limits(minimum=1)]], "minimum means nothing for str"),
        (list[Annotated[int, Limits(case="lower")]], "match, trim and case mean nothing for int"),
        (list[Annotated[str, Limits(case="fold")]], "case='fold' belongs to attribute"),
    ],
)
def test_a_type_without_a_stored_form_is_refused_at_declaration(annotation: Any, message: str) -> None:
    """The error names the class and the field, and says what to do."""
    with pytest.raises(DeclarationError) as caught:
        Attribute.of("value", annotation)

    assert caught.value.code == "RK031"
    assert message in str(caught.value)
    assert "value_type(...)" in str(caught.value)


@pytest.mark.parametrize(
    ("python", "options", "message"),
    [
        (Opaque, {}, "Give stored=, dump= and load="),
        (Opaque, {"stored": Opaque}, "Give another stored="),
        (Opaque, {"stored": Decimal}, "Give dump= and load="),
        (Money, {"stored": str, "dump": str, "load": Money}, "Money has two value types, 'Money' and 'Other'"),
    ],
)
def test_a_value_type_that_no_layer_could_keep_is_refused(python: Any, options: Any, message: str) -> None:
    """A value type needs a stored form, and both ways."""
    with pytest.raises(DeclarationError) as caught:
        value_type("Other", python, **options)

    assert caught.value.code == "RK062"
    assert message in str(caught.value)


def test_a_type_is_shown_by_its_name() -> None:
    """Reference pages and errors show the name of the declaration, of the class, or of both sides of a union."""
    shown = [str(read_annotation(each)) for each in (Email, Money | None, list[Address], Circle | Square, dict[str, Handle])]

    assert shown == ["Email", "Money | None", "list[Address]", "Circle | Square", "dict[str, Handle]"]
