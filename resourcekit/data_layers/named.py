"""Reads the data layers and extensions that a class statement or a domain names: classes, instances, names, URLs.

Open this module to accept another form of them.
"""

from __future__ import annotations

from typing import Any

from resourcekit.data_layers.base import DataLayer, Store
from resourcekit.data_layers.memory import Memory
from resourcekit.data_layers.rows.store import RowsStore
from resourcekit.data_layers.stored_info import must_convert, stored_info
from resourcekit.data_layers.typed_store import TypedStore
from resourcekit.dsl.extension import Extension
from resourcekit.dsl.lazy import is_reference, resolve
from resourcekit.errors import DeclarationError, ResourcekitError, did_you_mean
from resourcekit.plugins import plugin_data_layer, plugin_extension, plugins
from resourcekit.resource_info import ResourceInfo

__all__ = ["bound", "read_extension", "read_layer"]


def read_layer(given: Any) -> DataLayer:
    """Return the named data layer: an instance, a class, a name, a URL, or nothing (Memory)."""
    if given is None:
        return Memory()
    if isinstance(given, str):
        scheme = given.partition(":")[0].partition("+")[0]
        kind = plugin_data_layer(scheme)
        if kind is not None:
            return _made(kind, given)
        known = {name for plugin in plugins() for name in plugin.data_layers}
        raise DeclarationError(
            "RK008",
            f"no plugin serves the data layer {scheme!r}",
            path=("data_layer",),
            hint=did_you_mean(scheme, known) or "Give a data layer itself, for example SQL(...) or Memory().",
        )
    layer = given() if isinstance(given, type) and issubclass(given, DataLayer) else given
    if isinstance(layer, DataLayer):
        return layer
    what = f"data_layer must be a data layer, is {type(given).__name__}"
    hint = "Give Memory(), SQL(...), or another DataLayer."
    raise DeclarationError("RK008", what, path=("data_layer",), hint=hint)


def bound(layer: DataLayer, facts: ResourceInfo) -> Store:
    """Bind a data layer to a resource. Raise DeclarationError RK016 if its ``bind`` fails, or returns no complete store."""
    called = f"{type(layer).__name__}.bind"

    def wrong(what: str, hint: str) -> DeclarationError:
        text = f"{called} {what}"
        return DeclarationError("RK016", text, resource=facts.name, path=("data_layer",), origin=facts.origin, hint=hint)

    try:
        store: object = layer.bind(stored_info(facts) if must_convert(facts) else facts)
    except (ResourcekitError, Warning):
        raise
    except Exception as error:
        hint = f"Correct {called}, or report it to the author of {type(layer).__module__}."
        raise wrong(f"raised {type(error).__name__}: {error}", hint) from error
    if not isinstance(store, Store):
        raise wrong(f"must return a Store, not {type(store).__name__}", f"Correct {called}.")
    for name in ("capabilities", *(("table",) if isinstance(store, RowsStore) else ())):
        if not hasattr(store, name):
            kind = type(store).__name__
            raise wrong(f"returned a {kind} without {name}", f"Let {kind}.__init__ call super().__init__(...), or set {name}.")
    return TypedStore(store, facts) if must_convert(facts) else store


def _made(kind: type[Any], given: str) -> DataLayer:
    """Return the data layer of a plugin for a name or a URL. Raise RK008 if its class cannot make one, or makes something else."""
    try:
        layer = kind(given) if ":" in given else kind()
    except (ResourcekitError, Warning):
        raise
    except Exception as error:
        what = f"{kind.__name__} cannot be made for {given.partition(':')[0]!r}: {type(error).__name__}: {error}"
        hint = f"Correct {kind.__name__}: a plugin's layer is called with the URL alone, and without arguments for a name."
        raise DeclarationError("RK008", what, path=("data_layer",), hint=hint) from error
    if isinstance(layer, DataLayer):
        return layer
    what = f"the plugin serves {given.partition(':')[0]!r} with {kind.__name__}, which is no DataLayer"
    raise DeclarationError("RK008", what, path=("data_layer",), hint=f"Let {kind.__name__} inherit from DataLayer.")


def read_extension(given: Any) -> Extension:
    """Return the named extension: an instance, a class, a registered name, or ``"module:Name"``."""
    found = resolve(given, path=("extensions",)) if is_reference(given) else given
    found = plugin_extension(found) if isinstance(found, str) else found
    kind = found if isinstance(found, type) else type(found)
    if issubclass(kind, DataLayer):
        what = f"{kind.__name__} is a data layer, and was given as an extension"
        raise DeclarationError("RK007", what, path=("extensions",), hint=f"Write data_layer={kind.__name__}(...).")
    if isinstance(found, type) and issubclass(found, Extension):
        return found()
    if isinstance(found, Extension):
        return found
    if isinstance(given, str):
        known = {name for plugin in plugins() for name in plugin.extensions}
        broken = " ".join(f"The plugin {one.name} of {one.package} is broken: {one.error}." for one in plugins() if one.error)
        hint = f"{did_you_mean(given, known)} {broken} See the installed ones with: resourcekit plugins.".replace(
            "  ", " "
        ).strip()
        what = f"no plugin registered an extension named {given!r}"
        raise DeclarationError("RK007", what, path=("extensions",), hint=hint)
    what = f"an extension must be an Extension class, an instance or a name, is {type(given).__name__}"
    hint = "Write extensions=[TokenResource] or extensions=[TokenResource(...)]."
    raise DeclarationError("RK007", what, path=("extensions",), hint=hint)
