"""Runs the steps of a write: changes and validations, sync or async, functions or objects. It knows no store."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from resourcekit.errors import FieldFinding
from resourcekit.flow.changeset import Changeset
from resourcekit.flow.context import Context

__all__ = ["apply_changes", "apply_validations", "as_change", "as_validation", "settled"]

Step = Callable[[Changeset, Context], Any]


async def settled(value: Any) -> Any:
    """Return a value, awaited first where it is awaitable."""
    return await value if inspect.isawaitable(value) else value


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
        result = change(changeset, context)
        if isinstance(result, Awaitable):
            result = await result
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
        if isinstance(found, str):
            findings.append(FieldFinding("", found))
        elif isinstance(found, FieldFinding):
            findings.append(found)
        elif found:
            findings.extend(found)
    return findings
