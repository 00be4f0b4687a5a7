"""The order of transformers: stable, kept by before and after, with loops and repetitions named."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import ClassVar

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resourcekit import Attr, Resource, attribute, info
from resourcekit.dsl.passes import in_order
from resourcekit.errors import DeclarationError
from resourcekit.extending import AddPrimaryRead, Extension, State, Transformer
from resourcekit.testing import declaration_errors


def steps(count: int, *arrows: tuple[int, int], by: str = "after") -> list[type[Transformer]]:
    """Make steps; an arrow means that the first comes ahead of the second, declared by one side or the other."""
    made = [type(f"Step{number}", (Transformer,), {}) for number in range(count)]
    for first, second in arrows:
        if by == "after":
            made[second].after = made[second].after | {made[first]}
        else:
            made[first].before = made[first].before | {made[second]}
    return made


def numbers(ordered: Sequence[type[Transformer]]) -> list[int]:
    """Return the numbers in the names."""
    return [int(step.__name__.removeprefix("Step")) for step in ordered]


@pytest.mark.parametrize("by", ["after", "before"])
@pytest.mark.parametrize(
    ("count", "arrows", "expected"),
    [
        (3, [], [0, 1, 2]),
        (3, [(2, 0)], [1, 2, 0]),
        (3, [(0, 2)], [0, 1, 2]),
        (4, [(3, 0), (2, 3)], [1, 2, 3, 0]),
        (4, [(1, 0), (2, 0)], [1, 2, 0, 3]),
        (0, [], []),
    ],
)
def test_free_steps_keep_their_order(count: int, arrows: list[tuple[int, int]], expected: list[int], by: str) -> None:
    """A step that waits for no other keeps its place; the others come as soon as they can."""
    assert expected == numbers(in_order(steps(count, *arrows, by=by)))


@pytest.mark.parametrize("by", ["after", "before"])
def test_a_loop_is_named(by: str) -> None:
    """The steps of the cycle are reported in their order, and those outside of it are not."""
    made = steps(5, (1, 2), (2, 3), (3, 1), (0, 1), (3, 4), by=by)

    with pytest.raises(DeclarationError) as caught:
        in_order(made)

    assert "RK012" == caught.value.code
    named = caught.value.what.removeprefix("transformers wait for each other: ").split(" after ")
    assert named[0] == named[-1]
    assert {"Step1", "Step2", "Step3"} == set(named)
    assert 4 == len(named)


def test_a_contradiction_is_a_loop() -> None:
    """One step that wants to come both before and after another is reported like any cycle."""
    made = steps(2, (0, 1), by="after")
    made[0].after = frozenset({made[1]})

    with pytest.raises(DeclarationError, match="Step0 after Step1 after Step0"):
        in_order(made)


def test_a_step_after_itself_is_no_loop() -> None:
    """A step that names itself says nothing."""
    (alone,) = steps(1, (0, 0))

    assert (alone,) == in_order([alone])


def test_what_is_not_installed_is_passed_over() -> None:
    """A step may name others that are not there."""
    present, absent = steps(2)
    present.after = frozenset({absent})

    assert (present,) == in_order([present])


@given(st.integers(1, 7).flatmap(lambda count: st.tuples(st.just(count), st.lists(st.tuples(*[st.integers(0, count - 1)] * 2)))))
def test_any_order_holds_or_a_loop_is_told(drawn: tuple[int, list[tuple[int, int]]]) -> None:
    """For any set of arrows: either every arrow holds and no step is lost, or the reported cycle exists."""
    count, arrows = drawn
    made = steps(count, *arrows)
    wanted = {(first, second) for first, second in arrows if first != second}
    try:
        ordered = numbers(in_order(made))
    except DeclarationError as error:
        path = [int(name.removeprefix("Step")) for name in error.what.split(": ")[1].split(" after ")]
        assert all((ahead, behind) in wanted for behind, ahead in itertools.pairwise(path))
        assert path[0] == path[-1]
    else:
        assert list(range(count)) == sorted(ordered)
        assert all(ordered.index(first) < ordered.index(second) for first, second in wanted)


def recorder(name: str, **relations: frozenset[type[Transformer]]) -> type[Transformer]:
    """Make a transformer that notes its turn."""

    def transform(self: Transformer, state: State, options: object) -> State:
        turns = state.persisted.get("turns", ())
        return state.persist("turns", (*turns, name))  # type: ignore[misc]

    return type(name, (Transformer,), {"transform": transform, **relations})


def test_transformers_of_several_extensions_are_ordered_together() -> None:
    """Relations hold across extensions, in whatever order these are named; the core's own step is one of them."""
    last = recorder("Last")
    early = recorder("Early", before=frozenset({AddPrimaryRead}))
    middle = recorder("Middle", after=frozenset({AddPrimaryRead}), before=frozenset({last}))

    @attrs.frozen(kw_only=True)
    class One(Extension):
        transformers: ClassVar = (last,)

    @attrs.frozen(kw_only=True)
    class Two(Extension):
        transformers: ClassVar = (middle, early)

    class Note(Resource, extensions=[One, Two]):
        id: Attr[int] = attribute(primary_key=True)

    class Letter(Resource, extensions=[Two, One]):
        id: Attr[int] = attribute(primary_key=True)

    assert ("Early", "Middle", "Last") == info(Note).persisted["turns"]
    assert ("Early", "Middle", "Last") == info(Letter).persisted["turns"]


def test_loops_and_repetitions_name_the_resource() -> None:
    """Two extensions whose steps wait for each other, or that bring the same one, are refused where they meet."""
    first = recorder("First")
    second = recorder("Second", before=frozenset({first}))
    first.before = frozenset({second})

    @attrs.frozen(kw_only=True)
    class One(Extension):
        transformers: ClassVar = (first,)

    @attrs.frozen(kw_only=True)
    class Two(Extension):
        transformers: ClassVar = (second,)

    @attrs.frozen(kw_only=True)
    class Again(Extension):
        transformers: ClassVar = (first,)

    with declaration_errors() as errors:

        class Note(Resource, extensions=[One, Two]):
            id: Attr[int] = attribute(primary_key=True)

    with declaration_errors() as more:

        class Letter(Resource, extensions=[One, Again]):
            id: Attr[int] = attribute(primary_key=True)

    assert [("RK012", "Note")] == [(error.code, error.resource) for error in errors]
    assert [("RK013", "Letter")] == [(error.code, error.resource) for error in more]
    assert "First" in more[0].what
