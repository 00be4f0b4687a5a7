"""Loads the plugins that installed packages announce, with pluggy. It never runs inside an action."""

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
from resourcekit.forks import free_after_fork
from resourcekit.telemetry import logger

__all__ = [
    "PORT_VERSION",
    "Clash",
    "Plugin",
    "hookimpl",
    "plugin_commands",
    "plugin_data_layer",
    "plugin_extension",
    "plugin_value_types",
    "plugins",
]

GROUP = "resourcekit"
"""The entry-point group in which packages announce themselves."""

PORT_VERSION = "1.0"
"""Version of the extension API and of the data layer port, as ``major.minor``. A plugin may name the version that it was written
for, and is loaded if the major version is the same and the minor version is not newer."""

hookimpl = pluggy.HookimplMarker(GROUP)
"""Marks a function of a plugin as the implementation of the hook of its name."""

_hookspec = pluggy.HookspecMarker(GROUP)


class Hooks:
    """The hooks of a plugin. Each returns declarations; none is called inside an action."""

    @_hookspec
    def resourcekit_port(self) -> str:
        """Return the version of the port that the plugin was written for: ``"1.0"``. It is asked first."""
        raise NotImplementedError

    @_hookspec
    def resourcekit_extensions(self) -> Mapping[str, type[Extension]]:
        """Return extensions by the name that ``extensions=["..."]`` uses."""
        raise NotImplementedError

    @_hookspec
    def resourcekit_data_layers(self) -> Mapping[str, type[Any]]:
        """Return data layer classes by name, or by the URL scheme that they serve."""
        raise NotImplementedError

    @_hookspec
    def resourcekit_value_types(self) -> Iterable[Any]:
        """Return value types (``value_type``) of classes, which annotations may then name: ``Attr[Money]``."""
        raise NotImplementedError

    @_hookspec
    def resourcekit_commands(self) -> Iterable[Any]:
        """Return click commands for the ``resourcekit`` command."""
        raise NotImplementedError


@attrs.frozen
class Clash:
    """A name that several plugins claim for different things. kind: ``"extension"``, ``"data layer"``, ``"command"`` or ``"value type"``."""

    kind: str
    name: str
    claimed_by: tuple[str, ...]

    def __str__(self) -> str:
        """Return the clash as one sentence."""
        return f"the {self.kind} {self.name!r} is claimed by {' and '.join(self.claimed_by)}"

    def as_error(self) -> DeclarationError:
        """Return the error for a use of the name."""
        hint = "Give the class itself instead of its name, or remove one of the packages."
        return DeclarationError("RK061", str(self), hint=hint)


@attrs.frozen(kw_only=True)
class Plugin:
    """One installed plugin.

    name: of its entry point.
    package, version: of the distribution.
    port: the version of the port that the plugin names; ``""`` if it names none.
    error: the reason why the plugin is not used; ``""`` if it works.
    clashes: names that another plugin claims, too. They cannot be used.
    """

    name: str
    package: str
    version: str
    port: str = ""
    extensions: Mapping[str, type[Extension]] = attrs.field(factory=dict)
    data_layers: Mapping[str, type[Any]] = attrs.field(factory=dict)
    commands: tuple[Any, ...] = ()
    value_types: tuple[Any, ...] = ()
    error: str = ""
    clashes: tuple[Clash, ...] = ()


_lock = free_after_fork(threading.RLock())
_found: list[tuple[Plugin, ...]] = []
_loading: list[bool] = []


