"""Lazy references, and extensions that a domain names for its members."""

from __future__ import annotations

from typing import Any, ClassVar

import attrs
import pytest

from resourcekit import Attr, Domain, Resource, attribute, info, query
from resourcekit.errors import DeclarationError
from resourcekit.extending import Entity, Extension, Finding, Origin, State, Transformer, Verifier, option, resolve
from resourcekit.testing import declaration_errors


class Note(Transformer):
    """Marks the resource."""

    def transform(self, state: State, options: Any) -> State:
        return state.persist("level", options.level)


class NotLevelNine(Verifier):
    """Level 9 is refused."""

    def verify(self, info: Any, options: Any) -> list[Finding]:
        return [Finding(id="NINE", what="is nine", cure="Take another.")] if options.level == 9 else []


@attrs.frozen(kw_only=True)
class Levelled(Extension):
    """Has a level, and may refer to another resource."""

    level: int = option(default=1)
    log: type[Any] | str | None = option(default=None, lazy=True, doc="The resource that keeps the log.")
    transformers: ClassVar[tuple[type[Transformer], ...]] = (Note,)
    verifiers: ClassVar[tuple[type[Verifier], ...]] = (NotLevelNine,)


@attrs.frozen(kw_only=True, eq=False)
class Pointer(Entity):
    """Refers to a resource."""

    section: ClassVar[str] = "pointers"
    to: str | type[Any] = option(lazy=True)


@attrs.frozen(kw_only=True)
class Pointing(Extension):
    """Brings pointers."""

    entities: ClassVar[tuple[type[Entity], ...]] = (Pointer,)


class Keyed(Resource, abstract=True):
    id: Attr[int] = attribute(primary_key=True)


class Entry(Keyed):
    """The target of references."""


HERE = f"{__name__}:Entry"


def test_a_reference_is_the_class_or_a_text_that_names_it() -> None:
    """Both mean the same, and the text is resolved at its use."""

    class One(Keyed, domain=Domain("d"), extensions=[Levelled(log=HERE)]):
        pass

    class Other(Keyed, domain=Domain("e"), extensions=[Levelled(log=Entry)]):
        pass

    assert [Entry, Entry] == [resolve(Levelled.of(each).log) for each in (One, Other)]
    assert [] == query(One).all()


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (f"{__name__}:Entri", "there is no 'Entri'"),
        ("nowhere.at_all:Entry", "cannot be imported: ModuleNotFoundError"),
    ],
)
def test_a_reference_that_leads_nowhere_is_told_when_the_domain_is_sealed(text: str, what: str) -> None:
    """The class statement cannot know it yet; the first use does, also for a reference in an entity."""
    domain = Domain("d")

    class One(Keyed, domain=domain, extensions=[Levelled(log=text)]):
        pass

    class Other(Keyed, domain=domain, extensions=[Pointing]):
        pointer = Pointer(to=text, origin=Origin.here())

    with pytest.raises(DeclarationError) as caught:
        domain.seal()
    errors = caught.value.exceptions  # type: ignore[attr-defined]
    assert [("RK009", "One", ("Levelled", "log")), ("RK009", "Other", ("pointers", "pointer", "to"))] == [
        (error.code, error.resource, error.path) for error in errors
    ]
    assert all(what in error.what for error in errors)


def test_a_text_that_is_no_reference_is_refused_at_once() -> None:
    """The form of the text is known when it is given."""
    with pytest.raises(DeclarationError, match="must be a reference") as caught:
        Levelled(log="Entry")
    assert "RK003" == caught.value.code
    with pytest.raises(DeclarationError, match="is no reference"):
        resolve("Entry")


def test_an_extension_may_be_named_by_its_module() -> None:
    """``"module:Name"`` in the list is the class of that name."""

    class One(Keyed, extensions=[f"{__name__}:Levelled"]):
        pass

    assert 1 == Levelled.of(One).level
    with declaration_errors() as errors:

        class Other(Keyed, extensions=[f"{__name__}:Leveled"]):
            pass

    assert [("RK009", "Did you mean 'Levelled'?")] == [(error.code, error.hint) for error in errors]


def test_every_member_of_a_domain_has_its_extensions() -> None:
    """The steps of the extension run on each member, and verifiers refuse a member as if it had named the extension."""
    domain = Domain("d", extensions=[Levelled(level=5)])

    class Member(Keyed, domain=domain):
        pass

    class Outsider(Keyed, domain=Domain("e")):
        pass

    assert (5, 5) == (Levelled.of(domain).level, info(Member).persisted["level"])
    with pytest.raises(LookupError):
        Levelled.of(Outsider)
    with declaration_errors() as errors:

        class Nine(Keyed, domain=Domain("nine", extensions=[Levelled(level=9)])):
            pass

    assert ["NINE"] == [error.code for error in errors]


def test_a_member_s_own_extension_replaces_that_of_the_domain() -> None:
    """So does that of a base class, and a subclass of the extension."""
    domain = Domain("d", extensions=[Levelled(level=5), Pointing])

    @attrs.frozen(kw_only=True)
    class Special(Levelled):
        """A subclass."""

    class Base(Keyed, abstract=True, domain=domain, extensions=[Levelled(level=6)]):
        pass

    class OfBase(Base):
        pass

    class Own(Base, extensions=[Special(level=7)]):
        pointer = Pointer(to=Entry, origin=Origin.here())

    assert [6, 7] == [info(each).persisted["level"] for each in (OfBase, Own)]


@pytest.mark.parametrize(
    ("given", "code", "text"),
    [
        (Levelled, "RK003", "extensions must be a list"),
        ([Levelled, Levelled(level=2)], "RK004", "named twice"),
        ([int], "RK007", "an extension must be an Extension class"),
        (["leveled"], "RK007", "no plugin registered an extension named 'leveled'"),
    ],
)
def test_wrong_extensions_of_a_domain_are_refused_with_its_name(given: Any, code: str, text: str) -> None:
    """The error names the domain and the line that makes it."""
    with pytest.raises(DeclarationError, match=text) as caught:
        Domain("accounts", extensions=given)
    assert (code, "accounts") == (caught.value.code, caught.value.resource)
