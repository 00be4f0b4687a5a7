"""Changes that write to related records: manage, relate_actor, cascade_destroy. The engine (``actions.related_steps``) runs them."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, ClassVar, Literal

import attrs

from resourcekit.call_context import Context
from resourcekit.changeset import Changeset
from resourcekit.declarations.action import Action, CreateAction, UpdateAction
from resourcekit.declarations.argument import Argument
from resourcekit.declarations.change import Change
from resourcekit.declarations.value_type import ANYTHING, Kind, ValueType
from resourcekit.dsl.builder import checked_builder
from resourcekit.dsl.diagnostics import Origin
from resourcekit.dsl.option import MISSING, Missing
from resourcekit.dsl.passes import Transformer
from resourcekit.errors import DeclarationError, did_you_mean

__all__ = [
    "AddManagedArguments",
    "CascadeDestroy",
    "Manage",
    "RelateActor",
    "RelatedStep",
    "cascade_destroy",
    "manage",
    "relate_actor",
]

NoMatch = Literal["create", "relate", "ignore", "error"]
Match = Literal["update", "ignore", "unrelate", "destroy", "error"]
Absent = Literal["destroy", "unrelate", "ignore", "error"]
ManageKind = Literal["create", "append", "append_and_remove", "remove", "direct_control"]

_KINDS: dict[str, tuple[NoMatch, Match, Absent]] = {
    "create": ("create", "error", "ignore"),
    "append": ("relate", "ignore", "ignore"),
    "append_and_remove": ("relate", "ignore", "unrelate"),
    "remove": ("error", "unrelate", "ignore"),
    "direct_control": ("create", "update", "destroy"),
}
_CHOICES = {
    "kind": tuple(_KINDS),
    "on_no_match": ("create", "relate", "ignore", "error"),
    "on_match": ("update", "ignore", "unrelate", "destroy", "error"),
    "on_missing": ("destroy", "unrelate", "ignore", "error"),
}


@attrs.frozen(kw_only=True, eq=False)
class RelatedStep(Change):
    """A change over a relationship. What it does is compiled when the domain is sealed.

    relationship: its name. origin: place of the declaration.
    """

    called: ClassVar[str] = ""

    relationship: str
    origin: Origin = attrs.field(factory=Origin)

    def change(self, changeset: Changeset, context: Context) -> Changeset | Awaitable[Changeset]:
        """Write to the related records, or have a hook do it."""
        done: Changeset | Awaitable[Changeset] = self._compiled(changeset).change(changeset, context)
        return done

    def atomic(self, changeset: Changeset, context: Context) -> Changeset:
        """Have a hook write to the related records."""
        done: Changeset = self._compiled(changeset).atomic(changeset, context)
        return done

    def _compiled(self, changeset: Changeset) -> Any:
        return changeset.resource.__runtime__.related_steps[self]


@attrs.frozen(kw_only=True, eq=False)
class Manage(RelatedStep):
    """Writes related records from the input of an action; ``manage`` explains the facts."""

    called: ClassVar[str] = "manage"

    argument: str
    on_no_match: NoMatch
    on_match: Match
    on_missing: Absent
    match_by: str | None = None
    order_by: str | None = None
    create: str | None = None
    update: str | None = None
    destroy: str | None = None


@attrs.frozen(kw_only=True, eq=False)
class RelateActor(RelatedStep):
    """Sets the key of a belongs_to to the actor."""

    called: ClassVar[str] = "relate_actor"

    allow_none: bool = False


@attrs.frozen(kw_only=True, eq=False)
class CascadeDestroy(RelatedStep):
    """Destroys the related records first, by their own action."""

    called: ClassVar[str] = "cascade_destroy"

    action: str | None = None


def _chosen(given: str | None, option: str, otherwise: str) -> Any:
    if given is None:
        return otherwise
    choices = _CHOICES[option]
    if given in choices:
        return given
    what, cure = f"option {option!r} is {given!r}", f"Write one of {', '.join(map(repr, choices))}."
    raise DeclarationError(
        "RK100", what, path=("manage", option), origin=Origin.here(), hint=f"{did_you_mean(given, choices)} {cure}".strip()
    )


@checked_builder("manage")
def manage(
    relationship: str,
    *,
    kind: str | None = None,
    argument: str | None = None,
    on_no_match: str | None = None,
    on_match: str | None = None,
    on_missing: str | None = None,
    match_by: str | None = None,
    order_by: str | None = None,
    create: str | None = None,
    update: str | None = None,
    destroy: str | None = None,
) -> Change:
    """Write related records from an argument of the action: ``manage("tracks", kind="direct_control", order_by="position")``.

    An input without a record that it matches is a new one; a related record that no input matches is missing. All writes are
    part of the action's transaction: removals first, then updates, then inserts.

    Args:
        relationship: Name of the relationship.
        kind: ``"create"``: create each. ``"append"``: relate existing records. ``"append_and_remove"``: relate these, and no
            others. ``"remove"``: unrelate these. ``"direct_control"``: the input is what shall be: create, update and destroy.
        argument: Name of the input; that of the relationship unless given. The action gets it as a list of dicts (of a
            relationship to one record: a dict or ``None``) unless it declares the argument itself.
        on_no_match: For an input without a related record: ``"create"``, ``"relate"`` the record with this key, ``"ignore"`` or
            ``"error"``. It comes before ``kind``, as the next two do.
        on_match: For an input with a related record: ``"update"``, ``"ignore"``, ``"unrelate"``, ``"destroy"`` or ``"error"``.
        on_missing: For a related record without an input: ``"destroy"``, ``"unrelate"``, ``"ignore"`` or ``"error"``.
        match_by: The identity of the other resource that finds the record of an input; the primary key unless given.
        order_by: An attribute of the other resource that gets the place of each input, from 0 on.
        create: The action of the other resource that creates; its primary one, or the only one, unless given.
        update: The action that updates, relates and unrelates.
        destroy: The action that destroys.

    Returns:
        The change, for ``changes=[...]``.

    Raises:
        DeclarationError: RK100 for an option that cannot be.
    """
    if kind is None and on_no_match is None and on_match is None and on_missing is None:
        cure = f"Write kind= one of {', '.join(map(repr, _KINDS))}."
        raise DeclarationError("RK100", "manage has no kind", path=("manage", relationship), origin=Origin.here(), hint=cure)
    no_match, match, missing = _KINDS.get(_chosen(kind, "kind", ""), ("error", "error", "ignore"))
    return Manage(
        relationship=relationship,
        origin=Origin.here(),
        argument=argument or relationship,
        on_no_match=_chosen(on_no_match, "on_no_match", no_match),
        on_match=_chosen(on_match, "on_match", match),
        on_missing=_chosen(on_missing, "on_missing", missing),
        match_by=match_by,
        order_by=order_by,
        create=create,
        update=update,
        destroy=destroy,
    )


@checked_builder("relate_actor")
def relate_actor(relationship: str, *, allow_none: bool = False) -> Change:
    """Set a belongs_to to the actor of the call: ``relate_actor("author")``.

    Args:
        relationship: Name of the belongs_to.
        allow_none: Whether a call without an actor leaves the key as it is; otherwise it is Invalid.

    Returns:
        The change, for ``changes=[...]``.
    """
    return RelateActor(relationship=relationship, allow_none=allow_none, origin=Origin.here())


@checked_builder("cascade_destroy")
def cascade_destroy(relationship: str, *, action: str | None = None) -> Change:
    """Destroy the related records before the record, by their own action, so that hooks and notifiers learn of each.

    Args:
        relationship: Name of a has_one, a has_many, or a many_to_many, of which the records between the two are destroyed.
        action: Their destroy action; the primary one, or the only one, unless given.

    Returns:
        The change, for ``changes=[...]`` of a destroy action.
    """
    return CascadeDestroy(relationship=relationship, action=action, origin=Origin.here())


def _not_given() -> Missing:
    return MISSING


class AddManagedArguments(Transformer):
    """Adds the arguments of ``manage`` to the actions that do not declare them."""

    phase = "last"

    def transform(self, state: Any, options: object) -> Any:
        """Add the arguments that are missing."""
        for name, action in state.all_of(Action).items():
            if isinstance(action, (CreateAction, UpdateAction)):
                found = [one for one in action.changes if isinstance(one, Manage) and one.argument not in action.arguments]
                more = {one.argument: _argument(one, state.entities.get(one.relationship)) for one in found}
                if more:
                    state = state.replace(attrs.evolve(action, name=name, arguments={**action.arguments, **more}))
        return state


def _argument(step: Manage, relationship: Any) -> Argument:
    takes_keys = step.on_no_match != "create" or step.on_match in ("unrelate", "destroy")
    one = ANYTHING if takes_keys else ValueType(Kind.MAP, dict, item=ANYTHING)
    is_many = getattr(relationship, "is_many", True)
    kind = ValueType(Kind.LIST, list, item=one) if is_many else attrs.evolve(one, allow_none=True)
    doc = f"What is written to {step.relationship}."
    return Argument(name=step.argument, type=kind, default_factory=_not_given, origin=step.origin, doc=doc)
