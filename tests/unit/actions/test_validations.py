"""Validations: what they let pass and what they refuse, in Python and within one statement, on every layer."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

import attrs
import pytest

from resourcekit import (
    Attr,
    Changeset,
    Context,
    Domain,
    Resource,
    absent,
    attribute,
    compare,
    create,
    get,
    increment,
    match,
    one_of,
    present,
    query,
    string_length,
    update,
)
from resourcekit.errors import FieldFinding, Invalid, NotFound
from resourcekit.extending import Expression, Field, Validation
from tests.support.scales import scale_on


@pytest.fixture
def form(layer: Callable[[], Any]) -> Any:
    """A resource with a validation of every kind."""
    domain = Domain("forms")

    def no_shouting(changeset: Changeset, context: Context) -> str | None:
        return "do not shout" if changeset.get("name").isupper() else None

    async def reject(changeset: Changeset, context: Context) -> Changeset:
        return changeset.reject("name", "is reserved") if changeset.get("name") == "root" else changeset

    def raises(changeset: Changeset, context: Context) -> None:
        if changeset.get("name") == "boom":
            raise Invalid(FieldFinding("name", "went off"))

    rules: list[Any] = [
        one_of("kind", ["a", "b"]),
        string_length("name", min=2, max=5),
        match("name", "^[A-Za-z]+$"),
        compare("least", "<=", Field("most")),
        present("name"),
        absent("gone"),
        no_shouting,
        reject,
        raises,
    ]

    class Form(Resource, domain=domain, data_layer=layer()):
        id: Attr[int] = attribute(primary_key=True)
        kind: Attr[str | None] = attribute(default="a")
        name: Attr[str | None] = attribute(default="anna")
        least: Attr[int | None] = attribute(default=1)
        most: Attr[int | None] = attribute(default=5)
        gone: Attr[str | None] = attribute(default=None)
        fill = create(accept=["id", "kind", "name", "least", "most", "gone"], validations=rules)
        alter = update(accept=["kind", "name", "least", "most", "gone"], validations=rules)
        alter_atomic = update(
            accept=["kind", "least", "most", "gone", "name"],
            validations=[one_of("kind", ["a", "b"]), present("name"), absent("gone"), compare("least", "<=", most)],
            require_atomic=True,
        )

    domain.create_storage()
    return Form


GOOD: list[dict[str, Any]] = [{}, {"kind": None}, {"name": "abcde"}, {"least": None}, {"most": None, "least": 99}]
BAD: list[tuple[dict[str, Any], list[tuple[str, str]]]] = [
    ({"kind": "c"}, [("kind", "must be one of 'a', 'b'")]),
    ({"name": "x"}, [("name", "must have 2 to 5 characters")]),
    ({"name": "abcdef"}, [("name", "must have 2 to 5 characters")]),
    ({"name": "a1"}, [("name", "must match ^[A-Za-z]+$")]),
    ({"least": 6}, [("least", "must be <= most")]),
    ({"most": 0}, [("least", "must be <= most")]),
    ({"gone": "x"}, [("gone", "must be absent")]),
    ({"name": "ANNA"}, [("", "do not shout")]),
    ({"name": "root"}, [("name", "is reserved")]),
    ({"kind": "c", "gone": "x"}, [("kind", "must be one of 'a', 'b'"), ("gone", "must be absent")]),
]


@pytest.mark.parametrize("given", GOOD, ids=str)
def test_what_validations_let_pass(form: Any, given: dict[str, Any]) -> None:
    """Defaults and stored values count; ``None`` passes where nothing says otherwise."""
    form.fill(id=1)

    assert 2 == form.fill(id=2, **given).id
    assert 1 == form.alter(1, **given).id


@pytest.mark.parametrize(("given", "expected"), BAD, ids=str)
def test_what_validations_refuse(form: Any, given: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    """All that is wrong comes together, for a create and an update alike; nothing is written."""
    form.fill(id=1)

    for call in (lambda: form.fill(id=2, **given), lambda: form.alter(1, **given)):
        with pytest.raises(Invalid) as caught:
            call()
        assert expected == [(finding.path, finding.message) for finding in caught.value.findings]
    assert [form(id=1)] == query(form).all()


def test_validations_within_one_statement(form: Any) -> None:
    """Atomic validations refuse what they refuse elsewhere, by the value given and by the value stored."""
    form.fill(id=1)

    assert "b" == form.alter_atomic(1, kind="b").kind
    for given, path in [
        ({"kind": "c"}, "kind"),
        ({"gone": "x"}, "gone"),
        ({"name": ""}, "name"),
        ({"name": None}, "name"),
        ({"most": 0}, "least"),
        ({"least": 6, "most": 5}, "least"),
    ]:
        with pytest.raises(Invalid) as caught:
            form.alter_atomic(1, **given)
        assert [path] == [finding.path for finding in caught.value.findings]
    with pytest.raises(NotFound):
        form.alter_atomic(9, kind="b")


def test_an_error_of_a_validation_goes_on(form: Any) -> None:
    """What a validation raises reaches the caller."""
    with pytest.raises(Invalid, match="went off"):
        form.fill(id=1, name="boom")


def test_an_atomic_validation_of_the_application(layer: Callable[[], Any]) -> None:
    """An object whose ``atomic`` says what must hold guards the statement itself."""

    @attrs.frozen
    class AtLeast(Validation):
        name: str
        least: int

        def validate(self, changeset: Changeset, context: Context) -> list[FieldFinding]:
            enough = changeset.get(self.name) >= self.least
            return [] if enough else [FieldFinding(self.name, f"must stay at {self.least} or more")]

        def atomic(self, changeset: Changeset, context: Context) -> Expression:
            return Field(self.name) >= self.least

    domain = Domain("stock")

    class Stock(Resource, domain=domain, data_layer=layer()):
        id: Attr[int] = attribute(primary_key=True)
        left: Attr[int] = attribute(default=2)
        put = create(accept=["id"])
        take = update(changes=[increment("left", -1)], validations=[AtLeast("left", 0)], require_atomic=True)

    domain.create_storage()
    item = Stock.put(id=1)

    assert [1, 0] == [Stock.take(item).left, Stock.take(item).left]
    with pytest.raises(Invalid, match="left: must stay at 0 or more"):
        Stock.take(item)
    assert 0 == get(Stock, 1).left


@pytest.mark.parametrize("answer", [True, 5, [5], {"name": "wrong"}.values().__iter__])
def test_a_validation_that_answers_in_its_own_way(layer: Callable[[], Any], answer: Any) -> None:
    """What is neither a text, a finding, the changeset nor nothing is a TypeError that names the validation."""
    domain = Domain("answers")

    def own_way(changeset: Changeset, context: Context) -> Any:
        return answer

    class Note(Resource, domain=domain, data_layer=layer()):
        id: Attr[int] = attribute(primary_key=True)
        write = create(accept=["id"], validations=[own_way])

    domain.create_storage()
    with pytest.raises(TypeError, match=r"the validation .*own_way must return a text"):
        Note.write(id=1)
    assert query(Note).count() == 0


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (str, "x"),
        (int, 0),
        (bool, False),
        (Decimal, Decimal("1.50")),
        (datetime, datetime(2026, 11, 29, tzinfo=UTC)),
        (date, date(2026, 11, 29)),
        (timedelta, timedelta(seconds=1)),
        (UUID, UUID(int=1)),
        (Literal["a", "b"], "a"),
        (dict[str, int], {"a": 1}),
        (list[int], [1]),
        (bytes, b"x"),
    ],
    ids=str,
)
def test_a_value_of_any_type_is_present_or_absent(every_layer: Callable[[], Any], kind: Any, value: object) -> None:
    """A statement tests what is stored for ``None``, and compares only texts with the empty text."""
    domain = Domain("presence")

    layer = every_layer()

    class Thing(Resource, domain=domain, data_layer=layer):
        id: Attr[int] = attribute(primary_key=True)
        value: Attr[kind | None] = attribute(default=None, scale=scale_on(layer) if kind is Decimal else None)
        note: Attr[str] = attribute(default="")
        add = create(accept=["id", "value"])
        need = update(accept=["note"], validations=[present("value")], require_atomic=True)
        fill = update(accept=["value"], validations=[present("value")], require_atomic=True)
        lack = update(accept=["note"], validations=[absent("value")], require_atomic=True)

    domain.create_storage()
    Thing.add(id=1)
    Thing.add(id=2, value=value)

    assert "full" == Thing.need(2, note="full").note
    assert "empty" == Thing.lack(1, note="empty").note
    with pytest.raises(Invalid, match="value: must be present"):
        Thing.need(1, note="x")
    with pytest.raises(Invalid, match="value: must be absent"):
        Thing.lack(2, note="x")
    assert value == Thing.fill(1, value=value).value
    with pytest.raises(Invalid, match="value: must be present"):
        Thing.fill(2, value=None)
