"""Actions: the declared operations of a resource, as facts. The engine (``resourcekit.actions``) runs them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal, Self

import attrs

from resourcekit.declarations.argument import Argument, read_signature
from resourcekit.declarations.structures import structure_of
from resourcekit.declarations.value_type import ANYTHING, UnknownType, ValueType, read_annotation
from resourcekit.dsl.entity import Entity
from resourcekit.dsl.scope import Scope
from resourcekit.errors import FieldFinding, InvalidArgument
from resourcekit.expressions.calls import checked_call
from resourcekit.expressions.nodes import Expression

__all__ = ["Action", "CreateAction", "DestroyAction", "GenericAction", "ReadAction", "UpdateAction", "Upsert"]

Kind = Literal["create", "read", "update", "destroy", "action"]


@attrs.frozen(kw_only=True)
class Upsert:
    """The behaviour of a create if the record exists already.

    identity: the identity that decides; ``None``: the primary key.
    set: attribute to expression (over ``existing(...)`` and ``incoming(...)``); attributes that are not named keep their
        values. ``None``: all values that the caller and the changes gave. Empty: the record stays unchanged.
    given: attributes that are written besides ``set``, with the given value, if the caller or a change gave them.
    where: update only if this condition holds for the stored record; else the action raises StaleRecord, and ``outcome`` is
        "skipped".
    ignores_read: also write to a record that the primary read hides. Otherwise such a record is a UniqueViolation.
    """

    identity: str | None = None
    set: Mapping[str, Expression] | None = None
    given: tuple[str, ...] = ()
    where: Expression | None = None
    ignores_read: bool = False

    def __attrs_post_init__(self) -> None:
        """Raise InvalidArgument for an identity that is no name."""
        given: object = self.identity
        if given is not None and not isinstance(given, str):
            name = getattr(given, "name", "") or "by_email"
            raise InvalidArgument(FieldFinding("identity", f"takes the name of an identity: Upsert(identity={name!r})"))


Upsert.__init__ = checked_call("Upsert", "its options are: identity, set, given, where, ignores_read")(Upsert.__init__)  # type: ignore[method-assign]


@attrs.frozen(kw_only=True, eq=False)
class Action(Entity):
    """The facts that all kinds of action share.

    kind: one of five.
    arguments: inputs that are not attributes, in the order in which they may be given by position.
    function: the function of a decorated action.
    takes_class: the first parameter of the function is the resource (a class method).
    parameters: the arguments that the function takes.
    context_parameter: the name of the function's parameter for the Context, if it has one.
    primary: the action that is used if no action is named.
    transaction: run inside a transaction even if one statement would be enough.
    notifiers: called after the commit, besides those of the resource.
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
        """Take the name, and read the arguments from the function's signature if there is one."""
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
    """The facts that creates, updates and destroys share.

    accept: attributes that the caller may give; none by default.
    changes: steps that set values, each with the changeset of the one before; functions ``(changeset, context)`` or objects.
    validations: checks of the changeset after all changes. All of them run, and their findings are reported together.
    """

    accept: tuple[str, ...] = ()
    changes: tuple[Any, ...] = ()
    validations: tuple[Any, ...] = ()


@attrs.frozen(kw_only=True, eq=False)
class CreateAction(_WriteAction):
    """Stores a new record; with ``upsert``, it may update the existing one."""

    kind: ClassVar[Kind] = "create"
    upsert: Upsert | None = None


@attrs.frozen(kw_only=True, eq=False)
class UpdateAction(_WriteAction):
    """Changes a record.

    require_atomic: refuse, at declaration, changes that must read first.
    finds_with: the read action that shows the records to write to; the primary one by default.
    """

    kind: ClassVar[Kind] = "update"
    require_atomic: bool = False
    finds_with: str | None = None


@attrs.frozen(kw_only=True, eq=False)
class DestroyAction(_WriteAction):
    """Removes a record.

    soft: write the changes instead of removing the record.
    require_atomic, finds_with: as for an update.
    """

    kind: ClassVar[Kind] = "destroy"
    soft: bool = False
    require_atomic: bool = False
    finds_with: str | None = None


@attrs.frozen(kw_only=True, eq=False)
class ReadAction(Action):
    """Finds records.

    preparations: steps that shape the query, each with the query of the one before.
    get: return at most one record.
    page_limit: the size of a page for which the caller gives no limit.
    page_limit_max: the largest limit that a caller may give.
    """

    kind: ClassVar[Kind] = "read"
    preparations: tuple[Any, ...] = ()
    get: bool = False
    page_limit: int | None = None
    page_limit_max: int | None = None


@attrs.frozen(kw_only=True, eq=False)
class GenericAction(Action):
    """Runs a function and returns its result, cast to ``returns``.

    returns_nothing: the function is annotated with ``-> None``; another result is an error.
    """

    kind: ClassVar[Kind] = "action"
    returns: ValueType = ANYTHING
    returns_nothing: bool = False

    def _result_facts(self, returns: object) -> dict[str, Any]:
        if returns is type(None):
            return {"returns_nothing": True}
        if isinstance(returns, type) and returns.__module__ != "builtins" and structure_of(returns) is not None:
            return {}  # a class of the application: returned without a cast
        try:
            return {"returns": read_annotation(returns)}
        except UnknownType:  # a class of the application: returned without a cast
            return {}
