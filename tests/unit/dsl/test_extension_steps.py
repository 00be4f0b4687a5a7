"""What transformers may do to the state of a resource, and what they may not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import pytest

from resourcekit import Attr, Domain, Resource, attribute, create, info, query, read
from resourcekit.errors import DeclarationError
from resourcekit.extending import Attribute, Extension, ReadAction, State, Transformer
from resourcekit.testing import declaration_errors


def test_steps_of_a_state() -> None:
    """``add``, ``replace``, ``remove``, ``set_option``, ``persist`` and ``define`` do what they say, and are remembered."""
    notes: list[object] = []

    class Work(Transformer):
        def transform(self, state: State, options: object) -> State:
            before = state
            state = (
                state.add(Attribute.of("added", int, default=1))
                .replace(attrs.evolve(state.attributes["replaced"], default="new"))
                .remove("removed")
                .set_option("notifiers", (notes.append,))
                .persist("kept", {"x": 1})
                .define("greet", classmethod(lambda cls: f"I am {cls.__name__}"))
            )
            assert "removed" in before.attributes
            assert "added" not in before.attributes
            assert state.primary_key == ("id",)
            return state

    @attrs.frozen(kw_only=True)
    class Worker(Extension):
        transformers = (Work,)

    class Desk(Resource, extensions=[Worker]):
        id: Attr[int] = attribute(primary_key=True)
        replaced: Attr[str] = attribute(default="old")
        removed: Attr[str] = attribute(default="old")
        put = create(accept=["id"])

    facts = info(Desk)
    assert ["id", "replaced", "added"] == list(facts.attributes)
    assert ("new", 1) == (Desk.put(id=1).replaced, Desk.put(id=2).added)
    assert (2, {"x": 1}) == (len(notes), facts.persisted["kept"])
    assert "I am Desk" == Desk.greet()
    assert ("removed by Worker",) == facts.history["attributes", "removed"][-1:]
    for mapping in (facts.options, facts.persisted, facts.extensions, facts.history, facts.functions):
        with pytest.raises(TypeError):
            mapping["x"] = 1  # type: ignore[index]


@pytest.mark.parametrize(
    ("work", "code", "text"),
    [
        (lambda state: state.add(Attribute.of("name", str)), "RK010", "'name' is declared twice"),
        (lambda state: state.remove("nam"), "RK011", "Did you mean 'name'?"),
        (lambda state: state.replace(Attribute.of("nam", str)), "RK011", "Did you mean 'name'?"),
        (lambda state: state.define("hello", print), "RK055", "the class body has something else of that name"),
        (lambda state: state.add(Attribute.of("hello", str)), "RK055", "which Worker would hide"),
    ],
)
def test_what_a_transformer_may_not_do(work: Callable[[State], State], code: str, text: str) -> None:
    """The error names the resource, and the extension that did it."""

    class Work(Transformer):
        def transform(self, state: State, options: object) -> State:
            return work(state)

    @attrs.frozen(kw_only=True)
    class Worker(Extension):
        transformers = (Work,)

    with declaration_errors() as errors:

        class Desk(Resource, extensions=[Worker]):
            id: Attr[int] = attribute(primary_key=True)
            name: Attr[str] = attribute()

            def hello(self) -> str:
                return "hello"

    assert [(code, "Desk")] == [(error.code, error.resource) for error in errors]
    assert text in str(errors[0])
    assert "Worker" in str(errors[0])


def test_a_transformer_must_return_the_state() -> None:
    """A forgotten ``return`` is refused with the name of the step."""

    class Forgets(Transformer):
        def transform(self, state: State, options: object) -> Any:
            state.persist("x", 1)

    @attrs.frozen(kw_only=True)
    class Forgetful(Extension):
        transformers = (Forgets,)

    with pytest.raises(DeclarationError, match=r"RK016.*Forgets\.transform must return a State, not NoneType"):

        class Desk(Resource, extensions=[Forgetful]):
            id: Attr[int] = attribute(primary_key=True)


def test_an_added_action_runs(layer: Callable[[], Any]) -> None:
    """A read that a transformer replaces is the one that queries use, also where the core adds it."""
    domain = Domain("odd")

    class OddOnly(Transformer):
        def transform(self, state: State, options: object) -> State:
            for action in state.all_of(ReadAction).values():
                state = state.replace(attrs.evolve(action, preparations=(lambda asked, context: asked.filter(Item.odd),)))
            return state

    @attrs.frozen(kw_only=True)
    class Odd(Extension):
        transformers = (OddOnly,)

    class Item(Resource, domain=domain, data_layer=layer(), extensions=[Odd]):
        id: Attr[int] = attribute(primary_key=True)
        odd: Attr[bool] = attribute(default=False)
        put = create(accept=["id", "odd"])
        every = read(primary=True)

    domain.create_storage()
    Item.put.bulk([{"id": number, "odd": number % 2 == 1} for number in range(4)])

    assert [1, 3] == [each.id for each in query(Item).sort("id").all()]


def test_a_resource_s_own_method_is_no_declaration(layer: Callable[[], Any]) -> None:
    """A method named ``read`` stays; the read that the core adds takes another name."""
    domain = Domain("readers")

    class Book(Resource, domain=domain, data_layer=layer()):
        id: Attr[int] = attribute(primary_key=True)
        put = create(accept=["id"])

        def read(self) -> str:
            """Read aloud."""
            return f"page {self.id}"

    domain.create_storage()

    assert "page 1" == Book.put(id=1).read()
    assert [1] == [each.id for each in query(Book).all()]
    assert "read_all" in info(Book).actions
