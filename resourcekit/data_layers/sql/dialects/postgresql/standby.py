"""Standbys of PostgreSQL: how they are detected, how a URL with several hosts is read, and which writes a failover may lose.

A server leaves recovery once, when it is promoted, and enters it only by a restart, which ends its connections. So a connection
that was opened to a primary stays connected to a primary.
"""

from __future__ import annotations

from sqlalchemy.engine import URL

from resourcekit.data_layers.sql.dialects.base import ConnectionLike
from resourcekit.data_layers.sql.dialects.driver import LATE, PRIMARY
from resourcekit.data_layers.sql.dialects.error_info import Refused

__all__ = ["refusal", "refuse_guest", "settle", "unsafe_settings"]

_WANTED = "target_session_attrs"


def settle(url: URL) -> URL:
    """Return a URL that connects to the primary, if it has several hosts and does not choose one of them itself."""
    hosts = url.query.get("host", url.host or "")
    several = len(hosts) > 1 if isinstance(hosts, tuple) else "," in hosts
    return url.update_query_dict({_WANTED: "read-write"}) if several and _WANTED not in url.query else url


def refusal() -> Refused:
    """Return the error for a standby."""
    return Refused(f'It is a standby: its reads are of the past. {PRIMARY} Or accept that by name: reads="stale".')


def refuse_guest(connection: ConnectionLike, *, accepts_stale: bool) -> None:
    """Raise Refused if a connection of the user's own leads to a standby. Servers report it unasked; some poolers drop that."""
    if accepts_stale:
        return
    status = connection.raw.info.parameter_status("in_hot_standby")
    is_standby = status == "on" if status is not None else connection.fetch("SELECT pg_is_in_recovery()")[0][0]
    if is_standby:
        raise refusal()


def unsafe_settings(connection: ConnectionLike, *, accepts_stale: bool) -> list[tuple[str, str, str]]:
    """Return problem, reason and cure of each setting that causes stale reads, or may lose acknowledged writes at a failover."""
    is_standby, read_only, waits, names = connection.fetch(
        "SELECT pg_is_in_recovery(), current_setting('default_transaction_read_only'), current_setting('synchronous_commit'), "
        "current_setting('synchronous_standby_names')"
    )[0]
    found = []
    if is_standby and not accepts_stale:
        found.append(("the server is a standby, and takes no writes", LATE, PRIMARY))
    elif not is_standby and read_only != "off":
        why = "Every write is refused: nothing can be revoked."
        found.append(("the server is read only: default_transaction_read_only is on", why, PRIMARY))
    if not is_standby and names and waits == "local":
        why = "A commit waits for no standby, so a failover may take back what was acknowledged."
        found.append((f"synchronous_commit is {waits} beside synchronous_standby_names", why, "Set synchronous_commit = on."))
    elif not is_standby and names and waits == "remote_write":
        why = "A standby has a commit in memory only: if its host dies together with the primary, the commit is lost."
        found.append((f"synchronous_commit is {waits}", why, "Set synchronous_commit = on."))
    return found
