"""What a step knows of its action, the order of hooks and notifiers, and the form of an author's mistakes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import attrs
import pytest

from resourcekit import Attr, Changeset, Context, Domain, Resource, action, attribute, create, destroy, query, read, update
from resourcekit.doctor import doctor
from resourcekit.errors import (
    DeclarationError,
    InvalidArgument,
    MissingExtension,
    MissingMethod,
    Misuse,
    NotAResource,
    WrongResult,
)
from resourcekit.extending import Change, Expression, Extension, Finding, Verifier, option, runtime_of

noted: list[Any] = []


@pytest.fixture(autouse=True)
def _no_notes() -> None:
    noted.clear()


def facts(changeset: Changeset, context: Context) -> Changeset:
    """Note what the changeset knows."""
    noted.append((changeset.resource, changeset.action, getattr(changeset.record, "number", None)))
    return changeset


class AtomicFacts(Change):
    """The same, in a statement."""

    def change(self, changeset: Changeset, context: Context) -> Changeset:
        """Note what the changeset knows."""
        return facts(changeset, context)

    atomic = change


def test_a_step_knows_resource_action_and_record() -> None:
    """Functions, atomic steps and validations find the same facts."""

    class Lamp(Resource, domain=Domain("steps")):
        id: Attr[int] = attribute(primary_key=True)
        number: Attr[int] = attribute(default=0)
        put = create(accept=["id"], changes=[facts])
        dim = update(changes=[AtomicFacts()], validations=[lambda changeset, _: noted.append(changeset.action)])
        drop = destroy(changes=[facts])

    lamp = Lamp.put(id=1)
    Lamp.dim(lamp)
    Lamp.drop(1)
    Lamp.put.bulk([{"id": 2}])

    assert [(Lamp, "put", None), (Lamp, "dim", 0), "dim", (Lamp, "drop", 0), (Lamp, "put", None)] == noted


def test_hooks_run_by_phase_and_then_in_the_order_in_which_they_were_added() -> None:
    """A step that is declared first can still have the last word."""

    def adding(name: str, phase: Any) -> Any:
        def hook(*_: object) -> None:
            noted.append(name)

        def change(changeset: Changeset, _context: Context) -> Changeset:
            for kind in ("before_transaction", "before_action", "after_action", "after_transaction"):
                changeset = getattr(changeset, kind)(hook, phase=phase)
            return changeset

        return change

    steps = [adding("last", "last"), adding("one", "normal"), adding("first", "early"), adding("two", "normal")]

    class Lamp(Resource, domain=Domain("phases")):
        id: Attr[int] = attribute(primary_key=True)
        put = create(accept=["id"], changes=steps)

    Lamp.put(id=1)

    assert ["first", "one", "two", "last"] * 4 == noted


def test_notifiers_run_by_phase() -> None:
    """An object with notify may have a phase; the resource's come before the action's within a phase."""

    class Tells:
        def __init__(self, name: str, phase: str = "normal") -> None:
            self.name, self.phase = name, phase

        def notify(self, _notification: object) -> None:
            noted.append(self.name)

    class Lamp(Resource, domain=Domain("notified"), notifiers=[Tells("audit", "last"), Tells("resource")]):
        id: Attr[int] = attribute(primary_key=True)
        put = create(accept=["id"], notifiers=[Tells("action"), Tells("first", "early")])

    Lamp.put(id=1)

    assert ["first", "resource", "action", "audit"] == noted


def test_a_wrong_phase_is_refused() -> None:
    """Where a hook is added, and where a notifier is declared."""
    with pytest.raises(InvalidArgument, match=r"one of 'early', 'normal', 'last', not 'late'"):
        Changeset("create").after_action(print, phase="late")  # type: ignore[arg-type]  # on purpose
    with pytest.raises(InvalidArgument, match="takes a function, not int"):
        Changeset("create").before_action(3)  # type: ignore[arg-type]  # on purpose

    class Tells:
        phase = "end"

        def notify(self, _notification: object) -> None:
            """Say nothing."""

    with pytest.raises(DeclarationError, match="'end'"):

        class Lamp(Resource, domain=Domain("wrong"), notifiers=[Tells()]):
            id: Attr[int] = attribute(primary_key=True)

    with pytest.raises(DeclarationError, match="'end'"):

        class Lantern(Resource, domain=Domain("wrong")):
            id: Attr[int] = attribute(primary_key=True)
            put = create(notifiers=[Tells()])


class _LooksAround(Verifier):
    across: ClassVar[bool] = True

    def verify(self, info: Any, options: _Around) -> Iterable[Finding]:
        """Note the runtime of the resource that another one names."""
        noted.append(runtime_of(options.other).info.name)
        return []


@attrs.frozen(kw_only=True)
class _Around(Extension):
    """An extension whose verifier looks at another resource."""

    other: object = option(default=None, doc="The other resource.")
    verifiers = (_LooksAround,)


def test_a_verifier_across_resources_may_ask_for_a_runtime() -> None:
    """Sealing is under way; it does not begin again."""
    domain = Domain("across")

    class Other(Resource, domain=domain):
        id: Attr[int] = attribute(primary_key=True)

    class Lamp(Resource, domain=domain, extensions=[_Around(other=Other)]):
        id: Attr[int] = attribute(primary_key=True)

    assert [] == query(Lamp).all()
    assert ["Other"] == noted


_looked: list[tuple[str, ...]] = []


class _NamesDiffer(Verifier):
    """Compares the labels of all resources of a domain."""

    def verify_domain(self, members: Sequence[tuple[Any, _Labelled]]) -> Iterable[Finding]:
        """Note the members, and return a finding for each label that two of them have."""
        _looked.append(tuple(info.name for info, _ in members))
        first: dict[str, str] = {}
        for info, options in members:
            if (other := first.setdefault(options.label, info.name)) != info.name:
                what = f"has the label {options.label!r} of {other}"
                level: Any = options.level
                yield Finding(id="MINE01", what=what, cure="Give it another one.", resource=info.name, level=level)


@attrs.frozen(kw_only=True)
class _Labelled(Extension):
    """An extension whose verifier compares all resources of a domain."""

    label: str = option(doc="The label.")
    level: str = option(default="error", doc="Level of the finding.")
    verifiers = (_NamesDiffer,)


@attrs.frozen(kw_only=True)
class _Relabelled(_Labelled):
    """A subclass, which has the verifier of its base."""


@pytest.mark.parametrize("level", ["error", "warning"])
def test_a_verifier_of_a_domain_runs_once_for_all_members(level: str) -> None:
    """It gets each member with the extension, or a subclass of it; its errors refuse the domain, doctor shows its warnings."""
    domain = Domain("labels")
    _looked.clear()

    class First(Resource, domain=domain, extensions=[_Labelled(label="a")]):
        id: Attr[int] = attribute(primary_key=True)

    class Second(Resource, domain=domain, extensions=[_Relabelled(label="a", level=level)]):
        id: Attr[int] = attribute(primary_key=True)

    class Third(Resource, domain=domain):
        id: Attr[int] = attribute(primary_key=True)

    if level == "error":
        for _ in range(2):
            with pytest.raises(DeclarationError, match=r"MINE01.*Second.*has the label 'a' of First"):
                query(Third).all()
    else:
        assert [] == query(Third).all()
        assert [] == query(First).all()
    assert [("First", "Second")] == _looked
    assert [("Second", level)] == [
        (each.resource.rpartition(".")[2], each.level) for each in doctor(Third) if each.id == "MINE01"
    ]


class Answers(Resource, domain=Domain("answers")):
    """Generic actions with and without a result."""

    id: Attr[int] = attribute(primary_key=True)

    @action
    @staticmethod
    def nothing(value: object) -> None:
        """Return what it gets."""
        return value  # type: ignore[return-value]  # on purpose

    @action
    @staticmethod
    async def number(value: object) -> int:
        """Return what it gets."""
        return value  # type: ignore[return-value]  # on purpose

    @read
    @staticmethod
    def lost(query: Any) -> Any:
        """Forget the query."""


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: Answers.nothing(3), r"RK056.* Answers › actions › nothing .*declares None as its result, and returned int"),
        (lambda: Answers.number("x"), r"RK056.* Answers › actions › number .*declares int as its result"),
        (Answers.lost, r"RK056.* Answers › actions › lost .*must return the query, not NoneType .*return query"),
    ],
)
def test_a_wrong_result_is_told_with_place_and_next_step(call: Any, text: str) -> None:
    """The error has the form of all errors in declarations, and is the built-in that fits."""
    with pytest.raises(WrongResult, match=text) as caught:
        call()

    assert isinstance(caught.value, TypeError)
    assert "test_step_facts.py" in caught.value.origin


def test_none_is_returned_by_an_action_that_says_so() -> None:
    """The annotation is kept."""
    assert Answers.nothing(None) is None


def test_mistakes_of_authors_have_a_code() -> None:
    """Not an empty NotImplementedError or a bare LookupError."""

    class Half(Change):
        """Has no change."""

    with pytest.raises(MissingMethod, match=r"RK058.* Half › change .*does not define change .*def change"):
        Half().change(Changeset("create"), None)  # type: ignore[arg-type]  # not looked at
    with pytest.raises(DeclarationError, match="has a Half among its changes, which does not define change"):

        class Lamp(Resource, domain=Domain("half")):
            id: Attr[int] = attribute(primary_key=True)
            put = create(changes=[Half()])

    with pytest.raises(MissingExtension, match=r"RK019.* Answers › extensions .*extensions=\[_Around\]"):
        _Around.of(Answers)
    with pytest.raises(NotAResource):
        from resourcekit import info

        info(3)
    with pytest.raises(Misuse, match="no truth value"):
        bool(Answers.id == 1) and isinstance(Answers.id, Expression)
