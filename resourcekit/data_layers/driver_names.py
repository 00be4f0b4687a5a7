"""Private names of drivers that the data layers use, with the reason of each.

A maintainer opens it when a driver has a new version, or when a data layer needs a name that a driver does not document. The names
are checked when a driver is first used. docs/generate.py writes the tables into decision 0022.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from resourcekit.errors import DeclarationError

__all__ = ["DRIVERS", "DriverNames", "require_names"]


@attrs.frozen
class DriverNames:
    """The private names of one driver.

    versions: the range that pyproject.toml allows. owners: the classes that have the names, as ``module:Class``. names: each name with
    the reason why it is used. extra: the extra of resourcekit that installs the driver.
    """

    versions: str
    owners: tuple[str, ...]
    names: Mapping[str, str]
    extra: str | None = None

    def missing(self) -> list[str]:
        """Return the names that a class of the driver does not have, as ``Class.name``."""
        found = []
        for owner in self.owners:
            module, _, name = owner.partition(":")
            known = set(_names_of(getattr(importlib.import_module(module), name)))
            found += [f"{name}.{each}" for each in self.names if each not in known]
        return found


DRIVERS: Mapping[str, DriverNames] = {
    "aiosqlite": DriverNames(
        ">=0.22,<0.23",
        ("aiosqlite:Connection",),
        {
            "_conn": "the connection of sqlite3, for its limits and callbacks",
            "_execute": "calls a function in the thread of the connection, so that a statement takes one thread switch",
            "_thread": "a thread that does not keep the program from ending",
            "_tx": "the queue of the driver's thread, for a rollback or a stop that a cancelled task cannot wait for",
        },
    ),
    "asyncmy": DriverNames(
        ">=0.2.18,<0.3",
        ("asyncmy.connection:Connection",),
        {
            "_stream_broken": "whether an answer was cut off in the middle, so the connection must not be used again",
            "_transport": "close at once, and look at the socket of an idle connection",
        },
        extra="mysql",
    ),
    "psycopg": DriverNames(
        ">=3.2.13,<3.4",
        ("psycopg:Connection", "psycopg:AsyncConnection"),
        {"_prepared": "forget prepared statements that the server has lost"},
        extra="postgresql",
    ),
    "pymysql": DriverNames(
        ">=1.1.1,<1.3",
        ("pymysql.connections:Connection",),
        {
            "_execute_command": "end the deadline of one answer when the next command is sent",
            "_force_close": "close at once, without a message to a server that may be frozen",
            "_read_timeout": "end a call at its deadline; the public setting holds for the whole connection",
            "_rfile": "read one answer under one deadline, however many packets it has",
            "_sock": "look at the socket of an idle connection, and read from it again",
            "_write_timeout": "as _read_timeout, for what is sent",
        },
        extra="mysql",
    ),
    "redis": DriverNames(
        ">=8,<9",
        ("redis.connection:Connection",),
        {"_sock": "end a call at its deadline; the public setting is fixed when the connection is opened"},
        extra="redis",
    ),
    "redis.asyncio": DriverNames(
        ">=8,<9",
        ("redis.asyncio.connection:Connection",),
        {"_writer": "close at once when a task is cancelled in the middle of an answer"},
        extra="redis",
    ),
    "sqlalchemy": DriverNames(
        ">=2.0.36,<3",
        ("sqlalchemy.engine:Connection",),
        {
            "_commit_impl": "run waiting functions after the user's commit; the event comes before it",
            "_commit_twophase_impl": "as _commit_impl, for a prepared transaction",
            "_rollback_impl": "drop waiting functions after the user's rollback",
            "_rollback_twophase_impl": "as _rollback_impl, for a prepared transaction",
            "_savepoint_impl": "know the name of the user's savepoint; the event comes before it has one",
        },
    ),
    "sqlalchemy.pool": DriverNames(
        ">=2.0.36,<3",
        ("sqlalchemy.pool:QueuePool",),
        {
            "_max_overflow": "honour the overflow of an engine that the user made",
            "_recycle": "honour the lifetime of its connections",
        },
    ),
}
"""The private names in use, by driver. pyproject.toml allows the same versions."""


@functools.cache
def require_names(driver: str) -> None:
    """Check that the installed version of a driver has the names.

    Raises:
        DeclarationError: RK104 with the names that are missing, and the versions that are known to have them.
    """
    known = DRIVERS[driver]
    if missing := known.missing():
        package = driver.partition(".")[0]
        raise DeclarationError(
            "RK104",
            f"the installed version of {package} lacks what resourcekit needs: {', '.join(missing)}",
            path=("data_layer",),
            hint=f"Run: pip install '{package}{known.versions}'",
        )


def _names_of(owner: type) -> Iterator[str]:
    """Yield the attributes of a class, and the names that its methods use: attributes of instances are among them."""
    yield from dir(owner)
    for base in owner.__mro__:
        for value in vars(base).values():
            function: Any = getattr(value, "fget", None) or getattr(value, "__func__", value)
            if code := getattr(function, "__code__", None):
                yield from code.co_names
