"""Calculations of a resource: their arguments, their expressions, and the functions over records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from resourcekit.actions.runtime import Inputs, Runtime
from resourcekit.actions.steps import settled
from resourcekit.declarations.calculations import Calculation
from resourcekit.errors import FieldFinding, InvalidArgument, WrongResult
from resourcekit.expressions.nodes import Expression, as_expression
from resourcekit.expressions.rewriting import substitute

__all__ = ["check_arguments", "computed_of", "expression_of"]


def check_arguments(runtime: Runtime, calculation: Calculation, given: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the arguments, cast, with defaults. Raise InvalidArgument with a finding for each problem."""
    if any(isinstance(value, Expression) for value in given.values()):
        return given  # checked already, or placeholders of a declaration
    inputs = runtime.keep(("inputs of a calculation", calculation.name), Inputs, calculation.arguments)
    arguments, _, findings = inputs.bind(given)
    if findings:
        named = [FieldFinding(f"{calculation.name}.{each.path}", each.message) for each in findings]
        raise InvalidArgument(named, resource=runtime.info.name)
    return arguments


def expression_of(runtime: Runtime, calculation: Calculation, arguments: Mapping[str, Any]) -> Expression:
    """Return the expression of a calculation. Raise InvalidArgument for a function over records, which no store can compute."""
    declared = calculation.expression
    if declared is None:
        what = "is computed by a function over loaded records, so it can be loaded, and nothing can be asked of it; use calculated(...)"
        raise InvalidArgument(FieldFinding(calculation.name, what), resource=runtime.info.name)
    node: Expression = runtime.keep(("calculation", calculation.name), lambda: as_expression(declared()))
    return substitute(node, arguments) if arguments else node


async def computed_of(
    runtime: Runtime, calculation: Calculation, records: Sequence[Any], arguments: Mapping[str, Any]
) -> list[Any]:
    """Call the function of a calculation, and return one value for each record."""
    assert calculation.function is not None
    views = [SimpleNamespace(**{name: getattr(record, name) for name in calculation.needs}) for record in records]
    found = await settled(calculation.function(views, **arguments))
    if isinstance(found, (list, tuple)) and len(found) == len(records):
        return list(found)
    what = f"must return a list with one value for each of the {len(records)} records"
    place: Any = {"resource": runtime.info.name, "origin": calculation.origin, "path": (calculation.section, calculation.name)}
    raise WrongResult("RK056", what, hint="Return [... for record in records].", **place)
