"""Mistakes of authors of extensions: each is refused with its code, the class it is in, and the cure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ClassVar

import attrs
import pytest

from resourcekit import Attr, Resource, attribute, create, info
from resourcekit.data_layers import Memory
from resourcekit.errors import DeclarationError
from resourcekit.extending import Action, Check, Extension, Finding, Service, State, Transformer, Verifier, option


class Add(Transformer):
    """A sound transformer."""

    def transform(self, state: State, options: object) -> State:
        return state


class Sound(Verifier):
    """A sound verifier."""

    def verify(self, info: Any, options: object) -> Iterable[Finding]:
        return []


class NoInterval(Service):
    """A service that says nowhere how often it runs."""

    async def run(self, context: object) -> None: ...


class Misspelt(Transformer):
    """A transformer whose method has another name."""

    def transfrom(self, state: State, options: object) -> State:
        return state


def step(**names: Any) -> type[Transformer]:
    """Return a transformer with these class variables."""
    return type("Step", (Add,), names)


def verifier(**names: Any) -> type[Verifier]:
    """Return a verifier with these class variables."""
    return type("Look", (Sound,), names)


@pytest.mark.parametrize(
    ("names", "where", "text"),
    [
        ({"transfomers": (Add,)}, "transfomers", "Did you mean 'transformers'?"),
        ({"verifier": (Sound,)}, "verifier", "Did you mean 'verifiers'?"),
        ({"__annotations__": {"transfomers": tuple}, "transfomers": (Add,)}, "transfomers", "Did you mean 'transformers'?"),
        ({"transformers": Add}, "transformers", "Write transformers = (Add,)."),
        ({"transformers": (Add(),)}, "transformers", "Write Add without a call."),
        ({"transformers": (Sound,)}, "transformers", "no subclass of Transformer"),
        ({"verifiers": ("Sound",)}, "verifiers", "no subclass of Verifier"),
        ({"requires": (Add,)}, "requires", "no subclass of Extension"),
        ({"entities": (Add,)}, "entities", "no subclass of Entity"),
        ({"template": Add}, "template", "abstract=True"),
        ({"transformers": (Misspelt,)}, "transform", "Did you mean it by 'transfrom'?"),
        ({"services": (NoInterval,)}, "interval", "has no interval"),
        ({"checks": (Check,)}, "check", "has no check"),
        ({"transformers": (step(before=Misspelt),)}, "before", "must be a set of transformers"),
        ({"transformers": (step(after=frozenset({"Add"})),)}, "after", "is no class of a transformer"),
        ({"transformers": (step(befor=frozenset()),)}, "befor", "Did you mean 'before'?"),
        ({"transformers": (step(phase="late"),)}, "phase", "'last'"),
        ({"verifiers": (verifier(across="yes"),)}, "across", "must be a bool"),
        ({"verifiers": (verifier(acros=True),)}, "acros", "Did you mean 'across'?"),
    ],
)
def test_a_class_variable_that_cannot_be_used_is_refused_with_the_class(names: dict[str, Any], where: str, text: str) -> None:
    """The mistake is found when the extension is declared, not at a user's resource."""
    with pytest.raises(DeclarationError) as caught:
        type("Loud", (Extension,), {"__module__": __name__, **names})

    assert ("RK015", where) == (caught.value.code, caught.value.path[-1])
    assert text in str(caught.value)
    assert "test_extension_mistakes.py" in caught.value.origin


def test_options_may_have_names_like_those_of_steps() -> None:
    """An annotated option is an option, and a private name or a method is the author's own."""

    @attrs.frozen(kw_only=True)
    class Plain(Extension):
        service: str = "mail"
        _transformer: ClassVar = (Add,)

        def verifier(self) -> str:
            return self.service

    assert "mail" == Plain().verifier()


@pytest.mark.parametrize(
    "field", [option(default="many"), option(default=3, check=lambda value: "must be below 3" if value > 2 else None)]
)
def test_a_default_that_its_own_option_refuses_is_the_author_s_mistake(field: Any) -> None:
    """It is found with the class, before any user makes one."""
    with pytest.raises(DeclarationError, match=r"RK015.*the default of the option 'level' must be"):

        @attrs.frozen(kw_only=True)
        class Loud(Extension):
            level: int = field


def test_options_of_a_class_that_attrs_has_not_made_are_refused() -> None:
    """They would be ignored."""

    class Loud(Extension):
        level: int = 3

    with pytest.raises(DeclarationError, match=r"RK015.*attrs\.frozen"):

        class Desk(Resource, data_layer=Memory(), extensions=[Loud]):
            id: Attr[int] = attribute(primary_key=True)


