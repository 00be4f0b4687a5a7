"""The ``resourcekit`` command: parses the command line and runs a subcommand."""

from __future__ import annotations

import os
import sys
import traceback
from io import TextIOWrapper
from pathlib import Path
from typing import Any

import click

from resourcekit.cli.docs import docs
from resourcekit.cli.doctor import doctor
from resourcekit.cli.explain import explain
from resourcekit.cli.inspect import inspect
from resourcekit.cli.page import print_error
from resourcekit.cli.plugins import plugins
from resourcekit.cli.stubs import stubs
from resourcekit.cli.supervise import supervise
from resourcekit.errors import ResourcekitError
from resourcekit.plugins import plugin_commands

__all__ = ["main"]


_WHOLE = 10_000
"""Characters of a command's summary in the list of commands; click cuts longer ones."""


class _Main(click.Group):
    """The main command. It adds the commands of plugins, and prints errors without a traceback."""

    _shows_traceback = False

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands, including those of plugins."""
        return sorted({*super().list_commands(ctx), *(command.name for command in plugin_commands() if command.name)})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command. A built-in one takes precedence, and plugins are loaded only for other names."""
        found = super().get_command(ctx, cmd_name)
        return found or next((command for command in plugin_commands() if command.name == cmd_name), None)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands with whole summaries, which break between words."""
        commands = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        rows = [(name, command.get_short_help_str(limit=_WHOLE)) for name, command in commands if command and not command.hidden]
        if rows:
            with formatter.section("Commands"):
                formatter.write_dl(rows)

    def invoke(self, ctx: click.Context) -> Any:
        """Store how to print errors, then run the command."""
        self._shows_traceback = bool(ctx.params.get("traceback"))
        return super().invoke(ctx)

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run the command. An error of resourcekit is printed as one block, and the exit code is 2."""
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, TextIOWrapper):
                # A character that the terminal cannot show must not end the command.
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
    """Show what a resource was compiled to, find unsafe settings, and run background work.

    APP is a module that can be imported from the current folder ("myapp.accounts", "myapp.**" with all below it), or
    "module:object" (a resource, a domain or a module).

    Exit codes: 0 done, 1 problems found, 2 wrong usage.
    """
    del traceback  # read by the main command
    here = str(Path.cwd())
    if here not in sys.path and os.curdir not in sys.path:
        sys.path.insert(0, here)


for _command in (docs, doctor, explain, inspect, plugins, stubs, supervise):
    main.add_command(_command)
