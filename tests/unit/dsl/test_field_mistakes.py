"""Mistakes in class options, fields of findings, options and verifiers of domains: each is reported with its code."""

from __future__ import annotations

import pytest

from tests.support.mistakes import refusal

MISTAKES: dict[str, tuple[str, str, str]] = {
    "set_option unknown": (
        "RK016",
        "E sets the class option 'notifier', which a transformer cannot set · Did you mean 'notifiers'?",
        """
        class T(Transformer):
            def transform(self, state, options): return state.set_option("notifier", ())
        R=res(ext(transformers=(T,)))
        """,
    ),
    "set_option read before transformers": (
        "RK016",
        "E sets the class option 'data_layer', which a transformer cannot set",
        """
        class T(Transformer):
            def transform(self, state, options): return state.set_option("data_layer", Memory())
        R=res(ext(transformers=(T,)))
        """,
    ),
    "attribute without a type": (
        "RK016",
        "the attribute 'extra' has no type · Write Attribute.of('extra', str).",
        """
        class T(Transformer):
            def transform(self, state, options): return state.add(Attribute(name="extra"))
        R=res(ext(transformers=(T,)))
        """,
    ),
    "finding with an unknown field, outside of a verifier": (
        "RK016",
        "a finding has no field 'waht' · Did you mean 'what'?",
        """
        Finding(id="MINE01", waht="is wrong", cure="Mend it.")
        """,
    ),
    "finding without a cure": (
        "RK016",
        "a finding lacks cure",
        """
        Finding(id="MINE01", what="is wrong")
        """,
    ),
    "finding by position": (
        "RK016",
        "the fields of a finding are given by position",
        """
        Finding("MINE01", "is wrong", "Mend it.")
        """,
    ),
    "required option after one with a default": (
        "RK015",
        "the option 'second' has no default, and comes after one that has · Write @attrs.frozen(kw_only=True)",
        """
        @attrs.frozen
        class E(Extension):
            first: int = option(default=1)
            second: int = option()
        """,
    ),
    "required field of an entity after one with a default": (
        "RK015",
        "the option 'second' has no default, and comes after one that has",
        """
        @attrs.frozen
        class Kind(Entity):
            first: int = 1
            second: int
        """,
    ),
    "verify_domain returns nothing": (
        "RK016",
        "V.verify_domain must return an iterable of Finding, not NoneType",
        """
        class V(Verifier):
            def verify_domain(self, members): pass
        R=res(ext(verifiers=(V,)))
        R.make(id=1)
        """,
    ),
    "verifier without a check": (
        "RK015",
        "has no verify",
        """
        class V(Verifier):
            across = True
        R=res(ext(verifiers=(V,)))
        """,
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_a_field_is_told_with_its_code(mistake: str) -> None:
    """Neither silent nor an error of attrs or Python: the code, what is wrong, and the cure."""
    code, text, source = MISTAKES[mistake]

    error = refusal(source)

    assert code == getattr(error, "code", type(error).__name__)
    assert text in str(error)
