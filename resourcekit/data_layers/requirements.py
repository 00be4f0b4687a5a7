"""What a data layer must be able to do for the actions that a resource declares. It knows no store."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from resourcekit.data_layers.base import Capability, DataLayer
from resourcekit.declarations.action import Action, CreateAction, DestroyAction, ReadAction, UpdateAction
from resourcekit.dsl.finding import Finding
from resourcekit.resource_info import ResourceInfo

__all__ = ["missing_capabilities"]


def missing_capabilities(info: ResourceInfo, layer: DataLayer) -> Iterable[Finding]:
    """Return a finding for each declared action that the layer cannot carry out."""
    for action in info.actions.values():
        for capability in _needed(action):
            if capability not in layer.capabilities:
                yield Finding(
                    id="RK050",
                    what=f"needs {capability.value}, which {type(layer).__name__} cannot do",
                    cure="Choose another data layer for this resource, or change the action.",
                    path=("actions", action.name),
                    origin=action.origin,
                )


def _needed(action: Action) -> Iterator[Capability]:
    if isinstance(action, ReadAction) and (action.preparations or action.function is not None):
        yield Capability.FILTER
    if isinstance(action, CreateAction) and action.upsert is not None:
        yield Capability.UPSERT if action.upsert.where is None else Capability.UPSERT_WHERE
    if isinstance(action, UpdateAction):
        yield Capability.UPDATE_WHERE
    if isinstance(action, DestroyAction):
        yield Capability.UPDATE_WHERE if action.soft else Capability.DELETE_WHERE
    if action.transaction:
        yield Capability.TRANSACTION
