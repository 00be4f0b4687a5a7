"""The ``resourcekit`` command: reads what was typed, and hands over. It knows the commands, and nothing of their work."""

from __future__ import annotations

import os
import sys
import traceback
from io import TextIOWrapper
from pathlib import Path
from typing import Any

import click

from resourcekit.cli.doctoring import doctor
from resourcekit.cli.explaining import explain
from resourcekit.cli.page import print_error
from resourcekit.cli.plugging import plugins
from resourcekit.cli.supervising import supervise
from resourcekit.errors import ResourcekitError
from resourcekit.plugins import plugin_commands

__all__ = ["main"]


class _Main(click.Group):
    """A group whose further commands come from plugins, and whose errors are told without a traceback."""

    _shows_traceback = False

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands, those of plugins included."""
        return sorted({*super().list_commands(ctx), *(command.name for command in plugin_commands() if command.name)})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command; the core's own wins over a plugin's, and plugins are loaded for other names only."""
        found = super().get_command(ctx, cmd_name)
        return found or next((command for command in plugin_commands() if command.name == cmd_name), None)

    def invoke(self, ctx: click.Context) -> Any:
        """Remember how errors are to be told, then run the command."""
        self._shows_traceback = bool(ctx.params.get("traceback"))
        return super().invoke(ctx)

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run; an error of resourcekit is printed as one block, and the exit code is 2."""
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, TextIOWrapper):
                # A name that the terminal cannot show must not end the command.
                stream.reconfigure(errors="replace")
        try:
            return super().main(*args, **kwargs)
        except ResourcekitError as error:
            if self._shows_traceback:
                traceback.print_exc()
            else:
                print_error(error)
            sys.exit(2)


@click.group(cls=_Main, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--traceback",
    is_flag=True,
    envvar="RESOURCEKIT_TRACEBACK",
    help="Show where an error was raised. Or set RESOURCEKIT_TRACEBACK=1.",
)
@click.version_option(package_name="resourcekit")
def main(*, traceback: bool) -> None:
    """See what resources became, find what is unsafe, and run their background work.

    APP is a module that can be imported from the current folder ("myapp.accounts", "myapp.**" with all below it), or
    "module:object" (a resource, a domain or a module).

    Exit codes: 0 done, 1 found something, 2 wrong usage.
    """
    del traceback  # read by the group itself
    here = str(Path.cwd())
    if here not in sys.path and os.curdir not in sys.path:
        sys.path.insert(0, here)


for _command in (doctor, explain, plugins, supervise):
    main.add_command(_command)
