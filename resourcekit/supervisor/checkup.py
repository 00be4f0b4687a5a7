"""Lets doctor look at what a supervisor is to run, when it starts, and logs what it finds. It finds nothing itself."""

from __future__ import annotations

import logging
from datetime import timedelta

from resourcekit.doctor import examine
from resourcekit.flow.context import Context, context
from resourcekit.telemetry import logger

__all__ = ["check_up"]

_log = logger("doctor")
_LEVELS = {"error": logging.ERROR, "warning": logging.WARNING, "info": logging.INFO}
_PATIENCE = timedelta(seconds=2)
"""For all stores together: a start does not wait for those that do not answer."""


async def check_up(targets: tuple[object, ...]) -> None:
    """Log each finding at its level; reads no whole table, and raises nothing."""
    try:
        with context(Context()), context(deadline=_PATIENCE):
            found = await examine(*targets, reads_all=False)
    except Exception as error:  # a start does not fail by what only looks on
        _log.warning("doctor could not look at what is supervised: %s", type(error).__name__)
        return
    for finding in found:
        where = " › ".join(part for part in (finding.resource, *finding.path) if part)
        facts = {"finding": finding.id, "level": finding.level, "resource": finding.resource}
        _log.log(_LEVELS[finding.level], "%s %s: %s", finding.id, where, finding.sentence, extra={"resourcekit": facts})
