"""Runs the steps of a write: changes and validations, sync or async, functions or objects."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import attrs

from resourcekit.call_context import Context, ambient_context, require_going_on
from resourcekit.changeset import Changeset
from resourcekit.declarations.change import AtomicChange
from resourcekit.errors import FieldFinding, WrongResult
from resourcekit.expressions.context_nodes import ContextValue
from resourcekit.expressions.context_values import has_late, with_facts
from resourcekit.expressions.nodes import Argument, Expression, Now
from resourcekit.expressions.rewriting import children, substitute

__all__ = [
    "apply_atomic",
    "apply_changes",
    "apply_validations",
    "as_change",
    "as_validation",
    "is_late",
    "known",
    "run_batch",
    "settled",
    "wrong_result",
]

Step = Callable[[Changeset, Context], Any]


async def settled(value: Any) -> Any:
    """Return the value that a user's code returned; await it first if it is awaitable."""
    if not inspect.isawaitable(value):
        return value
    result = await value
    require_going_on()
    return result


def as_change(step: Any) -> Step:
    """Return the function of a change that is given as an object or a function."""
    change: Step = getattr(step, "change", step)
    return change


def as_validation(step: Any) -> Step:
    """Return the function of a validation that is given as an object or a function."""
    validate: Step = getattr(step, "validate", step)
    return validate


async def apply_changes(changeset: Changeset, changes: Iterable[Step], context: Context) -> Changeset:
    """Run changes in order; each gets the changeset that the one before returned."""
    for change in changes:
        result = await settled(change(changeset, context))
        if not isinstance(result, Changeset):
            what = f"the change {_name_of(change)} must return the changeset, not {type(result).__name__}"
            raise wrong_result(changeset.resource, changeset.action, what, "End it with: return changeset.")
        changeset = _with_facts(result, context)
    return changeset


def apply_atomic(changeset: Changeset, change: AtomicChange, context: Context) -> Changeset:
    """Run the atomic form of a change. It returns values and expressions by attribute, or the changeset."""
    written = change.atomic(changeset, context)
    if isinstance(written, Changeset):
        return written
    if not isinstance(written, Mapping):
        kind = type(change).__qualname__
        what = f"the atomic form of {kind} must return a mapping or the changeset, not {type(written).__name__}"
        hint = "Return attribute to value or expression, or the changeset; it cannot be async."
        raise wrong_result(changeset.resource, changeset.action, what, hint)
    computed = {name: value for name, value in written.items() if isinstance(value, Expression) and not isinstance(value, Now)}
    plain = {name: value for name, value in written.items() if name not in computed}
    changeset = _with_facts(changeset.set_atomic(**computed), context) if computed else changeset
    return changeset.set(**plain) if plain else changeset


def known(node: Expression, changeset: Changeset) -> Expression:
    """Return a declared expression with the values of the arguments, the actor and the tenant of the call."""
    return with_facts(substitute(node, changeset.arguments), ambient_context())


def is_late(node: Expression) -> bool:
    """Return whether an expression has parts that only a call gives: arguments, the actor or the tenant."""
    return isinstance(node, (Argument, ContextValue)) or any(map(is_late, children(node)))


def _with_facts(changeset: Changeset, context: Context) -> Changeset:
    """Return a changeset whose expressions have the values of the actor and the tenant."""
    if not any(map(has_late, changeset.atomics.values())):
        return changeset
    return attrs.evolve(changeset, atomics={name: with_facts(node, context) for name, node in changeset.atomics.items()})


async def apply_validations(changeset: Changeset, validations: Iterable[Step], context: Context) -> list[FieldFinding]:
    """Run all validations and return their findings."""
    findings: list[FieldFinding] = []
    for validate in validations:
        found = await settled(validate(changeset, context))
        if found is not None:
            findings.extend(_findings_of(found, changeset, validate))
    return findings


def _findings_of(found: Any, changeset: Changeset, validate: Step) -> Iterable[FieldFinding]:
    """Convert the result of a validation to findings: a message, a finding, several of either, or the changeset that it
    rejected.
    """
    if isinstance(found, Changeset):
        return found.findings[len(changeset.findings) :]
    each = [found] if isinstance(found, (str, FieldFinding)) or not isinstance(found, Iterable) else list(found)
    if all(isinstance(one, (str, FieldFinding)) for one in each):
        return [FieldFinding("", one) if isinstance(one, str) else one for one in each]
    what = (
        f"the validation {_name_of(validate)} must return a text, findings, the changeset or nothing, not {type(found).__name__}"
    )
    raise wrong_result(changeset.resource, changeset.action, what, "Return the message of the finding, or None.")


def _name_of(step: Any) -> str:
    return str(getattr(step, "__qualname__", type(step).__name__))


def wrong_result(resource: Any, action: str, what: str, hint: str) -> WrongResult:
    """Return the error for a function of an action that returned a value of a wrong type."""
    info = getattr(resource, "__info__", None)
    declared = None if info is None else info.actions.get(action)
    place = {"resource": getattr(info, "name", ""), "origin": getattr(declared, "origin", "")}
    return WrongResult("RK056", what, path=("actions", action), hint=hint, **place)


async def run_batch(change: Any, changesets: list[Changeset], context: Context) -> list[Changeset]:
    """Run a change over a batch. Raise WrongResult if it returns something else than a changeset for each."""
    changed: object = await settled(change.batch(changesets, context))
    found = list(changed) if isinstance(changed, Iterable) else []
    if len(found) != len(changesets) or not all(isinstance(each, Changeset) for each in found):
        name, count = f"{type(change).__name__}.batch", len(changesets)
        what = f"{name} must return a changeset for each of the {count} that it gets, returned {type(changed).__name__}"
        raise WrongResult("RK056", what, path=("changes", type(change).__name__), hint="Return one for each, in the same order.")
    return found
