"""Collects what is unsafe or missing: from plugins, verifiers, data layers and the checks of extensions. It changes nothing.

Whatever it asks may fail; a failure is a finding too, and the rest is asked all the same.
"""

from __future__ import annotations

from collections.abc import Coroutine, Iterable, Iterator
from typing import Any, TypeVar
from uuid import UUID

import attrs

from resourcekit.data_layers.base import Aggregate, Capability
from resourcekit.discovery import find_resources
from resourcekit.dsl.extension import Check
from resourcekit.dsl.finding import Finding
from resourcekit.engine.drive import BothColours, drive
from resourcekit.errors import DeclarationError, DeclarationErrors, ResourcekitError
from resourcekit.flow.context import Colour, colour
from resourcekit.flow.expression import Field, Param, all_of
from resourcekit.plugins import plugins

__all__ = ["doctor", "examine"]

T = TypeVar("T")
_ANY_KEY: dict[type, Any] = {str: "", int: 0, UUID: UUID(int=0)}
"""A key of each type that can be looked up, whether or not it is there."""

_GRAVITY = {"error": 0, "warning": 1, "info": 2}


async def examine(*targets: object, reads_all: bool = True) -> tuple[Finding, ...]:
    """Return what is wrong with the resources that the targets name, the gravest first; see ``find_resources``.

    reads_all: ask also what may take the reading of a whole table, such as the age of the oldest record.
    Awaited, it finds data layers that hold up the event loop, too (RK082). Broken plugins (RK060), and names that two claim (RK061), are found whatever is named. A store that cannot be asked is RK080, a check that fails RK081.
    Raises DeclarationError RK070 to RK073 where the targets name no resource.
    """
    resources = find_resources(*targets)
    found = [*_broken_plugins(), *_declarations(resources)]
    for resource in resources:
        facts = resource.__info__
        told = tuple(await _health(resource))
        if not any(finding.level == "error" for finding in told):
            told += tuple(await _read(resource))
        found += (_placed(finding, facts.qualified_name) for finding in told)
        for options in facts.extensions.values():
            for kind in options.checks:
                if kind.reads_all and not reads_all:
                    continue
                found += (_placed(finding, facts.qualified_name) for finding in await _checked(kind, facts, options))
    return tuple(sorted(dict.fromkeys(found), key=lambda finding: _GRAVITY[finding.level]))


doctor = BothColours(examine)
"""``doctor(accounts)``, ``await doctor.aio("myapp.**")``: the findings, the gravest first; see ``examine``."""


def _broken_plugins() -> Iterator[Finding]:
    for plugin in plugins():
        if plugin.error:
            yield Finding(
                id="RK060",
                level="warning",
                what=f"the plugin {plugin.name} of {plugin.package} {plugin.version} is broken: {plugin.error}",
                why="It is left out: its extensions, data layers and commands are not there.",
                cure=f"Repair, update or remove {plugin.package}; RESOURCEKIT_PLUGINS_STRICT=1 raises the error with its place.",
                path=("plugins", plugin.name),
            )
    for clash in dict.fromkeys(clash for plugin in plugins() for clash in plugin.clashes):
        yield Finding(
            id="RK061",
            level="warning",
            what=str(clash),
            why="The name is served to nobody, because which of the two is meant cannot be told.",
            cure="Give the class itself instead of its name, or remove one of the packages.",
            path=("plugins",),
        )


def _declarations(resources: tuple[Any, ...]) -> Iterator[Finding]:
    """Find what sealing the domains refuses, and what verifiers warn of."""
    for resource in resources:
        try:
            resource.__runtime__.ready()
        except DeclarationError as error:
            yield from _refused(error)
        facts = resource.__info__
        for options in facts.extensions.values():
            for verifier in options.verifiers:
                told = verifier().verify(facts, options)
                yield from (_placed(finding, facts.qualified_name) for finding in told if finding.level != "error")


def _refused(error: BaseException) -> Iterator[Finding]:
    """Turn what a declaration raised into findings, each with its place as part of the text."""
    if isinstance(error, DeclarationErrors):
        for one in error.exceptions:
            yield from _refused(one)
    elif isinstance(error, DeclarationError):
        what = f"{error.what} ({error.origin})" if error.origin else error.what
        yield Finding(
            id=error.code,
            what=what,
            why="The resource cannot be used.",
            cure=error.hint,
            resource=error.resource,
            path=error.path,
        )


async def _health(resource: Any) -> Iterable[Finding]:
    try:
        return tuple(await _alone(resource.__runtime__.store.health()))
    except DeclarationError as error:
        return tuple(_refused(error))
    except Exception as error:  # a store can fail in any way, and that is a finding
        return (_unreachable(error),)


def _unreachable(error: Exception) -> Finding:
    return Finding(
        id="RK080",
        what=f"its store could not be asked: {_told(error)}",
        why="Neither its health nor anything in it can be reached.",
        cure="See that the store runs, can be reached from here, and lets this user in; then ask again.",
    )


async def _read(resource: Any) -> Iterable[Finding]:
    """Look a key up: find that the store cannot be read, or that it blocks the loop, and all other tasks, meanwhile."""
    store, facts = resource.__runtime__.store, resource.__info__
    types = {name: facts.attributes[name].type.python for name in facts.primary_key}
    # By its key, because every store finds one record so, however many there are.
    can_be_asked = store.place is not None and Capability.AGGREGATE in store.capabilities
    if not can_be_asked or not all(kind in _ANY_KEY for kind in types.values()):
        return ()
    key = all_of(*(Field(name) == Param(name) for name in types))
    some = {name: _ANY_KEY[kind] for name, kind in types.items()}
    others: list[bool] = []
    try:
        if colour.get() is not Colour.SYNC:
            import asyncio  # 30 ms that a program without tasks need not pay

            asyncio.get_running_loop().call_soon(others.append, True)
        await _alone(store.aggregate(store.compile(Aggregate("exists", key)), some))
    except Exception as error:  # a store can fail in any way, and that is a finding
        return (_unreachable(error),)
    if colour.get() is Colour.SYNC:
        return ()
    if others:
        return ()
    return (
        Finding(
            id="RK082",
            level="warning",
            what="its data layer blocks the event loop while it waits for the store",
            why="All other tasks of the program stand still meanwhile.",
            cure="Let the layer use an async driver, or do its work through off_loop; or call it from worker threads only.",
            path=("data_layer",),
        ),
    )


async def _checked(kind: type[Check], facts: Any, options: Any) -> Iterable[Finding]:
    try:
        return tuple(await _alone(kind().check(facts, options)))
    except DeclarationError as error:
        return tuple(_refused(error))
    except Exception as error:  # a check of a third party can fail in any way
        what = f"the check {kind.__name__} of {type(options).__name__} failed: {_told(error)}"
        cure = f"Repair the surroundings it needs, or report it to the author of {kind.__module__}."
        return (Finding(id="RK081", what=what, why="What it looks for stays unknown.", cure=cure),)


def _told(error: Exception) -> str:
    """Name the error; the text of a foreign one stays out, because it may hold anything."""
    text = str(error) if isinstance(error, ResourcekitError) else ""
    return ": ".join(part for part in (type(error).__name__, text) if part)


async def _alone(work: Coroutine[Any, Any, T]) -> T:
    """Await work on its own: in a sync call, what suspends fails alone."""
    return drive(work) if colour.get() is Colour.SYNC else await work


def _placed(finding: Finding, resource: str) -> Finding:
    return finding if finding.resource else attrs.evolve(finding, resource=resource)
