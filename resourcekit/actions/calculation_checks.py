"""Checks of the calculations of a domain, before its first call: names, circles, and values that no data layer can compute."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from typing import Any

from resourcekit.actions.families import family_of
from resourcekit.actions.relating import NotInOneStore, Relating
from resourcekit.actions.runtime import Runtime
from resourcekit.data_layers.base import Capability
from resourcekit.declarations.calculations import Calculation
from resourcekit.declarations.value_type import Kind
from resourcekit.dsl.compiler import gathering
from resourcekit.errors import DeclarationError, InvalidArgument, did_you_mean
from resourcekit.expressions.context_nodes import ContextValue
from resourcekit.expressions.nodes import Expression, Param, as_expression
from resourcekit.expressions.query import Query
from resourcekit.expressions.related import ManyOf
from resourcekit.expressions.rewriting import has_fragment, substitute

__all__ = ["check_calculations"]


def check_calculations(members: Sequence[Any]) -> list[DeclarationError]:
    """Return the errors of the calculations of a domain's members: unknown names, circles, values that no store can compute."""
    errors: list[DeclarationError] = []
    for member in members:
        runtime: Runtime = member.__runtime__
        for name, calculation in runtime.info.calculations.items():
            with gathering(errors, runtime.info.name, calculation.origin, (calculation.section, name)):
                _check(runtime, calculation)
    return errors


async def _everything(runtime: Runtime) -> Query[Any]:
    del runtime
    return Query()


def _unknown(node: ContextValue) -> Expression:
    """Return a placeholder for the actor or the tenant, which fits every type."""
    del node
    return Param("late")


def _run(work: Coroutine[Any, Any, Expression]) -> Expression:
    """Run a coroutine that never suspends."""
    try:
        while True:
            work.send(None)
    except StopIteration as stop:
        found: Expression = stop.value
        return found


def _check(runtime: Runtime, calculation: Calculation) -> None:
    hint = "Name attributes, relationships and calculations of the resource, and load(...) what a store cannot compute."
    unknown = [name for name in calculation.needs if name not in runtime.info.attributes]
    if unknown:
        cure = did_you_mean(unknown[0], runtime.info.attributes)
        raise DeclarationError("RK099", f"needs {unknown[0]!r}, which is no attribute", hint=cure or "Name attributes in needs.")
    if calculation.expression is None:
        return
    try:
        declared = as_expression(calculation.expression())
    except Exception as error:  # a lambda of the user can fail in any way
        what = f"its expression raised {type(error).__name__}: {error}"
        raise DeclarationError("RK099", what, hint="Correct calculated(lambda: ...).") from error
    if has_fragment(declared) and Capability.FRAGMENT not in runtime.store.capabilities:
        what = "has a fragment(...), which is SQL, and the data layer is no SQL database"
        raise DeclarationError("RK099", what, hint="Write it with methods of attributes, or as @calculation over loaded records.")
    arguments = {
        each.name: Param(each.name, each.type.python if each.type.python is str else None) for each in calculation.arguments
    }
    try:
        node = _run(Relating(_everything, _unknown).expression((runtime,), substitute(declared, arguments), of=calculation.name))
        read = runtime.conditions.value(node)
    except InvalidArgument as error:
        if not isinstance(declared, ManyOf) or not isinstance(error, NotInOneStore):
            raise DeclarationError("RK099", f"cannot be computed: {error}", hint=hint) from error
        return
    wanted = None if calculation.type is None else family_of(calculation.type)
    if wanted not in (None, Kind.ANY) and read.family not in (None, Kind.ANY, wanted):
        what = f"is declared as {calculation.type}, and its expression has values of another type"
        raise DeclarationError("RK099", what, hint="Give the annotation the type of the value.")
