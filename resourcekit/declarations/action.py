"""Actions: what can be done with a resource. Plain facts; how they run is the engine's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal, Self

import attrs

from resourcekit.declarations.argument import Argument, read_signature
from resourcekit.declarations.value_type import ANYTHING, UnknownType, ValueType, read_annotation
from resourcekit.dsl.entity import Entity
from resourcekit.dsl.scope import Scope
from resourcekit.flow.expression import Expression

__all__ = ["Action", "CreateAction", "DestroyAction", "GenericAction", "ReadAction", "UpdateAction", "Upsert"]

Kind = Literal["create", "read", "update", "destroy", "action"]


@attrs.frozen(kw_only=True)
class Upsert:
    """What a create does when the record is there already.

    identity: the identity that decides; ``None``: the primary key.
    set: attribute to expression (over ``existing(...)`` and ``incoming(...)``); attributes not named stay. ``None``:
        all that the caller and the changes gave, as it came. Empty: the record stays as it is.
    given: attributes that are written besides ``set``, as they came, where the caller or a change gave them.
    where: update only where this holds of the stored record; else "skipped".
    """

    identity: str | None = None
    set: Mapping[str, Expression] | None = None
    given: tuple[str, ...] = ()
    where: Expression | None = None


@attrs.frozen(kw_only=True, eq=False)
class Action(Entity):
    """The facts that all kinds of action share.

    kind: one of five. arguments: inputs that are no attributes, in the order in which they may be given by position.
    function: what a decorated action runs; takes_class: its first parameter is the resource (a class method);
    parameters: the arguments that it takes; context_parameter: the name of its parameter for the Context, if it has one.
    primary: the one that is used where none is named.
    transaction: run inside a transaction even if one statement would do.
    notifiers: told after the commit, besides those of the resource.
    """

    section: ClassVar[str] = "actions"
    kind: ClassVar[Kind] = "action"

    arguments: Mapping[str, Argument] = attrs.field(factory=dict)
    function: Callable[..., Any] | None = None
    takes_class: bool = False
    parameters: tuple[str, ...] = ()
    context_parameter: str | None = None
    primary: bool = False
    transaction: bool = False
    notifiers: tuple[Any, ...] = ()

    def declared(self, name: str, annotation: object, scope: Scope) -> Self:
        """Take the name, and read the arguments out of the function's signature where there is one."""
        action = attrs.evolve(self, name=self.name or name)
        if action.function is None:
            return action
        takes_class = isinstance(action.function, classmethod)
        function = getattr(action.function, "__func__", action.function)
        leading = int(takes_class) + (action.kind != "action")
        signature = read_signature(function, scope, leading=leading)
        return attrs.evolve(
            action,
            function=function,
            takes_class=takes_class,
            parameters=tuple(one.name for one in signature.arguments),
            context_parameter=signature.context,
            doc=action.doc or (function.__doc__ or "").strip(),
            arguments={**{one.name: one for one in signature.arguments}, **action.arguments},
            **self._result_facts(signature.returns),
        )

    def _result_facts(self, returns: object) -> dict[str, Any]:
        return {}


@attrs.frozen(kw_only=True, eq=False)
class _WriteAction(Action):
    """What creates, updates and destroys share.

    accept: attributes that the caller may give; none unless said.
    changes: set values, each getting the changeset of the one before; functions ``(changeset, context)`` or objects.
    validations: look at the changeset once all changes are done; all of them run, and what they find comes together.
    """

    accept: tuple[str, ...] = ()
    changes: tuple[Any, ...] = ()
    validations: tuple[Any, ...] = ()


@attrs.frozen(kw_only=True, eq=False)
class CreateAction(_WriteAction):
    """Stores a new record; with ``upsert``, or updates the one that is there."""

    kind: ClassVar[Kind] = "create"
    upsert: Upsert | None = None


@attrs.frozen(kw_only=True, eq=False)
class UpdateAction(_WriteAction):
    """Changes a record.

    require_atomic: refuse, at declaration, changes that must read first.
    finds_with: the read action that shows which records there are to write to; the primary one unless named.
    """

    kind: ClassVar[Kind] = "update"
    require_atomic: bool = False
    finds_with: str | None = None


@attrs.frozen(kw_only=True, eq=False)
class DestroyAction(_WriteAction):
    """Removes a record. ``soft``: its changes are written instead, and the record stays. The rest: see UpdateAction."""

    kind: ClassVar[Kind] = "destroy"
    soft: bool = False
    require_atomic: bool = False
    finds_with: str | None = None


@attrs.frozen(kw_only=True, eq=False)
class ReadAction(Action):
    """Finds records.

    preparations: shape the query, each getting that of the one before. get: at most one record is meant.
    """

    kind: ClassVar[Kind] = "read"
    preparations: tuple[Any, ...] = ()
    get: bool = False


@attrs.frozen(kw_only=True, eq=False)
class GenericAction(Action):
    """Runs a function and returns its result, cast to ``returns``."""

    kind: ClassVar[Kind] = "action"
    returns: ValueType = ANYTHING

    def _result_facts(self, returns: object) -> dict[str, Any]:
        try:
            return {"returns": read_annotation(returns)}
        except UnknownType:  # a class of the application's own: returned as it is
            return {}
