"""The command ``expunge``: sweeps once, tells how it went, and ends between two batches at a signal. It knows no store."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from resourcekit.errors import ResourcekitError
from resourcekit.extending import drive, find_resources
from resourcekit_tokens.results import ExpungeResult
from resourcekit_tokens.sweeping import sweep
from resourcekit_tokens.tokens import tokens_of

__all__ = ["expunge"]

_UNDONE = 1
"""Exit code: something is left to do."""


@click.command()
@click.argument("app", metavar="APP")
@click.option("--dry-run", is_flag=True, help="Count what would go, remove nothing.")
def expunge(app: str, dry_run: bool) -> None:  # a click flag
    """Remove the expired records of APP's token resources, once.

    For cron and Kubernetes. SIGINT or SIGTERM ends it after the batch that is going on, a second one at once. Exit code 1
    where a resource could not be swept, or not to its end.
    """
    resources = [resource for resource in find_resources(app) if _is_token_resource(resource)]
    if not resources:
        raise click.UsageError(f"{app} has no token resource.")
    whole = True
    with _told_to_stop() as stopped_by:
        for resource in resources:
            if stopped_by():
                break
            whole = _expunge(resource, stopped_by, dry_run=dry_run) and whole
        if name := stopped_by():
            click.echo(f"{name}: stopped; what is left goes with the next sweep.", err=True)
    sys.exit(0 if whole and not name else _UNDONE)


def _expunge(resource: Any, stopped_by: Callable[[], str], *, dry_run: bool) -> bool:
    """Sweep one resource and tell of it; return whether it went well. The others are swept in any case."""
    name = resource.__info__.qualified_name
    try:
        result = resource.expunge_expired(dry_run=True) if dry_run else _sweep(resource, stopped_by)
    except ResourcekitError as error:
        click.echo(f"{name}: failed: {type(error).__name__}: {error}", err=True)
        return False
    click.echo(f"{name}: {f'{result.removed} would go, {result.seconds:.2f} s' if dry_run else result}")
    return True


def _is_token_resource(resource: Any) -> bool:
    try:
        tokens_of(resource)
    except TypeError:
        return False
    return True


def _sweep(resource: Any, stopped_by: Callable[[], str]) -> ExpungeResult:
    """Sweep, with a bar where somebody watches; only for the bar the records are counted before."""

    async def proceed() -> bool:
        return not stopped_by()

    console = Console(stderr=True)
    if not console.is_terminal:
        return drive(sweep(tokens_of(resource), proceed=proceed))
    total = resource.expunge_expired(dry_run=True).removed
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(resource.__name__, total=total)

        def show(so_far: ExpungeResult) -> None:
            bar.update(task, completed=so_far.removed)

        return drive(sweep(tokens_of(resource), on_progress=show, proceed=proceed))


@contextmanager
def _told_to_stop() -> Generator[Callable[[], str]]:
    """Let the first signal be heard between two batches; yields a function that returns its name, ``""`` before it comes."""
    heard: list[str] = []

    def restore() -> None:
        for number, handler in former.items():
            signal.signal(number, handler)

    def hear(number: int, _frame: object) -> None:
        restore()  # the next one ends it at once
        heard.append(signal.Signals(number).name)

    former = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in former:
        signal.signal(number, hear)
    try:
        yield lambda: heard[0] if heard else ""
    finally:
        restore()
