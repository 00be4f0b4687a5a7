"""Archival: a destroyed record stays, marked with the moment. The options, and the steps and checks they lead to."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import ClassVar

import attrs

from resourcekit import filter, read, set_attribute, touch, update  # noqa: A004  # the field's word
from resourcekit.extending import (
    AddPrimaryRead,
    Attribute,
    DestroyAction,
    Extension,
    Field,
    Finding,
    Kind,
    Origin,
    ReadAction,
    ResourceInfo,
    State,
    Transformer,
    UpdateAction,
    Verifier,
    did_you_mean,
    named,
    option,
)

__all__ = ["Archival"]


class AddArchivedAt(Transformer):
    """Adds the timestamp, unless the resource declares it."""

    def transform(self, state: State, options: Archival) -> State:
        """Add an attribute of the configured name; ``None`` means "not archived"."""
        doc = "When the record was archived; None while it is not."
        return state.add_new(Attribute.of(options.attribute, datetime | None, default=None, doc=doc))


class ArchiveInsteadOfDestroy(Transformer):
    """Turns destroy actions into writes of the timestamp."""

    def transform(self, state: State, options: Archival) -> State:
        """Make each destroy action soft, but for those that the options exclude."""
        for name, action in state.all_of(DestroyAction).items():
            if name not in options.exclude_destroy_actions:
                changes = (*action.changes, touch(options.attribute))
                state = state.replace(attrs.evolve(action, soft=True, changes=changes))
        return state


class AddActions(Transformer):
    """Adds a read that shows what the others hide, and an update that takes a record out of the archive."""

    def transform(self, state: State, options: Archival) -> State:
        """Add both under their configured names; the resource's own actions of these names win."""
        is_archived = ~Field(options.attribute).is_none()
        show = read(preparations=[filter(is_archived)], doc="The archived records.")
        restore = update(
            changes=[set_attribute(options.attribute, None)],
            finds_with=options.archived_action_name,
            doc="Takes a record out of the archive.",
        )
        return state.add_new(named(options.archived_action_name, show), named(options.unarchive_action_name, restore))


class HideArchived(Transformer):
    """Keeps archived records out of every read, and so out of every update and destroy."""

    # Only what is there can be hidden from: the primary read may be one that the core adds.
    after: ClassVar[frozenset[type[Transformer]]] = frozenset({AddPrimaryRead, AddActions})

    def transform(self, state: State, options: Archival) -> State:
        """Give each read the condition, but for the archive's own and those that the options exclude."""
        shown = {options.archived_action_name, *options.exclude_read_actions}
        hide = filter(Field(options.attribute).is_none())
        for name, action in state.all_of(ReadAction).items():
            if name not in shown:
                state = state.replace(attrs.evolve(action, preparations=(hide, *action.preparations)))
        return state


class DestroyActionExists(Verifier):
    """There is something to turn into archiving."""

    def verify(self, info: ResourceInfo, options: Archival) -> Iterable[Finding]:
        """Find a resource whose destroy actions are missing, or all excluded."""
        if not info.all_of(DestroyAction).keys() - options.exclude_destroy_actions:
            what = "archives nothing: it has no destroy action, or excludes each"
            yield Finding(
                id="ARCHIVAL01", what=what, cure="Declare one: remove = destroy().", path=("actions",), origin=info.origin
            )


class NamesAreOfTheirKind(Verifier):
    """What the resource declares itself under one of our names is what we take it for."""

    def verify(self, info: ResourceInfo, options: Archival) -> Iterable[Finding]:
        """Find a timestamp that is none, and actions of another kind."""
        stamp = info.attributes.get(options.attribute)
        if stamp is None or stamp.type.kind is not Kind.DATETIME or not stamp.allow_none:
            yield _of_another_kind(info, options.attribute, "Attr[datetime | None]")
        for name, kind in ((options.archived_action_name, ReadAction), (options.unarchive_action_name, UpdateAction)):
            if not isinstance(info.actions.get(name), kind):
                yield _of_another_kind(info, name, f"{kind.kind} action")


class ExcludedActionsExist(Verifier):
    """Excluded actions exist."""

    def verify(self, info: ResourceInfo, options: Archival) -> Iterable[Finding]:
        """Find names that are no action of their kind, with a suggestion each."""
        groups = {
            "exclude_destroy_actions": (options.exclude_destroy_actions, info.all_of(DestroyAction)),
            "exclude_read_actions": (options.exclude_read_actions, info.all_of(ReadAction)),
        }
        for group, (names, actions) in groups.items():
            for name in sorted(names - actions.keys()):
                what, path = f"excludes {name!r}, which is no such action", ("Archival", group)
                yield Finding(id="ARCHIVAL03", what=what, cure=did_you_mean(name, actions), path=path, origin=options.origin)


def _of_another_kind(info: ResourceInfo, name: str, wanted: str) -> Finding:
    entity = next((entity for entity in info.entities if entity.name == name), None)
    origin: Origin = info.origin if entity is None else entity.origin
    cure = f"Declare it as {wanted}, rename it, or give the extension another name."
    return Finding(id="ARCHIVAL02", what=f"must be {wanted}", cure=cure, path=("Archival", name), origin=origin)


def _is_name(value: str) -> str | None:
    return None if value.isidentifier() and not value.startswith("_") else "must be a name, without an underscore in front"


@attrs.frozen(kw_only=True)
class Archival(Extension):
    """Destroy becomes "mark as archived": the record stays, no read shows it, and it can be brought back.

    Raises DeclarationError ARCHIVAL01 where there is nothing to archive by, ARCHIVAL02 where the resource uses one of the
    names for something else, and ARCHIVAL03 for an excluded action that does not exist.
    """

    attribute: str = option(default="archived_at", check=_is_name, doc="Name of the timestamp that marks an archived record.")
    archived_action_name: str = option(default="archived", check=_is_name, doc="Name of the read that shows archived records.")
    unarchive_action_name: str = option(default="unarchive", check=_is_name, doc="Name of the update that brings a record back.")
    exclude_destroy_actions: AbstractSet[str] = option(default=frozenset(), doc="Destroy actions that really remove records.")
    exclude_read_actions: AbstractSet[str] = option(default=frozenset(), doc="Reads that show archived records among the others.")

    transformers: ClassVar[tuple[type[Transformer], ...]] = (AddArchivedAt, ArchiveInsteadOfDestroy, AddActions, HideArchived)
    verifiers: ClassVar[tuple[type[Verifier], ...]] = (DestroyActionExists, NamesAreOfTheirKind, ExcludedActionsExist)
