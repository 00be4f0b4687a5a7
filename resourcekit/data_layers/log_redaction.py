"""Removes values of records from log lines of drivers and event loops; promise P9 (no secrets in logs)."""

from __future__ import annotations

import functools
import logging
import re
from typing import Any

__all__ = ["redact"]


class _WithoutValues(logging.Filter):
    """Keeps each line, with the name of the function that a driver ran and the type of an error, but without their values."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Replace each partial in the arguments by its function, and each error by the name of its type."""
        if isinstance(record.args, tuple):
            record.args = tuple(map(_bare, record.args))
        _drop_errors(record)
        return True


class _WithoutText(logging.Filter):
    """For a driver that logs warnings of the server, which quote values. Only the fact that there was a warning is logged."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Replace the text of the line."""
        if record.msg is not _HIDDEN:
            record.msg, record.args = _HIDDEN, ()
            _drop_errors(record)
        return True


class _WithoutResults(logging.Filter):
    """For asyncio, which logs arguments of callbacks and results of futures in debug mode and in lines about lost errors."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Remove arguments of callbacks, results of futures, and the text of driver errors."""
        if isinstance(record.args, tuple):
            record.args = tuple(_without_results(value) if isinstance(value, str) else _bare(value) for value in record.args)
        if isinstance(record.msg, str):
            record.msg = _without_results(record.msg)
        if record.exc_info and record.exc_info[0] is not None and record.exc_info[0].__module__.startswith(_DRIVERS):
            record.msg = _EXCEPTION.sub("exception=...>", str(record.msg))
            _drop_errors(record)
        return True


_HIDDEN = "the server sent a warning (not shown: its text may hold values)"
_DRIVERS = ("sqlite3", "aiosqlite", "psycopg", "pymysql", "asyncmy", "sqlalchemy", "redis")
_CALLBACK = re.compile(r"(<(?:Timer)?Handle\b[^(]*)\(.*\)", re.DOTALL)
_RESULT, _EXCEPTION = re.compile(r"\bresult=.*"), re.compile(r"\bexception=.*")
_FILTERS: dict[str, type[logging.Filter]] = {"asyncmy": _WithoutText, "asyncio": _WithoutResults}


def _without_results(text: str) -> str:
    if "Handle" not in text and "result=" not in text:
        return text
    return _RESULT.sub("result=...>", _CALLBACK.sub(r"\1(...)", text))


def _bare(value: Any) -> Any:
    if isinstance(value, functools.partial):
        return value.func
    return type(value).__name__ if isinstance(value, BaseException) else value


def _drop_errors(record: logging.LogRecord) -> None:
    record.exc_info = record.exc_text = None


def redact(*loggers: str) -> None:
    """Add filters to third-party loggers that keep values out of their lines."""
    for name in loggers:
        kind, other = _FILTERS.get(name, _WithoutValues), logging.getLogger(name)
        if not any(isinstance(known, kind) for known in other.filters):
            other.addFilter(kind())
