"""``resourcekit plugins``: lists the plugins of installed packages."""

from __future__ import annotations

import click

from resourcekit.cli.page import Page
from resourcekit.plugins import Plugin
from resourcekit.plugins import plugins as installed

__all__ = ["plugins"]


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the plugins as a JSON list.")
@click.pass_context
def plugins(context: click.Context, *, as_json: bool) -> None:
    """List installed plugins, with their extensions, data layers and commands.

    The exit code is 1 if a plugin is broken, or two plugins claim the same name.
    """
    found = installed()
    page = Page()
    if as_json:
        page.json([_as_dict(plugin) for plugin in found])
    elif found:
        page.table("Plugins", ("name", "package", "version", "brings"), [_row(plugin) for plugin in found])
    else:
        page.line("No plugin is installed.")
    context.exit(int(any(plugin.error or plugin.clashes for plugin in found)))


def _commands(plugin: Plugin) -> list[str]:
    return [str(command.name) for command in plugin.commands]


def _row(plugin: Plugin) -> tuple[str, ...]:
    kinds = (("extensions", plugin.extensions), ("data layers", plugin.data_layers), ("commands", _commands(plugin)))
    brings = "; ".join(f"{kind}: {', '.join(names)}" for kind, names in kinds if names)
    summary = "; ".join(filter(None, (brings, *(f"CLASH: {clash}" for clash in plugin.clashes))))
    return plugin.name, plugin.package, plugin.version, f"BROKEN: {plugin.error}" if plugin.error else summary


def _as_dict(plugin: Plugin) -> dict[str, object]:
    return {
        "name": plugin.name,
        "package": plugin.package,
        "version": plugin.version,
        "port": plugin.port,
        "extensions": list(plugin.extensions),
        "data_layers": list(plugin.data_layers),
        "commands": _commands(plugin),
        "error": plugin.error,
        "clashes": [str(clash) for clash in plugin.clashes],
    }