def _raise(error: Exception) -> Any:
    raise error


@pytest.mark.parametrize(
    ("verify", "text"),
    [
        (lambda: None, "not NoneType"),
        (lambda: ["wrong"], "not other values"),
        (lambda: Finding(id="RK043", what="x", cure="y"), "not Finding"),
        (lambda: _raise(KeyError("nowhere")), "raised KeyError: 'nowhere'"),
        (lambda: _raise(NotImplementedError()), "raised NotImplementedError at "),
        (lambda: [Finding(id="RK043", what="x", cure="y", level="fatal")], "has the level 'fatal'"),  # type: ignore[arg-type]
    ],
)
def test_a_verifier_that_fails_is_named_with_its_extension(verify: Callable[[], Any], text: str) -> None:
    """No error without a name reaches the user of an extension, and no finding is lost."""

    class Look(Verifier):
        def verify(self, info: Any, options: object) -> Any:
            return verify()

    @attrs.frozen(kw_only=True)
    class Loud(Extension):
        verifiers = (Look,)

    with pytest.raises(DeclarationError) as caught:

        class Desk(Resource, data_layer=Memory(), extensions=[Loud]):
            id: Attr[int] = attribute(primary_key=True)

    assert ("RK016", "Desk") == (caught.value.code, caught.value.resource)
    assert text in str(caught.value)


def test_a_transformer_that_raises_is_named_with_its_line() -> None:
    """The original error is the cause, and the line is that of the author's code."""

    class Fails(Transformer):
        def transform(self, state: State, options: object) -> State:
            return state.entities["nowhere"]  # type: ignore[return-value]

    @attrs.frozen(kw_only=True)
    class Loud(Extension):
        transformers = (Fails,)

    with pytest.raises(
        DeclarationError, match=r"RK016.*Loud.*Fails\.transform raised KeyError.*test_extension_mistakes\.py:"
    ) as caught:

        class Desk(Resource, data_layer=Memory(), extensions=[Loud]):
            id: Attr[int] = attribute(primary_key=True)

    assert isinstance(caught.value.__cause__, KeyError)


def defines(name: str) -> type[Extension]:
    """Return an extension that defines a function of this name."""

    class Defines(Transformer):
        def transform(self, state: State, options: object) -> State:
            return state.define("greeting", lambda: name)

    return type(name, (Extension,), {"transformers": (Defines,)})


def test_two_extensions_may_not_define_one_function() -> None:
    """Which one wins would depend on their order."""
    with pytest.raises(DeclarationError, match=r"RK017.*Second defines a function 'greeting', which is defined by First already"):

        class Desk(Resource, data_layer=Memory(), extensions=[defines("First"), defines("Second")]):
            id: Attr[int] = attribute(primary_key=True)


def test_a_function_may_not_hide_an_attribute_of_the_user() -> None:
    """The user's attribute would be gone from the class; an action is still found through info."""
    with pytest.raises(DeclarationError, match=r"RK017.*would hide your own"):

        class Desk(Resource, data_layer=Memory(), extensions=[defines("First")]):
            id: Attr[int] = attribute(primary_key=True)
            greeting: Attr[int] = attribute(default=1)


def test_a_last_step_sees_what_all_extensions_add_and_an_early_one_nothing() -> None:
    """The phase decides, whichever extension is named first."""
    seen: dict[str, list[str]] = {}

    def looks(when: str) -> type[Extension]:
        class Look(Transformer):
            phase = when  # type: ignore[assignment]

            def transform(self, state: State, options: object) -> State:
                seen[when] = list(state.all_of(Action))
                return state

        return type(f"Looks{when}", (Extension,), {"transformers": (Look,)})

    class Adds(Transformer):
        def transform(self, state: State, options: object) -> State:
            return state.add(attrs.evolve(info(Other).actions["put"]))

    class Other(Resource, data_layer=Memory()):
        id: Attr[int] = attribute(primary_key=True)
        put = create(accept=["id"])

    adds = type("AddsPut", (Extension,), {"transformers": (Adds,)})

    class Desk(Resource, data_layer=Memory(), extensions=[looks("last"), adds(), looks("early")]):
        id: Attr[int] = attribute(primary_key=True)

    assert [] == seen["early"]
    assert {"put", "read"} == set(seen["last"])
