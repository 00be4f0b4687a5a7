"""Declarations that a class body makes and does not name, and names that hide a builder."""

from __future__ import annotations

from typing import Any

import pytest

from resourcekit import Attr, Resource, action, argument, attribute, create, identity, index, query, read, update
from resourcekit.data_layers import Memory
from resourcekit.errors import DeclarationError
from resourcekit.testing import declaration_errors

BODY: dict[str, Any] = {"Attr": Attr, "Resource": Resource, "Memory": Memory, "attribute": attribute, "argument": argument}
BODY |= {"create": create, "update": update, "read": read, "identity": identity, "index": index, "action": action}


def declare(*lines: str) -> Any:
    """Run a class statement with these lines in its body, and return the class."""
    text = ["class Note(Resource, data_layer=Memory()):", "id: Attr[int] = attribute(primary_key=True)"]
    text += ["mail: Attr[str] = attribute()", *lines]
    names = {**BODY, "__name__": __name__}
    exec("\n    ".join(text), names)  # the lines of this module
    return names["Note"]


@pytest.mark.parametrize(
    "line",
    [
        'identity("mail")',
        'index("mail")',
        "attribute()",
        'create(accept=["id"])',
        "read()",
        'ids = [identity("mail")]',
        'ids = ({"x": [identity("mail")]},)',
        'argument("by", int)',
        "[identity(name) for name in ['mail']]",
        "(lambda: identity('mail'))()",
        "late = action(transaction=True)",
        "class Meta: by_mail = identity('mail')",
    ],
)
def test_a_declaration_without_a_name_is_refused(line: str) -> None:
    """It would be ignored, so that an identity would let duplicates in."""
    with pytest.raises(DeclarationError) as caught:
        declare(line)

    assert ("RK037", "Note") == (caught.value.code, caught.value.resource)
    assert caught.value.hint


def test_each_unnamed_declaration_is_reported_once_with_its_line() -> None:
    """Two of them are two errors, each with the line of its builder."""
    with declaration_errors() as errors:

        class Note(Resource, data_layer=Memory()):
            id: Attr[int] = attribute(primary_key=True)
            mail: Attr[str] = attribute()
            identity("mail")
            index("mail")

    assert ["RK037", "RK037"] == [error.code for error in errors]
    first, second = (int(error.origin.partition(".py:")[2].partition(",")[0]) for error in errors)
    assert 1 == second - first


@pytest.mark.parametrize(
    "lines",
    [
        ['add = create(accept=["id"], arguments=[argument("by", int)])'],
        ['common = [argument("by", int)]', "add = create(accept=['id'], arguments=common)"],
        ['common = [argument("by", int)]'],
        ["for name in ['mail']: locals()[f'by_{name}'] = identity(name)", "del name"],
        ["old = identity('mail')", "del old"],
        ["class Inner(Resource): id: Attr[int] = attribute(primary_key=True)"],
        ["@create(accept=['id'])", "def add(changeset): return changeset"],
        ["@action", "@classmethod", "def add(cls, number: int) -> int: return number"],
    ],
)
def test_a_declaration_with_a_name_or_inside_of_one_is_taken(lines: list[str]) -> None:
    """What belongs to a named declaration, or waits for one under a name of its own, is no mistake."""
    assert [] == query(declare(*lines)).all()


@pytest.mark.parametrize(
    ("lines", "name"),
    [
        (["create = create(accept=['id'])", "other = create(accept=['mail'])"], "create"),
        (["create = create(accept=['id'])", "other = create()"], "create"),
        (["create = create(accept=['id'])", "@create", "def other(changeset): return changeset"], "create"),
        (["update = update()", "other = update(accept=['mail'])"], "update"),
        (["read = read()", "other = read(get=True)"], "read"),
        (["identity = identity('mail')", "other = identity('id')"], "identity"),
        (["action: Attr[int] = attribute()", "@action", "def go() -> None: ..."], "action"),
        (["@action", "def action() -> None: ...", "@action", "def go() -> None: ..."], "action"),
        (["attribute: Attr[int] = attribute()", "other: Attr[int] = attribute()"], "attribute"),
    ],
)
def test_a_name_that_hides_a_builder_is_named_when_the_builder_is_called(lines: list[str], name: str) -> None:
    """The error has the name, the place where it was taken, and the cure."""
    with pytest.raises(DeclarationError) as caught:
        declare(*lines)

    assert "RK038" == caught.value.code
    assert f"{name!r} is the " in caught.value.what
    assert "Give the declaration another name" in caught.value.hint


@pytest.mark.parametrize(
    "line", ["self: Attr[str] = attribute()", "cls: Attr[str] = attribute()", "add = create(arguments=[argument('self', str)])"]
)
def test_names_that_a_call_cannot_give_are_refused(line: str) -> None:
    """``self`` and ``cls`` are taken by Python's own parameters."""
    with pytest.raises(DeclarationError) as caught:
        declare(line)

    assert "RK039" == caught.value.code
