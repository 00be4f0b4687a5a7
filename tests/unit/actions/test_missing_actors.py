"""Formulas over an actor that is missing: they find nothing, however they are combined."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resourcekit import (
    actor,
    case,
    coalesce,
    query,
)
from resourcekit.data_layers import SQL, Memory
from tests.support.desks import desk_on, ids

_ATOMS = ("==", "!=", "<", "in", "like", "sum")


def _atom(ticket: Any, kind: str) -> Any:
    """Return a comparison with a value of the actor."""
    made: dict[str, Callable[[], Any]] = {
        "==": lambda: ticket.owner_id == actor("id"),
        "!=": lambda: ticket.team_id != actor("team"),
        "<": lambda: actor("id") < ticket.id,
        "in": lambda: ticket.id.in_([actor("id"), actor("team")]),
        "like": lambda: ticket.org.like(actor("org")),
        "sum": lambda: ticket.id + actor("id") > 0,
    }
    return made[kind]()


FORMULAS = st.recursive(
    st.sampled_from(_ATOMS),
    lambda inner: st.one_of(
        st.tuples(st.sampled_from(["not", "is", "is not", "in", "coalesce"]), inner),
        st.tuples(st.sampled_from(["and", "or", "case"]), inner, inner),
    ),
    max_leaves=6,
)


def _built(ticket: Any, formula: Any) -> Any:
    """Return the condition of a formula."""
    if isinstance(formula, str):
        return _atom(ticket, formula)
    name, *parts = formula
    built = [_built(ticket, part) for part in parts]
    first, last = built[0], built[-1]
    return {
        "not": lambda: ~first,
        "is": lambda: first == True,  # noqa: E712  # an expression
        "is not": lambda: first == False,  # noqa: E712  # an expression
        "in": lambda: first.in_([True, False]),
        "coalesce": lambda: coalesce(first, False),
        "and": lambda: first & last,
        "or": lambda: first | last,
        "case": lambda: case(ticket.id > 2, first, last),
    }[name]()


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_no_formula_over_a_missing_actor_finds_a_record(kind: str, tmp_path_factory: Any) -> None:
    """Neither a condition of comparisons with the actor nor its opposite finds anything, however it is combined."""
    path, tables = tmp_path_factory.mktemp("late"), iter("ab")
    desk = desk_on(Memory if kind == "memory" else lambda: SQL(f"sqlite:///{path}/late.db", table=f"late_{next(tables)}"))

    @settings(max_examples=60, deadline=None, database=None)
    @given(FORMULAS)
    def check(formula: Any) -> None:
        condition = _built(desk.Ticket, formula)
        assert [] == ids(query(desk.Ticket).filter(condition)) == ids(query(desk.Ticket).filter(~condition))

    check()
