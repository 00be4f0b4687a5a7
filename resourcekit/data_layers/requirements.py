"""The capabilities that the actions of a resource need from its data layer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from resourcekit.data_layers.base import Capability, DataLayer
from resourcekit.declarations.action import Action, CreateAction, DestroyAction, ReadAction, UpdateAction
from resourcekit.dsl.diagnostics import Finding
from resourcekit.dsl.extension import Extension
from resourcekit.dsl.extension_checks import wrong_class
from resourcekit.dsl.service import Service
from resourcekit.resource_info import ResourceInfo

__all__ = ["missing_capabilities"]


def missing_capabilities(info: ResourceInfo, layer: DataLayer) -> Iterable[Finding]:
    """Yield a finding for each declared action, and each service, that needs a capability that the layer lacks.

    Two services of one name are found too: they would share a schedule lease, so that only one of them would run.
    """
    capabilities: object = layer.capabilities
    if not (isinstance(capabilities, (set, frozenset)) and all(isinstance(each, Capability) for each in capabilities)):
        what = f"capabilities must be a frozenset of Capability, is {capabilities!r}"
        raise wrong_class(type(layer), "capabilities", what, "Write capabilities = frozenset({Capability.FILTER, ...}).")
    for action in info.actions.values():
        for capability in _needed(action, info):
            if capability not in layer.capabilities:
                yield Finding(
                    id="RK050",
                    what=f"needs {capability.value}, which {type(layer).__name__} cannot do",
                    cure="Choose another data layer for this resource, or change the action.",
                    path=("actions", action.name),
                    origin=action.origin,
                )
    for attribute in info.attributes.values():
        if attribute.is_filled and Capability.FILLED not in layer.capabilities:
            yield Finding(
                id="RK050",
                what=f"needs {Capability.FILLED.value}, which {type(layer).__name__} has not",
                cure="Give it a default or a default_factory, such as uuid7 for a key, or choose another data layer.",
                path=("attributes", attribute.name),
                origin=attribute.origin,
            )
    owners: dict[str, type] = {}
    for kind, options in info.extensions.items():
        for service in options.services if isinstance(options, Extension) else ():
            yield from _lacking(service, kind, layer)
            given: object = service.name  # a property, if the name is computed
            name = given if isinstance(given, str) and given else service.__name__
            if name in owners:
                what = f"are two of this name, of {owners[name].__name__} and of {kind.__name__}"
                cure = "Give one of the two another name (class variable name), or leave one extension out."
                yield Finding(id="RK018", what=what, cure=cure, path=("services", name))
            owners.setdefault(name, kind)


def _lacking(service: type[Service], owner: type, layer: DataLayer) -> Iterator[Finding]:
    """Yield a finding for each capability that a service needs and the layer lacks. Raise RK015 for a value that is none."""
    for capability in service.needs:
        if not isinstance(capability, Capability):
            what = f"needs has {capability!r}, which is no capability"
            raise wrong_class(service, "needs", what, "Write needs = frozenset({Capability.LEASE}).")
        if capability not in layer.capabilities:
            yield Finding(
                id="RK050",
                what=f"of {owner.__name__} needs {capability.value}, which {type(layer).__name__} cannot do",
                cure="Choose another data layer for this resource, or leave the extension out.",
                path=("services", service.name or service.__name__),
            )


def _shapes(action: ReadAction) -> bool:
    return bool(action.preparations) or action.function is not None


def _needed(action: Action, info: ResourceInfo) -> Iterator[Capability]:
    if isinstance(action, ReadAction) and _shapes(action):
        yield Capability.FILTER
    if isinstance(action, CreateAction) and action.upsert is not None:
        hides = not action.upsert.ignores_read and any(one.primary and _shapes(one) for one in info.all_of(ReadAction).values())
        yield Capability.UPSERT if action.upsert.where is None and not hides else Capability.UPSERT_WHERE
    if isinstance(action, UpdateAction):
        yield Capability.UPDATE_WHERE
    if isinstance(action, DestroyAction):
        yield Capability.UPDATE_WHERE if action.soft else Capability.DELETE_WHERE
    if action.transaction:
        yield Capability.TRANSACTION
