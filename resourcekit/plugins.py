"""Finds what installed packages announce. The only user of pluggy; it is never asked inside an action."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import metadata
from typing import Any

import attrs
import pluggy

from resourcekit.dsl.extension import Extension
from resourcekit.errors import DeclarationError
from resourcekit.telemetry import logger

__all__ = ["Clash", "Plugin", "hookimpl", "plugin_commands", "plugin_data_layer", "plugin_extension", "plugins"]

GROUP = "resourcekit"
"""Entry-point group in which packages announce themselves."""

hookimpl = pluggy.HookimplMarker(GROUP)
"""Marks a function of a plugin as the answer to the hook of its name."""

_hookspec = pluggy.HookspecMarker(GROUP)


class Hooks:
    """The hooks. Each returns declarations; none is called inside an action."""

    @_hookspec
    def resourcekit_extensions(self) -> Mapping[str, type[Extension]]:
        """Return extensions by the name that ``extensions=["..."]`` uses."""
        raise NotImplementedError

    @_hookspec
    def resourcekit_data_layers(self) -> Mapping[str, type[Any]]:
        """Return data layer classes by name, or by the URL scheme that they serve."""
        raise NotImplementedError

    @_hookspec
    def resourcekit_commands(self) -> Iterable[Any]:
        """Return click commands for the ``resourcekit`` command."""
        raise NotImplementedError


@attrs.frozen
class Clash:
    """A name that several plugins claim for different things. kind: ``"extension"``, ``"data layer"`` or ``"command"``."""

    kind: str
    name: str
    claimed_by: tuple[str, ...]

    def __str__(self) -> str:
        """One sentence."""
        return f"the {self.kind} {self.name!r} is claimed by {' and '.join(self.claimed_by)}"

    def as_error(self) -> DeclarationError:
        """Return the error for whoever says the name."""
        hint = "Give the class itself instead of its name, or remove one of the packages."
        return DeclarationError("RK061", str(self), hint=hint)


@attrs.frozen(kw_only=True)
class Plugin:
    """One installed plugin.

    name: of its entry point; package and version: of the distribution; error: why it is left out, ``""`` if it works.
    clashes: names that another plugin claims, too; they are served to nobody.
    """

    name: str
    package: str
    version: str
    extensions: Mapping[str, type[Extension]] = attrs.field(factory=dict)
    data_layers: Mapping[str, type[Any]] = attrs.field(factory=dict)
    commands: tuple[Any, ...] = ()
    error: str = ""
    clashes: tuple[Clash, ...] = ()


_lock = threading.RLock()
_found: list[tuple[Plugin, ...]] = []
_loading: list[bool] = []


def plugins(*, again: bool = False) -> tuple[Plugin, ...]:
    """Return all installed plugins, the broken ones too; they are loaded at the first call (or ``again``).

    With RESOURCEKIT_PLUGINS_STRICT set to 1, raises DeclarationError RK060 for a broken one, and RK061 for a name that two
    of them claim.
    """
    with _lock:
        if _loading:
            hint = "Import the class, and name it itself."
            raise DeclarationError("RK060", "a plugin is asked for by its name while plugins are being loaded", hint=hint)
        if again or not _found:
            _loading.append(True)
            try:
                entries = sorted(metadata.entry_points(group=GROUP), key=lambda each: each.name)
                _found[:] = [_compared([_load(entry) for entry in entries])]
            finally:
                _loading.clear()
        return _found[0]


def _is_strict() -> bool:
    return os.environ.get("RESOURCEKIT_PLUGINS_STRICT") == "1"


def _load(entry: metadata.EntryPoint) -> Plugin:
    distribution = entry.dist
    package = distribution.name if distribution is not None else "?"
    version = distribution.version if distribution is not None else "?"
    try:
        manager = pluggy.PluginManager(GROUP)
        manager.add_hookspecs(Hooks)
        manager.register(entry.load(), name=entry.name)
        manager.check_pending()
        return Plugin(
            name=entry.name,
            package=package,
            version=version,
            extensions=_classes(manager.hook.resourcekit_extensions(), Extension, "an extension"),
            data_layers=_classes(manager.hook.resourcekit_data_layers(), Extension, "a data layer"),
            commands=_commands(manager.hook.resourcekit_commands()),
        )
    except (Exception, SystemExit) as error:  # a plugin can fail in any way; it must not take the application along
        text = f"{type(error).__name__}: {error}"
        if _is_strict():
            hint = "Repair or remove the package, or unset RESOURCEKIT_PLUGINS_STRICT."
            raise DeclarationError("RK060", f"the plugin {entry.name} of {package} is broken: {text}", hint=hint) from error
        logger("plugins").warning("the plugin %s of %s is broken and left out: %s", entry.name, package, text)
        return Plugin(name=entry.name, package=package, version=version, error=text)


def _classes(mappings: Iterable[Mapping[Any, Any]], wanted: type, called: str) -> dict[str, Any]:
    """Return what a hook answered, by name. Raises TypeError where it is not names of classes."""
    found = {name: value for mapping in mappings for name, value in mapping.items()}
    for name, value in found.items():
        if not (isinstance(name, str) and isinstance(value, type) and issubclass(value, wanted)):
            msg = f"{name!r} must be the name of {called}'s class, is that of {value!r}"
            raise TypeError(msg)
    return found


def _commands(answers: Iterable[Iterable[Any]]) -> tuple[Any, ...]:
    found = tuple(command for commands in answers for command in commands)
    for command in found:
        if not isinstance(getattr(command, "name", None), str):
            msg = f"{command!r} is no command with a name"
            raise TypeError(msg)
    return found


def _claims(plugin: Plugin) -> Iterator[tuple[tuple[str, str], Any]]:
    """Yield what a plugin claims: kind and name, and what it means by it."""
    yield from ((("extension", name), value) for name, value in plugin.extensions.items())
    yield from ((("data layer", name), value) for name, value in plugin.data_layers.items())
    yield from ((("command", command.name), command) for command in plugin.commands)


def _compared(found: Sequence[Plugin]) -> tuple[Plugin, ...]:
    """Note in each plugin the names that another one claims for something else. Raises RK061 where that is strict."""
    owners: dict[tuple[str, str], list[tuple[Plugin, Any]]] = {}
    for plugin in found:
        for claim, value in _claims(plugin):
            owners.setdefault(claim, []).append((plugin, value))
    clashes: dict[str, list[Clash]] = {}
    for (kind, name), claimed in owners.items():
        if all(value is claimed[0][1] for _, value in claimed):
            continue
        clash = Clash(kind, name, tuple(f"{plugin.name} of {plugin.package}" for plugin, _ in claimed))
        if _is_strict():
            raise clash.as_error()
        logger("plugins").warning("%s; it is served to nobody", clash)
        for plugin, _ in claimed:
            clashes.setdefault(plugin.name, []).append(clash)
    return tuple(attrs.evolve(plugin, clashes=tuple(clashes.get(plugin.name, ()))) for plugin in found)


def _find(kind: str, name: str) -> Any:
    """Return what a name means, ``None`` where nobody claims it. Raises RK061 where two claim it for different things."""
    for plugin in plugins():
        for clash in plugin.clashes:
            if (clash.kind, clash.name) == (kind, name):
                raise clash.as_error()
    return next((value for plugin in plugins() for claim, value in _claims(plugin) if claim == (kind, name)), None)


def plugin_extension(name: str) -> type[Extension] | None:
    """Return the extension that a plugin registered under a name. Raises DeclarationError RK061 for a name of two."""
    found: type[Extension] | None = _find("extension", name)
    return found


def plugin_data_layer(name: str) -> type[Any] | None:
    """Return the data layer class that a plugin registered under a name or URL scheme. Raises DeclarationError RK061."""
    found: type[Any] | None = _find("data layer", name)
    return found


def plugin_commands() -> tuple[Any, ...]:
    """Return the click commands of all plugins, but for those whose name two of them claim."""
    clashing = {clash.name for plugin in plugins() for clash in plugin.clashes if clash.kind == "command"}
    commands = dict.fromkeys(command for plugin in plugins() for command in plugin.commands)
    return tuple(command for command in commands if command.name not in clashing)
