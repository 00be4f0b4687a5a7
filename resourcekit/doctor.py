"""Collects problems and unsafe settings from plugins, verifiers, data layers and the checks of extensions. It changes
nothing.

If a check fails, the failure is a finding, and the other checks still run.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import Any, TypeVar
from uuid import UUID

import attrs

from resourcekit.actions.drive import SyncAndAsync, drive_apart
from resourcekit.call_context import CallMode, Context, call_mode, context
from resourcekit.data_layers.base import Aggregate, Capability, Select
from resourcekit.discovery import find_resources
from resourcekit.domain import default_domain, refuse_shared
from resourcekit.dsl.compiler import domain_findings
from resourcekit.dsl.diagnostics import Finding
from resourcekit.dsl.extension import Check
from resourcekit.dsl.passes import Verifier
from resourcekit.errors import DeclarationError, DeclarationErrors, ResourcekitError, UnreadableValue
from resourcekit.expressions.nodes import Field, Param, all_of
from resourcekit.plugins import plugins
from resourcekit.signals import require_no_signal
from resourcekit.telemetry import logger

__all__ = [
    "doctor",
    "examine",
]

T = TypeVar("T")
_ANY_KEY: dict[type, Any] = {str: "", int: 0, UUID: UUID(int=0)}
"""A key of each type to look up; it need not exist."""

_UNREACHABLE = "RK080"
_MISSING = "RK110"
"""A table, or the file of a database, that does not exist."""

_GRAVITY = {"error": 0, "warning": 1, "info": 2}


async def examine(*targets: object, reads_all: bool = True, data: bool = False) -> tuple[Finding, ...]:
    """Return the findings for the resources that the targets name, the most serious first.

    An async call also finds data layers that block the event loop (RK082). Broken plugins (RK060), and names that two plugins
    claim (RK061), are found for any targets. A store that cannot be reached is RK080, a check that fails RK081.

    Args:
        targets: as for ``find_resources``.
        reads_all: also run checks that may read a whole table, such as the age of the oldest record.
        data: also read all records, and count those with a stored value that does not fit its type (RK083).

    Returns:
        The findings; errors first, then warnings, then information.

    Raises:
        DeclarationError: RK070 to RK073, if the targets name no resource.
    """
    resources = find_resources(*targets)
    found = [*_broken_plugins(), *_declarations(resources)]
    for resource in resources:
        facts = resource.__info__
        given = tuple(await _health(resource))
        if not any(finding.level == "error" for finding in given):
            given += tuple(await _read(resource))
        is_there = not any(finding.id in {_UNREACHABLE, _MISSING} for finding in given)
        if is_there:
            given += tuple(await _shared_place(resource))
        found += (_placed(finding, facts.qualified_name) for finding in given)
        if data and is_there and not any(finding.id == _UNREACHABLE for finding in given):
            found += [_placed(finding, facts.qualified_name) for finding in await _unreadable(resource)]
        for options in facts.extensions.values():
            for kind in options.checks:
                if kind.reads_all and not (reads_all and is_there):
                    continue
                found += (_placed(finding, facts.qualified_name) for finding in await _checked(kind, facts, options))
    return tuple(sorted(dict.fromkeys(found), key=lambda finding: _GRAVITY[finding.level]))


doctor = SyncAndAsync(examine)
"""``doctor(accounts)``, ``await doctor.aio("myapp.**")``: the findings, the most serious first; see ``examine``."""


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
            why="The name is ambiguous, so it is not used.",
            cure="Give the class itself instead of its name, or remove one of the packages.",
            path=("plugins",),
        )


def _declarations(resources: tuple[Any, ...]) -> Iterator[Finding]:
    """Return the errors that sealing the domains raises, and the warnings of verifiers."""
    for resource in resources:
        try:
            resource.__runtime__.ready()
        except DeclarationError as error:
            yield from _refused(error)
        facts = resource.__info__
        for options in facts.extensions.values():
            for verifier in options.verifiers:
                if verifier.verify is Verifier.verify:
                    continue
                given = verifier().verify(facts, options)
                yield from (_placed(finding, facts.qualified_name) for finding in given if finding.level != "error")
    for domain in dict.fromkeys(resource.__info__.options.get("domain") or default_domain for resource in resources):
        members = [resource.__info__ for resource in domain.resources]
        for finding in (*domain_findings(members), *domain_findings(members, at_start=True)):
            if finding.level != "error":
                yield _placed(finding, domain.name)


def _refused(error: BaseException) -> Iterator[Finding]:
    """Convert the error of a declaration to findings. The place is part of the text."""
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
        return tuple(await drive_apart(resource.__runtime__.store.health()))
    except DeclarationError as error:
        return tuple(_refused(error))
    except Exception as error:  # a store can fail in any way, and that is a finding
        require_no_signal(error)
        return (_unreachable(error),)


async def _shared_place(resource: Any) -> Iterable[Finding]:
    """Ask the server whether another resource keeps its records in the same place, however the two places are written."""
    try:
        await drive_apart(refuse_shared(resource))
    except DeclarationError as error:
        return tuple(_refused(error))
    except Exception as error:  # whether the store can be asked is found elsewhere
        require_no_signal(error)
    return ()


def _unreachable(error: Exception) -> Finding:
    return Finding(
        id=_UNREACHABLE,
        what=f"its store could not be asked: {_public_text(error)}",
        why="Neither its health nor anything in it can be reached.",
        cure="See that the store runs, can be reached from here, and lets this user in; then ask again.",
    )


async def _unreadable(resource: Any) -> Iterable[Finding]:
    """Read all records, and count those with a value that does not fit, by attribute."""
    store, counts = resource.__runtime__.store, Counter[str]()
    at_least = ""
    try:
        counts.update(await drive_apart(_count_unreadable(store)))
    except UnreadableValue as error:  # a store that reads whole rows only
        at_least = "at least "
        counts.update({finding.path: 1 for finding in error.findings})
    except Exception as error:  # a store can fail in any way, and that is a finding
        require_no_signal(error)
        return (_unreachable(error),)
    return tuple(
        Finding(
            id="RK083",
            what=f"{at_least}{count} record{'s have' if count > 1 else ' has'} a stored value of {name} that does not fit its type",
            why="Another program wrote it, or a member of an enum went. Reading the value raises UnreadableValue.",
            cure="Mend the values in the database, or declare the type as it was; the error names the key.",
            path=("attributes", name),
        )
        for name, count in sorted(counts.items())
    )


async def _count_unreadable(store: Any) -> Counter[str]:
    counts = Counter[str]()
    async for row in store.stream(store.compile(Select(partial=True)), {}):
        counts.update(list(getattr(row, "unreadable", ())))
    return counts


async def _read(resource: Any) -> Iterable[Finding]:
    """Look a key up, to detect a store that cannot be read, or one that blocks the event loop."""
    store, facts = resource.__runtime__.store, resource.__info__
    types = {name: facts.attributes[name].type.python for name in facts.primary_key}
    # By primary key, because every store finds one record by key without reading the others.
    can_be_asked = store.place is not None and Capability.AGGREGATE in store.capabilities
    if not can_be_asked or not all(kind in _ANY_KEY for kind in types.values()):
        return ()
    key = all_of(*(Field(name) == Param(name) for name in types))
    some = {name: _ANY_KEY[kind] for name, kind in types.items()}
    others: list[bool] = []
    try:
        if call_mode.get() is not CallMode.SYNC:
            import asyncio  # the import takes 30 ms, which programs without tasks need not pay

            asyncio.get_running_loop().call_soon(others.append, True)
        await drive_apart(store.aggregate(store.compile(Aggregate("exists", key)), some))
    except Exception as error:  # a store can fail in any way, and that is a finding
        require_no_signal(error)
        return (_unreachable(error),)
    if call_mode.get() is CallMode.SYNC:
        return ()
    if others:
        return ()
    return (
        Finding(
            id="RK082",
            level="warning",
            what="its data layer blocks the event loop while it waits for the store",
            why="All other tasks of the program wait meanwhile.",
            cure="Let the layer use an async driver, or do its work through off_loop; or call it from worker threads only.",
            path=("data_layer",),
        ),
    )


async def _checked(kind: type[Check], facts: Any, options: Any) -> Iterable[Finding]:
    try:
        returned: object = await drive_apart(kind().check(facts, options))
        found = tuple(returned) if isinstance(returned, Iterable) else (returned,)
        if all(isinstance(each, Finding) for each in found):
            return found
        what = f"the check {kind.__name__} of {type(options).__name__} must return findings, not {type(returned).__name__}"
        return (Finding(id="RK081", what=what, cure=f"Report it to the author of {kind.__module__}."),)
    except DeclarationError as error:
        return tuple(_refused(error))
    except Exception as error:  # a check of a third party can fail in any way
        require_no_signal(error)
        what = f"the check {kind.__name__} of {type(options).__name__} failed: {_public_text(error)}"
        cure = f"Repair the deployment that the check needs, or report it to the author of {kind.__module__}."
        return (Finding(id="RK081", what=what, why="What it looks for stays unknown.", cure=cure),)


def _public_text(error: Exception) -> str:
    """Return the name of the error. The text is included only for errors of resourcekit: other texts may contain a secret."""
    text = str(error) if isinstance(error, ResourcekitError) else ""
    return ": ".join(part for part in (type(error).__name__, text) if part)


def _placed(finding: Finding, resource: str) -> Finding:
    return finding if finding.resource else attrs.evolve(finding, resource=resource)


_log = logger("doctor")
_LEVELS = {"error": logging.ERROR, "warning": logging.WARNING, "info": logging.INFO}
_STARTUP_CHECK_LIMIT = timedelta(seconds=2)
"""For all stores together: a start does not wait for stores that do not answer."""


async def run_startup_check(targets: tuple[object, ...]) -> None:
    """Log each finding at its level. Checks that may read a whole table are left out, and errors are not raised."""
    try:
        with context(Context()), context(deadline=_STARTUP_CHECK_LIMIT):
            found = await examine(*targets, reads_all=False)
    except Exception as error:  # a failed check must not stop the start
        require_no_signal(error)
        _log.warning("doctor could not look at what is supervised: %s", type(error).__name__)
        return
    for finding in found:
        where = " › ".join(part for part in (finding.resource, *finding.path) if part)
        facts = {"finding": finding.id, "level": finding.level, "resource": finding.resource}
        _log.log(_LEVELS[finding.level], "%s %s: %s", finding.id, where, finding.sentence, extra={"resourcekit": facts})
