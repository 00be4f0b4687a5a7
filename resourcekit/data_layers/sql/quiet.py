"""Keeps the values of statements out of the log lines that drivers write by themselves. Knows no statement."""

from __future__ import annotations

import functools
import logging

__all__ = ["hush"]


class _WithoutValues(logging.Filter):
    """Lets each line pass, with the name of what a driver ran and without what it was run with."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Take the arguments off every partial among the line's values."""
        if isinstance(record.args, tuple):
            record.args = tuple(value.func if isinstance(value, functools.partial) else value for value in record.args)
        return True


def hush(logger: str) -> None:
    """Let a driver's logger tell what it does, never with which values: they may be keys (P9 of tokens)."""
    driver = logging.getLogger(logger)
    if not any(isinstance(known, _WithoutValues) for known in driver.filters):
        driver.addFilter(_WithoutValues())
