"""``resourcekit supervise``: a supervisor as a process of its own, until a signal ends it. It knows no service."""

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

from resourcekit.cli.doctoring import STYLES
from resourcekit.cli.page import Page
from resourcekit.doctor import doctor
from resourcekit.engine.runtime import runtime_of
from resourcekit.supervisor import Health, ServiceStatus, Supervisor
from resourcekit.telemetry import logger

__all__ = ["supervise"]

_HEALTH_EVERY = 2.0
"""Seconds between two looks at health."""

_LONGEST_RESULT = 200
"""Characters of a result that a status line shows."""


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
    help="File that is there while all is healthy, written anew every two seconds; for probes.",
)
@click.pass_context
def supervise(context: click.Context, app: str, *, stop_timeout: float, health_file: Path | None) -> None:
    """Run the background services of APP until SIGINT or SIGTERM.

    Prints what doctor finds, and a line for each run. Exit code 1 where a service did not end in time; a second signal ends at once.
    """
    if health_file is not None and not health_file.absolute().parent.is_dir():
        raise click.BadParameter(f"there is no folder {str(health_file.parent)!r}; create it", param_hint="--health-file")
    page = Page()
    # The lines below tell the same; without a handler, failures would be on standard error a second time.
    logger("supervisor").addHandler(logging.NullHandler())
    # From the outset: as the first process of a container it would ignore a signal that comes while APP is imported.
    signals, restore = _listen()
    try:
        supervisor = Supervisor(
            app, on_run=lambda status: page.line(_line(status), "red" if status.last_error else ""), checkup=False
        )
        for status in supervisor.status():
            _ = runtime_of(status.resource).store  # settings that cannot be do not heal: refused now, as a usage error
        # Beside it: a store that does not answer holds up neither the work on the others nor a signal.
        threading.Thread(target=_check_up, args=(app, page), name="resourcekit: doctor", daemon=True).start()
        supervisor.start()
        for status in supervisor.status():
            page.line(f"{_name(status)}: every {status.interval}, first at {_shown(status.next_due)}")
        page.line("Supervising; Ctrl-C ends it.", "dim")
        number = _wait(signals, supervisor, health_file)
    finally:
        restore()
        if health_file is not None:
            health_file.unlink(missing_ok=True)
    page.line(f"{signal.Signals(number).name}: stopping")
    all_ended = supervisor.stop(stop_timeout)
    page.line("Stopped." if all_ended else f"Stopped; a run that did not end within {stop_timeout:g} s was left behind.")
    context.exit(int(not all_ended))


def _wait(signals: SimpleQueue[int], supervisor: Supervisor, health_file: Path | None) -> int:
    """Return the first signal; until then tell of health, where it is asked for."""
    if health_file is None:
        return signals.get()
    while True:
        _tell_health(supervisor.health(), health_file)
        with contextlib.suppress(Empty):
            return signals.get(timeout=_HEALTH_EVERY)


def _tell_health(health: Health, file: Path) -> None:
    """Write the file anew, all of it at once; or remove it. One that has grown old tells that this process hangs."""
    if not health.is_healthy:
        file.unlink(missing_ok=True)
        return
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    draft.write_text(json.dumps(health.as_dict()), encoding="utf-8")
    draft.replace(file)


def _check_up(app: str, page: Page) -> None:
    """Print what doctor finds, a line each; ``resourcekit doctor`` tells more."""
    for finding in doctor(app, reads_all=False):
        place = " › ".join(part for part in (finding.resource, *finding.path) if part)
        page.line(f"{finding.level} {finding.id} {place}: {finding.sentence}", STYLES[finding.level])


def _listen() -> tuple[SimpleQueue[int], Callable[[], None]]:
    """Return where the first signal arrives, and what lets signals do again what they did before; the first one does so, too."""
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
    """Return a moment in UTC, to the second."""
    return "-" if moment is None else f"{moment:%Y-%m-%d %H:%M:%S}Z"


def _line(status: ServiceStatus) -> str:
    result = str(status.last_result)
    result = result if len(result) <= _LONGEST_RESULT else f"{result[:_LONGEST_RESULT]}..."
    what = f"failed with {status.last_error} ({status.failures} in a row)" if status.last_error else f"returned {result}"
    if status.state == "resting":
        what = f"crashed with {status.last_error} once too often, and rests"
    seconds = status.last_seconds or 0.0
    return f"{_shown(status.last_run)} {_name(status)} {what} after {seconds:.3f} s; next at {_shown(status.next_due)}"
