"""Rows of PostgreSQL: cursors on the server, and loaders of psycopg for values that Python's types cannot hold, intervals and JSON.

psycopg fails the whole result for one datetime before the year 1 or after 9999, and takes a month for 30 days. These loaders return
the text of such a value, which its codec refuses, so that the attribute can be named.
"""

from __future__ import annotations

import datetime as dt
import functools
import re
from collections.abc import Sequence
from typing import Any

from resourcekit.data_layers.sql.dialects.base import ConnectionLike

__all__ = [
    "Portal",
    "span_of",
    "use",
    "use_for",
]

_REFUSED_PARTS = (b"mon", b"year")


_ISO = re.compile(
    r"P(?:(?P<days>-?\d+)D)?(?:T(?:(?P<hours>-?\d+)H)?(?:(?P<minutes>-?\d+)M)?(?:(?P<sign>-?)(?P<seconds>\d+)(?:\.(?P<part>\d+))?S)?)?"
)
_VERBOSE = re.compile(
    r"@(?: (?P<days>-?\d+) days?)?(?: (?P<hours>-?\d+) hours?)?(?: (?P<minutes>-?\d+) mins?)?"
    r"(?: (?P<sign>-?)(?P<seconds>\d+)(?:\.(?P<part>\d+))? secs?)?(?P<ago> ago)?"
)
_STANDARD = re.compile(
    r"(?:\+0-0 )?(?P<day_sign>[+-]?)(?:(?P<days>\d+) )?(?P<sign>[+-]?)(?P<hours>\d+):(?P<minutes>\d+):(?P<seconds>\d+)(?:\.(?P<part>\d+))?"
)


def span_of(text: str) -> dt.timedelta | str:
    """Return the interval of a text in one of the styles that a session may set; the text itself for one with months."""
    if text in ("0", "@ 0"):
        return dt.timedelta()
    found = _ISO.fullmatch(text) or _VERBOSE.fullmatch(text) or _STANDARD.fullmatch(text)
    if found is None:
        return text
    parts = found.groupdict()
    sign = -1 if parts["sign"] == "-" else 1
    seconds = dt.timedelta(seconds=int(parts["seconds"] or 0), microseconds=int((parts["part"] or "0").ljust(6, "0")))
    clock = dt.timedelta(hours=int(parts["hours"] or 0), minutes=int(parts["minutes"] or 0))
    days = dt.timedelta(days=int(parts["days"] or 0))
    if "day_sign" in parts:  # a sign before the days counts for the rest, too, unless that has one
        first = -1 if parts["day_sign"] == "-" else 1
        return first * days + (sign if parts["sign"] else first) * (clock + seconds)
    return (days + clock + sign * seconds) * (-1 if parts.get("ago") else 1)


def _classes() -> tuple[dict[str, Any], Any]:
    """Return the classes of loaders by the type they load, and that of JSON, made once psycopg is there."""
    import psycopg
    from psycopg import adapt

    from_text = dt.datetime.fromisoformat

    class LenientLoader(adapt.Loader):
        """Loads by psycopg, and returns the text of what psycopg refuses."""

        usual: Any = None

        def __init__(self, oid: int, context: Any = None) -> None:
            # Each result has loaders of its own, so that of psycopg, which reads the time zone, is made when it is needed.
            self.oid, self.context = oid, context
            self._usual: Any = None

        def load(self, data: Any) -> Any:
            try:
                if self._usual is None:
                    self._usual = self.usual(self.oid, self.context).load
                return self._usual(data)
            except (psycopg.Error, ValueError, OverflowError, NotImplementedError):
                return bytes(data).decode("ascii", "replace")

    class Moment(LenientLoader):
        def load(self, data: Any) -> Any:
            try:
                return from_text(bytes(data).decode())  # in UTC on our own connections
            except ValueError:
                return super().load(data)

    class NaiveMoment(LenientLoader):
        def load(self, data: Any) -> Any:
            found = super().load(data)
            if not isinstance(found, dt.datetime):
                return found
            connection = self.context.connection
            # The server compares it with other moments in the time zone of the session, which is UTC on our own connections.
            zone = dt.UTC if connection is None else connection.info.timezone
            try:
                return found.replace(tzinfo=zone).astimezone(dt.UTC)
            except OverflowError:
                return bytes(data).decode("ascii", "replace")

    class Span(LenientLoader):
        def load(self, data: Any) -> Any:
            text = bytes(data)
            if any(part in text for part in _REFUSED_PARTS):
                return text.decode("ascii", "replace")
            found = super().load(data)
            return found if isinstance(found, dt.timedelta) else span_of(found)

    class JSONText(adapt.Loader):
        def load(self, data: Any) -> str:
            return bytes(data).decode()

    return {
        "timestamptz": Moment,
        "timestamp": NaiveMoment,
        "interval": Span,
        "date": LenientLoader,
        "time": LenientLoader,
    }, JSONText


@functools.cache
def _loaders() -> tuple[tuple[str, Any], ...]:
    import psycopg

    classes, json_text = _classes()
    found: list[tuple[str, Any]] = [("jsonb", json_text)]
    for name, base in classes.items():
        oid = psycopg.adapters.types[name].oid
        usual = psycopg.adapters.get_loader(oid, psycopg.pq.Format.TEXT)
        found.append((name, type(f"LenientLoader{name}", (base,), {"usual": usual})))
    return tuple(found)


def use(raw: Any) -> None:
    """Register the loaders on a connection of our own."""
    for name, loader in _loaders():
        raw.adapters.register_loader(name, loader)


def use_for(cursor: Any) -> Any:
    """Register the loaders on one cursor of a connection that others use, too, and return the cursor."""
    use(getattr(cursor, "_cursor", cursor))  # the driver's own, below SQLAlchemy's adapter for async calls
    return cursor


class Portal:
    """Rows from a cursor of the server's."""

    def __init__(self, connection: ConnectionLike, sql: str, values: Sequence[Any]) -> None:
        self._connection = connection
        self._name = f"resourcekit_{id(self):x}"
        connection.run(f"DECLARE {self._name} NO SCROLL CURSOR FOR {sql}", values)

    def page(self, rows: int) -> list[Any]:
        """Return the next rows; none at the end."""
        return self._connection.fetch(f"FETCH FORWARD {rows} FROM {self._name}")

    def close(self, *, done: bool) -> None:
        """Close the cursor, unless its transaction is over or aborted."""
        if self._connection.dialect.is_open(self._connection) and not self._connection.dialect.is_aborted(self._connection):
            self._connection.run(f"CLOSE {self._name}")

    def drop(self) -> None:
        """Do nothing: the cursor ends with its transaction."""