def plugins(*, again: bool = False) -> tuple[Plugin, ...]:
    """Return all installed plugins, including broken ones. They are loaded at the first call, or if ``again``.

    With RESOURCEKIT_PLUGINS_STRICT set to 1, raise DeclarationError RK060 for a broken plugin, and RK061 for a name that two
    plugins claim.
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
        module = entry.load()
        manager.register(module, name=entry.name)
        port = _port(_answers(manager, "resourcekit_port"))
        manager.check_pending()
        _require_hooks(manager, module)
        return Plugin(
            name=entry.name,
            package=package,
            version=version,
            port=port,
            extensions=_classes(_answers(manager, "resourcekit_extensions"), Extension, "an extension"),
            data_layers=_classes(_answers(manager, "resourcekit_data_layers"), Extension, "a data layer"),
            commands=_commands(_answers(manager, "resourcekit_commands")),
            value_types=_value_types(_answers(manager, "resourcekit_value_types")),
        )
    except (Exception, SystemExit) as error:  # a plugin can fail in any way, and must not stop the application
        text = f"{type(error).__name__}: {error}"
        if _is_strict():
            hint = "Repair or remove the package, or unset RESOURCEKIT_PLUGINS_STRICT."
            raise DeclarationError("RK060", f"the plugin {entry.name} of {package} is broken: {text}", hint=hint) from error
        logger("plugins").warning("the plugin %s of %s is broken and left out: %s", entry.name, package, text)
        return Plugin(name=entry.name, package=package, version=version, error=text)


def _answers(manager: pluggy.PluginManager, hook: str) -> list[Any]:
    """Call a hook of a plugin and return its results. Raise TypeError for ``None``, which pluggy would leave out."""
    caller = getattr(manager.hook, hook)
    found: list[Any] = caller()
    if len(found) < len(caller.get_hookimpls()):
        msg = f"{hook} returns None; return its declarations"
        raise TypeError(msg)
    return found


def _require_hooks(manager: pluggy.PluginManager, module: object) -> None:
    """Raise ValueError if a plugin has no hook, or has a function that is named as one and is not marked."""
    marked = {caller.name for caller in manager.get_hookcallers(module) or ()}
    for name in vars(Hooks):
        if name.startswith(GROUP) and name not in marked and callable(getattr(module, name, None)):
            msg = f"{name} is not marked as a hook; write @hookimpl above it"
            raise ValueError(msg)
    if not marked:
        msg = f"{getattr(module, '__name__', module)} has no hook; the entry point must name the module with the hooks"
        raise ValueError(msg)


def _port(answers: Iterable[object]) -> str:
    """Return the version that a plugin names; ``""`` for none. Raise ValueError if this version of resourcekit does not serve it."""
    for given in answers:
        parts = given.split(".") if isinstance(given, str) else []
        if len(parts) != 2 or not all(part.isdecimal() for part in parts):
            msg = f"resourcekit_port must return a version such as {PORT_VERSION!r}, returns {given!r}"
            raise ValueError(msg)
        (major, minor), (our_major, our_minor) = map(int, parts), map(int, PORT_VERSION.split("."))
        if (major, minor) > (our_major, our_minor):
            cure = "a newer resourcekit"
        elif major != our_major:
            cure = "a newer version of the plugin"
        else:
            return str(given)
        msg = f"it was written for version {given} of the port, and this resourcekit has version {PORT_VERSION}; install {cure}"
        raise ValueError(msg)
    return ""


def _classes(mappings: Sequence[object], wanted: type, called: str) -> dict[str, Any]:
    """Return the results of a hook, by name. Raise TypeError if they are not names of classes."""
    for mapping in mappings:
        if not isinstance(mapping, Mapping):
            msg = f"a hook must return a mapping from names to classes, returns {mapping!r}"
            raise TypeError(msg)
    found = {name: value for mapping in mappings if isinstance(mapping, Mapping) for name, value in mapping.items()}
    for name, value in found.items():
        if not (isinstance(name, str) and isinstance(value, type) and issubclass(value, wanted)):
            msg = f"{name!r} must be the name of {called}'s class, is that of {value!r}"
            raise TypeError(msg)
    return found


def _commands(answers: Sequence[Any]) -> tuple[Any, ...]:
    for commands in answers:
        if not isinstance(commands, Iterable):
            msg = f"resourcekit_commands must return a list of commands, returns {commands!r}"
            raise TypeError(msg)
    found = tuple(command for commands in answers for command in commands)
    for command in found:
        if not isinstance(getattr(command, "name", None), str):
            msg = f"{command!r} is no command with a name"
            raise TypeError(msg)
    return found


def _value_types(answers: Sequence[Any]) -> tuple[Any, ...]:
    for types in answers:
        if not isinstance(types, Iterable):
            msg = f"resourcekit_value_types must return a list of value types, returns {types!r}"
            raise TypeError(msg)
    found = tuple(each for types in answers for each in types)
    for each in found:
        if not (hasattr(each, "python") and hasattr(each, "stored")):
            msg = f"{each!r} is no value type; write value_type(...)"
            raise TypeError(msg)
    return found


def _claims(plugin: Plugin) -> Iterator[tuple[tuple[str, str], Any]]:
    """Yield the names that a plugin claims: kind and name, with the value."""
    yield from ((("extension", name), value) for name, value in plugin.extensions.items())
    yield from ((("data layer", name), value) for name, value in plugin.data_layers.items())
    yield from ((("command", command.name), command) for command in plugin.commands)
    yield from ((("value type", each.python.__qualname__), each.python) for each in plugin.value_types)


def _compared(found: Sequence[Plugin]) -> tuple[Plugin, ...]:
    """Store in each plugin the names that another one claims for something else. Raise RK061 in strict mode."""
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
        logger("plugins").warning("%s; it is not used", clash)
        for plugin, _ in claimed:
            clashes.setdefault(plugin.name, []).append(clash)
    return tuple(attrs.evolve(plugin, clashes=tuple(clashes.get(plugin.name, ()))) for plugin in found)


def _find(kind: str, name: str) -> Any:
    """Return the value of a name; ``None`` if no plugin claims it. Raise RK061 if two claim it for different things."""
    for plugin in plugins():
        for clash in plugin.clashes:
            if (clash.kind, clash.name) == (kind, name):
                raise clash.as_error()
    return next((value for plugin in plugins() for claim, value in _claims(plugin) if claim == (kind, name)), None)


def plugin_extension(name: str) -> type[Extension] | None:
    """Return the extension that a plugin registered under a name. Raise DeclarationError RK061 if two plugins claim it."""
    found: type[Extension] | None = _find("extension", name)
    return found


def plugin_data_layer(name: str) -> type[Any] | None:
    """Return the data layer class that a plugin registered under a name or URL scheme. Raise DeclarationError RK061 for two."""
    found: type[Any] | None = _find("data layer", name)
    return found


def plugin_commands() -> tuple[Any, ...]:
    """Return the click commands of all plugins, except those whose name two plugins claim."""
    clashing = {clash.name for plugin in plugins() for clash in plugin.clashes if clash.kind == "command"}
    commands = dict.fromkeys(command for plugin in plugins() for command in plugin.commands)
    return tuple(command for command in commands if command.name not in clashing)


def plugin_value_types() -> tuple[Any, ...]:
    """Return the value types of all plugins; none while plugins are being loaded, whose modules may declare resources."""
    return () if _loading else tuple(each for plugin in plugins() for each in plugin.value_types)
