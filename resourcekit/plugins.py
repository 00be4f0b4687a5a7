"""Finds what installed packages announce. The only user of pluggy; it is never asked inside an action."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Mapping
from importlib import metadata
from typing import Any

import attrs
import pluggy

from resourcekit.dsl.extension import Extension
from resourcekit.errors import DeclarationError
from resourcekit.telemetry import logger

__all__ = ["Plugin", "hookimpl", "plugin_commands", "plugin_data_layer", "plugin_extension", "plugins"]

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


@attrs.frozen(kw_only=True)
class Plugin:
    """One installed plugin.

    name: of its entry point; package and version: of the distribution; error: why it is left out, ``""`` if it works.
    """

    name: str
    package: str
    version: str
    extensions: Mapping[str, type[Extension]] = attrs.field(factory=dict)
    data_layers: Mapping[str, type[Any]] = attrs.field(factory=dict)
    commands: tuple[Any, ...] = ()
    error: str = ""


_lock = threading.Lock()
_found: list[tuple[Plugin, ...]] = []


def plugins(*, again: bool = False) -> tuple[Plugin, ...]:
    """Return all installed plugins, the broken ones too; they are loaded at the first call (or ``again``).

    Raises DeclarationError RK060 for a broken one when RESOURCEKIT_PLUGINS_STRICT is set to 1.
    """
    with _lock:
        if again or not _found:
            _found[:] = [tuple(_load(entry) for entry in sorted(metadata.entry_points(group=GROUP), key=lambda each: each.name))]
        return _found[0]


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
            extensions=_merged(manager.hook.resourcekit_extensions()),
            data_layers=_merged(manager.hook.resourcekit_data_layers()),
            commands=tuple(command for commands in manager.hook.resourcekit_commands() for command in commands),
        )
    except Exception as error:  # a plugin can fail in any way; it must not take the application along
        text = f"{type(error).__name__}: {error}"
        if os.environ.get("RESOURCEKIT_PLUGINS_STRICT") == "1":
            hint = "Repair or remove the package, or unset RESOURCEKIT_PLUGINS_STRICT."
            raise DeclarationError("RK060", f"the plugin {entry.name} of {package} is broken: {text}", hint=hint) from error
        logger("plugins").warning("the plugin %s of %s is broken and left out: %s", entry.name, package, text)
        return Plugin(name=entry.name, package=package, version=version, error=text)


def _merged(mappings: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    return {name: value for mapping in mappings for name, value in mapping.items()}


def plugin_extension(name: str) -> type[Extension] | None:
    """Return the extension that a plugin registered under a name."""
    return next((plugin.extensions[name] for plugin in plugins() if name in plugin.extensions), None)


def plugin_data_layer(name: str) -> type[Any] | None:
    """Return the data layer class that a plugin registered under a name or URL scheme."""
    return next((plugin.data_layers[name] for plugin in plugins() if name in plugin.data_layers), None)


def plugin_commands() -> tuple[Any, ...]:
    """Return the click commands of all plugins."""
    return tuple(command for plugin in plugins() for command in plugin.commands)
