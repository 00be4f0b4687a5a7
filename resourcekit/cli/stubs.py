"""``resourcekit stubs``: writes stub files with the inputs of actions and with what extensions add, for type checkers."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from resourcekit.discovery import find_resources

__all__ = ["stubs"]


@click.command()
@click.argument("app", metavar="APP")
@click.option("--check", is_flag=True, help="Write nothing; exit with 1 if a stub file is missing or out of date.")
@click.pass_context
def stubs(context: click.Context, app: str, *, check: bool) -> None:
    """Write a .pyi file beside each module of APP that has resources with actions.

    Type checkers then flag wrong and misspelt inputs of actions, and know the attributes, actions and functions that extensions add. A stub file takes the place of its
    module for type checkers; write it again after each change of the module. --check reports an outdated file.
    """
    from resourcekit.reference.stubs import stub_of

    differs = False
    for module in dict.fromkeys(resource.__module__ for resource in find_resources(app)):
        text = stub_of(sys.modules[module])
        if not text:
            click.echo(f"{module} needs no stub.")
            continue
        file = Path(str(sys.modules[module].__file__)).with_suffix(".pyi")
        if check:
            is_current = file.exists() and file.read_text(encoding="utf-8") == text
            differs = differs or not is_current
            click.echo(f"{file} is {'up to date' if is_current else 'missing or out of date'}.")
        else:
            file.write_text(text, encoding="utf-8")
            click.echo(f"{file} is written.")
    context.exit(int(differs))
