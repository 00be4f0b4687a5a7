"""Text whose blanks and case are said out loud: changed at the cast, or kept and ignored, the same on every layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from resourcekit import Attr, Domain, Resource, attribute, create, get, identity, query, set_attribute, update
from resourcekit.actions.drive import drive_iterator
from resourcekit.data_layers import Memory
from resourcekit.data_layers.base import DeleteInBatches
from resourcekit.errors import Invalid, UniqueViolation
from resourcekit.extending import Field, Param
from resourcekit.testing import declaration_errors


def users_on(layer: Callable[[], Any]) -> Any:
    """Declare users with a code that is changed, and a login that is kept."""
    domain = Domain("spelled text")

    class User(Resource, domain=domain, data_layer=layer()):
        id: Attr[int] = attribute(primary_key=True, public=True)
        code: Attr[str | None] = attribute(trim=True, empty=None, case="lower", max_length=5, default=None)
        login: Attr[str | None] = attribute(case="fold", default="Guest", public=True)

        by_login = identity("login")
        add = create(accept=["id", "code", "login"])
        put = create(accept=["id", "code", "login"], upsert="by_login")
        rename = update(accept=["login"])
        extend = update(changes=[set_attribute("login", login + "ß")])

    domain.create_storage()
    return User


def test_blanks_and_case_are_changed_at_the_cast_and_in_filters(every_layer: Callable[[], Any]) -> None:
    """A value is trimmed, then cased, then checked; what is left empty is replaced; a filter's value is cast alike."""
    user = users_on(every_layer)

    made = [user.add(id=1, code="  AbC  ", login="a").code, user.add(id=2, code="   ", login="b").code]

    assert made == ["abc", None]
    assert [each.id for each in query(user).filter(user.code == " ABC ").all()] == [1]
    with pytest.raises(Invalid, match="code: must have at most 5 characters"):
        user.add(id=3, code="  abcdef  ")


def test_a_folded_text_is_kept_and_compared_without_case(every_layer: Callable[[], Any]) -> None:
    """Comparisons, membership, matches, orders and identities ignore the case by the rules of Unicode; the text is kept."""
    user = users_on(every_layer)
    user.add.bulk([{"id": number, "login": login} for number, login in enumerate(("Straße", "ann", "Bob", None))])

    def found(condition: Any) -> list[int]:
        return [each.id for each in query(user).filter(condition).sort(user.id).all()]

    assert get(user, 0).login == "Straße"
    assert found(user.login == "STRASSE") == [0]
    assert found(user.login != "ANN") == [0, 2, 3]
    assert found(user.login.in_(["BOB", "Ann", None])) == [1, 2, 3]
    assert found(user.login.like("%B")) == [2]
    assert found(user.login < "B") == [1]
    assert found(user.login.is_none()) == [3]
    assert [each.login for each in query(user).sort(user.login).all()] == [None, "ann", "Bob", "Straße"]
    with pytest.raises(UniqueViolation) as caught:
        user.add(id=9, login="strasse")
    assert caught.value.fields == ("login",)


def test_a_folded_text_is_written_by_every_action(every_layer: Callable[[], Any]) -> None:
    """Updates, upserts, defaults and computed texts write the folded text beside the text; no record shows it."""
    user = users_on(every_layer)
    user.add(id=1)
    put = user.put(id=2, login="GUEST", code="x")
    renamed = user.rename(1, login="Ann")
    extended = user.extend(1)

    assert (put.id, put.login, put.code) == (1, "Guest", "x")  # an upsert leaves the values of its identity
    assert vars(renamed).keys() == {"id", "code", "login"}
    assert (renamed.login, extended.login) == ("Ann", "Annß")
    assert [each.id for each in query(user).filter(user.login == "annSS").all()] == [1]
    assert query(user).filter(user.login == "guest").count() == 0


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ({"number": (int, attribute(case="lower"))}, "case means nothing for int"),
        ({"number": (int, attribute(trim=True))}, "trim means nothing for int"),
        ({"name": (str, attribute(empty=None))}, "empty=None needs a type with None"),
        ({"name": (str, attribute(primary_key=True, case="fold"))}, "is for attributes outside of the primary key"),
        ({"name": (str, attribute(case="fold")), "name_folded": (str, attribute())}, "that is an attribute, too"),
    ],
)
def test_a_spelling_without_meaning_is_refused_at_declaration(declared: dict[str, Any], message: str) -> None:
    """The finding names the attribute and the cure."""

    def declare() -> None:
        body = {"__annotations__": {"id": Attr[int]} | {name: Attr[kind] for name, (kind, _) in declared.items()}}
        body |= {"id": attribute(primary_key=True)} | {name: given for name, (_, given) in declared.items()}
        namespace = type(Resource).__prepare__("Thing", (Resource,))
        namespace |= {"__module__": __name__, "__qualname__": "Thing", **body}
        type(Resource)("Thing", (Resource,), namespace, domain=Domain("things"), data_layer=Memory())

    errors = declaration_errors(declare)

    assert any(message in str(error) for error in errors), errors


def test_a_sweep_in_batches_compares_as_a_filter_does(every_layer: Callable[[], Any]) -> None:
    """A data layer keeps another form of such a text; its batches remove exactly what a filter finds."""
    user = users_on(every_layer)
    user.add.bulk([{"id": number, "login": login} for number, login in enumerate(("Ann", "aNN ", "Bob", "ANNE", None))])
    store = user.__runtime__.store
    plan = store.compile(DeleteInBatches(Field("login").like(Param("pattern"))))
    counts = [*drive_iterator(store.delete_in_batches(plan, {"pattern": "ANN_"}, size=1))]

    assert 2 == sum(counts)
    assert ["Ann", "Bob", None] == [each.login for each in query(user).sort(user.id).all()]
