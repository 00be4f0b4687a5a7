"""Runs the steps of a write: changes and validations, sync or async, functions or objects. It knows no store."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any

from resourcekit.engine.drive import require_going_on
from resourcekit.errors import FieldFinding
from resourcekit.flow.changeset import Changeset
from resourcekit.flow.context import Context

__all__ = ["apply_changes", "apply_validations", "as_change", "as_validation", "settled"]

Step = Callable[[Changeset, Context], Any]


async def settled(value: Any) -> Any:
    """Return what a user's code returned, awaited first where it is awaitable."""
    if not inspect.isawaitable(value):
        return value
    result = await value
    require_going_on()
    return result


def as_change(step: Any) -> Step:
    """Return the function of a change, given as an object or as a function."""
    change: Step = getattr(step, "change", step)
    return change


def as_validation(step: Any) -> Step:
    """Return the function of a validation, given as an object or as a function."""
    validate: Step = getattr(step, "validate", step)
    return validate


async def apply_changes(changeset: Changeset, changes: Iterable[Step], context: Context) -> Changeset:
    """Run changes in order; each gets what the one before returned."""
    for change in changes:
        result = await settled(change(changeset, context))
        if not isinstance(result, Changeset):
            name = getattr(change, "__qualname__", type(change).__name__)
            msg = f"the change {name} must return the changeset, not {type(result).__name__}"
            raise TypeError(msg)
        changeset = result
    return changeset


async def apply_validations(changeset: Changeset, validations: Iterable[Step], context: Context) -> list[FieldFinding]:
    """Run all validations and return what they found."""
    findings: list[FieldFinding] = []
    for validate in validations:
        found = await settled(validate(changeset, context))
        if found is not None:
            findings.extend(_findings_of(found, changeset, validate))
    return findings


def _findings_of(found: Any, changeset: Changeset, validate: Step) -> Iterable[FieldFinding]:
    """Read what a validation returned: a message, a finding, several of either, or the changeset that it rejected."""
    if isinstance(found, Changeset):
        return found.findings[len(changeset.findings) :]
    each = [found] if isinstance(found, (str, FieldFinding)) or not isinstance(found, Iterable) else list(found)
    if all(isinstance(one, (str, FieldFinding)) for one in each):
        return [FieldFinding("", one) if isinstance(one, str) else one for one in each]
    name = getattr(validate, "__qualname__", type(validate).__name__)
    msg = f"the validation {name} must return a text, findings, the changeset or nothing, not {type(found).__name__}"
    raise TypeError(msg)
