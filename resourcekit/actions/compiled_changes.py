"""The statement of a usual update or destroy, compiled once for each set of attributes that a caller gives.

Change this module if an update or a destroy is too slow. Most actions are made of built-in steps that do the same in each call:
set a constant or the time, add a number, compare a stored value. Their statement depends only on the names of the given
attributes, so a call has to fill in its values and nothing else. ``compile_change`` returns ``None`` for all other actions; the
caller then runs the steps one by one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from resourcekit.actions.casting import CastError
from resourcekit.actions.compiled_rows import SCALARS
from resourcekit.actions.computed import required_of
from resourcekit.actions.relating import is_plain
from resourcekit.actions.runtime import Runtime
from resourcekit.actions.steps import apply_atomic
from resourcekit.actions.unchanged import can_compare, changes
from resourcekit.call_context import Context
from resourcekit.changeset import NO_HOOKS, Changeset
from resourcekit.clock import utc_now
from resourcekit.data_layers.base import Delete, Plan, UnsupportedExpression, Update
from resourcekit.declarations.action import DestroyAction, UpdateAction
from resourcekit.declarations.change import is_fixed
from resourcekit.declarations.validation import is_comparison
from resourcekit.expressions.evaluation import compile_expression
from resourcekit.expressions.nodes import Expression, Now, Param, Value, all_of
from resourcekit.expressions.rewriting import children, fields_of, is_constant
from resourcekit.expressions.shape import Shaper
from resourcekit.results import WriteResult

__all__ = ["CompiledChange", "compile_change", "is_compilable"]

_CALL_TIME = datetime(1, 1, 1)  # noqa: DTZ001  # a placeholder for the time of the call, compared by identity
Touches = Mapping[str, Callable[[], Any]]


class CompiledChange(NamedTuple):
    """A statement, and how the values of a call get into it.

    write: the function of the store that runs it.
    given: the names of the given attributes, each with its parameter.
    constants: the values that are the same in each call, by parameter.
    made: parameters with the functions that make their values; they get the time of the call.
    tests: conditions that the given values must meet; if one does not hold, the steps find out what to say.
    is_compared: the statement writes only if something changes, so a count of zero may mean that nothing did.
    """

    plan: Plan
    write: Callable[[Plan, Mapping[str, Any]], Awaitable[WriteResult]]
    given: Sequence[tuple[str, str]]
    constants: Mapping[str, Any]
    made: Sequence[tuple[str, Callable[[datetime], Any]]]
    tests: Sequence[Callable[..., Any]]
    is_compared: bool

    def add_made(self, params: dict[str, Any]) -> None:
        """Add the values that are made at the time of the call. Raise CastError if one does not fit."""
        moment = utc_now()
        for param, make in self.made:
            params[param] = make(moment)

    def passes(self, values: Mapping[str, Any]) -> bool:
        """Return whether the given values meet the validations that look at them alone."""
        return all(test(values, {}, {}) for test in self.tests)


class _Given(NamedTuple):
    """A placeholder for the value that a caller gives for an attribute."""

    name: str


class _NotCompilable(Exception):
    """The statement depends on more than the names of the given attributes."""


def is_compilable(runtime: Runtime, action: UpdateAction | DestroyAction) -> bool:
    """Return whether an action consists of built-in steps that do the same in each call."""
    has_builtin_steps_only = all(map(is_fixed, action.changes)) and all(map(is_comparison, action.validations))
    has_more = action.function or action.transaction or action.arguments or set(action.accept) & set(runtime.key)
    return has_builtin_steps_only and not has_more


def compile_change(
    runtime: Runtime, action: UpdateAction | DestroyAction, names: Sequence[str], touches: Touches, *, is_notified: bool
) -> CompiledChange | None:
    """Return the statement of a usual action for these given attributes; ``None`` if the steps have to run in each call.

    touches: the attributes that each update sets. is_notified: notifiers want to know whether something changed.
    """
    try:
        return _Writer(runtime, action, names, touches, is_notified=is_notified).compiled()
    except (_NotCompilable, UnsupportedExpression, CastError):
        return None


class _Writer:
    """Runs the steps once, with a placeholder for each given value, and compiles what they did."""

    def __init__(
        self, runtime: Runtime, action: UpdateAction | DestroyAction, names: Sequence[str], touches: Touches, *, is_notified: bool
    ) -> None:
        self._runtime, self._action, self._names = runtime, action, names
        self._removes = isinstance(action, DestroyAction) and not action.soft
        self._touches, self._is_notified = touches, is_notified
        self._shaper = Shaper()
        self._tests: list[Callable[..., Any]] = []
        self._made: list[tuple[str, Callable[[datetime], Any]]] = []
        self._given: list[tuple[str, str]] = []

    def compiled(self) -> CompiledChange:
        """Return the statement."""
        changeset = self._after_steps()
        condition = None if changeset.condition is None else self._shaper.shape(changeset.condition)[0]
        whole = all_of(self._runtime.by_key, condition)
        if self._removes:
            return self._of(Delete(whole, returning=True), is_compared=False)
        names = {*changeset.values, *changeset.atomics}
        is_compared = bool(self._touches or self._is_notified)
        if not names or (is_compared and not can_compare(self._runtime, names)):
            raise _NotCompilable
        assignments = self._assignments(changeset)
        if is_compared:
            whole = all_of(whole, changes({name: assignments[name] for name in sorted(names)}))
        return self._of(Update(whole, assignments, returning=True), is_compared=is_compared)

    def _of(self, operation: Update | Delete, *, is_compared: bool) -> CompiledChange:
        store = self._runtime.store
        write = store.delete if self._removes else store.update
        constants = self._shaper.params
        return CompiledChange(store.compile(operation), write, self._given, constants, self._made, self._tests, is_compared)

    def _after_steps(self) -> Changeset:
        """Return the changeset with values, expressions and the condition of the statement."""
        values = {name: _Given(name) for name in self._names}
        where: dict[str, Any] = {"resource": self._runtime.resource, "action": self._action.name}
        changeset = Changeset("destroy" if self._removes else "update", values=values, moment=_CALL_TIME, **where)
        for change in self._action.changes:
            changeset = apply_atomic(changeset, change, Context())  # a fixed change has an atomic form
        written = {**changeset.values, **changeset.atomics}
        if changeset.hooks is not NO_HOOKS or changeset.findings or not written.keys() <= self._runtime.casts.keys():
            raise _NotCompilable
        for validation in self._action.validations:
            rule = validation.atomic(changeset, Context())
            if not is_plain(self._runtime, rule):
                raise _NotCompilable
            read = fields_of(rule)
            if read and all(isinstance(written.get(name), _Given) for name in read):
                self._tests.append(compile_expression(rule))
            elif read and not read & written.keys():
                changeset = changeset.where(rule)
            else:
                raise _NotCompilable
        for name, node in changeset.atomics.items():
            changeset = self._limited(changeset, name, node)
        return changeset

    def _limited(self, changeset: Changeset, name: str, node: Expression) -> Changeset:
        """Return a changeset with the condition under which a computed value may be stored."""
        runtime, attributes = self._runtime, self._runtime.info.attributes
        if name in runtime.key or is_constant(node) or not is_plain(runtime, node) or _has_placeholder(node):
            raise _NotCompilable
        required = required_of(attributes[name], runtime.casts[name], runtime.conditions.assigned(name, node), attributes)
        return changeset if required is None else changeset.where(required)

    def _assignments(self, changeset: Changeset) -> dict[str, Expression]:
        found: dict[str, Expression] = {}
        touched = {name: touch for name, touch in self._touches.items() if name not in changeset.atomics}
        for name, value in {**touched, **changeset.values, **changeset.atomics}.items():
            if name in self._runtime.key:
                raise _NotCompilable
            if name in changeset.atomics:
                found[name] = self._shaper.shape(self._runtime.conditions.assigned(name, changeset.atomics[name]))[0]
            elif name in changeset.values:
                found[name] = self._value(name, value)
            else:
                found[name] = self._moment(name) if value is utc_now else self._called(name, touched[name])
        return found

    def _value(self, name: str, value: Any) -> Expression:
        if isinstance(value, _Given):
            self._given.append((name, f"to {name}"))
            return Param(f"to {name}")
        if value is _CALL_TIME:
            return self._moment(name)
        if isinstance(value, Now) or (value is not None and self._runtime.info.attributes[name].type.kind not in SCALARS):
            raise _NotCompilable
        return self._shaper.place(self._runtime.casts[name](value))

    def _moment(self, name: str) -> Expression:
        self._made.append((f"to {name}", self._runtime.casts[name]))
        return Param(f"to {name}")

    def _called(self, name: str, function: Callable[[], Any]) -> Expression:
        cast = self._runtime.casts[name]
        self._made.append((f"to {name}", lambda _: cast(function())))
        return Param(f"to {name}")


def _has_placeholder(node: Expression) -> bool:
    is_one = isinstance(node, Value) and (isinstance(node.value, _Given) or node.value is _CALL_TIME)
    return is_one or any(map(_has_placeholder, children(node)))
