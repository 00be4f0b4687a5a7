"""``resourcekit supervise``: runs a supervisor as a process of its own, until a signal ends it."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import threading
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from queue import Empty, SimpleQueue

import click

from resourcekit.actions.runtime import runtime_of
from resourcekit.cli.doctor import STYLES
from resourcekit.cli.page import Page
from resourcekit.doctor import doctor
from resourcekit.supervisor import Health, ServiceStatus, Supervisor
from resourcekit.telemetry import logger

__all__ = ["supervise"]

_HEALTH_EVERY = 2.0
"""Seconds between two health checks."""

_LONGEST_RESULT = 200
"""Most characters of a result in a status line."""


@click.command()
@click.argument("app", metavar="APP")
@click.option(
    "--stop-timeout",
    type=click.FloatRange(min=0),
    default=5.0,
    show_default=True,
    help="Seconds that running services have to end.",
)
@click.option(
    "--health-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File that exists while all services are healthy, rewritten every two seconds. For alarms and readiness probes.",
)
@click.option(
    "--live-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File that exists while the workers run, even if services fail, rewritten every two seconds. For liveness probes.",
)
@click.pass_context
def supervise(context: click.Context, app: str, *, stop_timeout: float, health_file: Path | None, live_file: Path | None) -> None:
    """Run the background services of APP until SIGINT or SIGTERM.

    Prints the findings of doctor, and a line for each run. The exit code is 1 if a service did not end in time. A second
    signal ends the process immediately.
    """
    files = {"--health-file": health_file, "--live-file": live_file}
    for option, file in files.items():
        if file is not None and not file.absolute().parent.is_dir():
            raise click.BadParameter(f"there is no folder {str(file.parent)!r}; create it", param_hint=option)
    page = Page()
    # The lines below report failures; without a handler, logging would print them on standard error as well.
    logger("supervisor").addHandler(logging.NullHandler())
    # From the start: as the first process of a container it would ignore a signal that comes while APP is imported.
    signals, restore = _listen()
    try:
        supervisor = Supervisor(
            app, on_run=lambda status: page.line(_line(status), "red" if status.last_error else ""), startup_check=False
        )
        for status in supervisor.status():
            _ = runtime_of(status.resource).store  # settings that cannot work are refused now, as a usage error
        # In a thread of its own: a store that does not answer must not delay the other services or a signal.
        threading.Thread(target=_check_up, args=(app, page), name="resourcekit: doctor", daemon=True).start()
        supervisor.start()
        for status in supervisor.status():
            page.line(f"{_name(status)}: every {status.interval}, first at {_shown(status.next_due)}")
        page.line("Supervising; Ctrl-C ends it.", "dim")
        number = _wait(signals, supervisor, health_file, live_file)
    finally:
        restore()
        for file in files.values():
            if file is not None:
                file.unlink(missing_ok=True)
    page.line(f"{signal.Signals(number).name}: stopping")
    all_ended = supervisor.stop(stop_timeout)
    page.line("Stopped." if all_ended else f"Stopped; a run that did not end within {stop_timeout:g} s was left behind.")
    context.exit(int(not all_ended))


def _wait(signals: SimpleQueue[int], supervisor: Supervisor, health_file: Path | None, live_file: Path | None) -> int:
    """Return the first signal. Until then, report health and life to the files that are given."""
    if health_file is None and live_file is None:
        return signals.get()
    while True:
        health = supervisor.health()  # asks no store
        if health_file is not None:
            _tell(health, health_file, is_good=health.is_healthy)
        if live_file is not None:
            _tell(health, live_file, is_good=health.is_alive)
        with contextlib.suppress(Empty):
            return signals.get(timeout=_HEALTH_EVERY)


def _tell(health: Health, file: Path, *, is_good: bool) -> None:
    """Replace the file atomically, or remove it. A file with an old timestamp shows that this process hangs."""
    if not is_good:
        file.unlink(missing_ok=True)
        return
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    draft.write_text(json.dumps(health.as_dict()), encoding="utf-8")
    draft.replace(file)


def _check_up(app: str, page: Page) -> None:
    """Print the findings of doctor, one per line; ``resourcekit doctor`` shows more."""
    for finding in doctor(app, reads_all=False):
        place = " › ".join(part for part in (finding.resource, *finding.path) if part)
        page.line(f"{finding.level} {finding.id} {place}: {finding.sentence}", STYLES[finding.level])


def _listen() -> tuple[SimpleQueue[int], Callable[[], None]]:
    """Return the queue for the first signal, and a function that restores the former handlers; the first signal restores
    them, too.
    """
    # A SimpleQueue, because its put may interrupt its get; an Event would deadlock there.
    signals: SimpleQueue[int] = SimpleQueue()

    def restore() -> None:
        for number, handler in former.items():
            signal.signal(number, handler)

    def arrive(number: int, _frame: object) -> None:
        restore()
        signals.put(number)

    former = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in former:
        signal.signal(number, arrive)
    return signals, restore


def _name(status: ServiceStatus) -> str:
    return f"{status.service} of {status.resource.__name__}"


def _shown(moment: datetime | None) -> str:
    """Return a time in UTC, to the second."""
    return "-" if moment is None else f"{moment:%Y-%m-%d %H:%M:%S}Z"


def _line(status: ServiceStatus) -> str:
    result = str(status.last_result)
    result = result if len(result) <= _LONGEST_RESULT else f"{result[:_LONGEST_RESULT]}..."
    what = f"failed with {status.last_error} ({status.failures} in a row)" if status.last_error else f"returned {result}"
    if status.state == "resting":
        what = f"crashed with {status.last_error} once too often, and rests"
    seconds = status.last_seconds or 0.0
    return f"{_shown(status.last_run)} {_name(status)} {what} after {seconds:.3f} s; next at {_shown(status.next_due)}"
