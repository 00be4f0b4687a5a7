"""``resourcekit docs``: prints the reference of an installed extension."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from resourcekit.dsl.extension import Extension
from resourcekit.dsl.lazy import is_reference, resolve
from resourcekit.errors import DeclarationError, did_you_mean
from resourcekit.plugins import plugins

__all__ = ["docs"]


@click.command()
@click.argument("plugin", metavar="PLUGIN")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Write the page to this file.")
def docs(plugin: str, *, output: Path | None) -> None:
    """Print the reference of an extension as Markdown: options, builders, attributes, actions, functions, services.

    PLUGIN is the name of an installed plugin, of an extension or of a data layer that a plugin registered, or "module:Name".
    """
    from resourcekit.reference.extension_page import extension_page

    text = "\n".join(extension_page(kind, name) for name, kind in _kinds(plugin))
    if output is None:
        click.echo(text, nl=False)
    else:
        output.write_text(text, encoding="utf-8")
        click.echo(f"{output} is written.")


def _kinds(asked: str) -> list[tuple[str, type[Any]]]:
    """Return the extensions and data layers that a text names, each once. Raise DeclarationError RK007 if it names none."""
    if is_reference(asked):
        found = resolve(asked)
        if isinstance(found, type) and issubclass(found, Extension):
            return [("", found)]
        what, hint = f"{asked!r} is no extension class", "Name a class that inherits from Extension or DataLayer."
        raise DeclarationError("RK007", what, hint=hint)
    brought = [
        (plugin.name, name, kind) for plugin in plugins() for name, kind in {**plugin.extensions, **plugin.data_layers}.items()
    ]
    chosen = [(name, kind) for _, name, kind in brought if asked == name] or [
        (name, kind) for plugin_name, name, kind in brought if asked == plugin_name
    ]
    if not chosen:
        broken = " ".join(f"The plugin {each.name} is broken: {each.error}." for each in plugins() if each.error)
        known = {each for plugin, name, _ in brought for each in (plugin, name)}
        hint = f"{did_you_mean(asked, known)} {broken} See the installed ones with: resourcekit plugins.".replace(
            "  ", " "
        ).strip()
        raise DeclarationError("RK007", f"no plugin, extension or data layer is named {asked!r}", hint=hint)
    first: dict[type[Any], str] = {}
    for name, kind in chosen:
        first.setdefault(kind, name)
    return [(name, kind) for kind, name in first.items()]
