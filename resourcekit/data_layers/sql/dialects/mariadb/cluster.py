"""The role of a MariaDB server: standalone, a node of a Galera cluster, or a replica of another server.

A maintainer opens it when a check on one node misses a write that another node acknowledged.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import attrs

from resourcekit.data_layers.sql.dialects.base import ConnectionLike
from resourcekit.data_layers.sql.dialects.driver import LATE, PRIMARY
from resourcekit.data_layers.sql.dialects.error_info import Refused

__all__ = ["LOOK_AGAIN_S", "ServerState", "alone", "read_state", "session_settings", "unsafe_settings"]

LOOK_AGAIN_S = 1.0
"""Seconds after which the server of a pooled connection is checked again. An orchestrator can turn a primary into a replica
without a restart; its connections then stay open."""

_READS, _CHANGES, _INSERTS = 1, 2, 4
"""Bits of wsrep_sync_wait: SELECT and START TRANSACTION; UPDATE and DELETE; INSERT and REPLACE. All three find their rows by a
condition, so they use stale rows if they do not wait."""

_QUERY = (
    "SHOW GLOBAL STATUS WHERE Variable_name IN "
    "('wsrep_provider_name', 'wsrep_ready', 'wsrep_cluster_status', 'wsrep_cluster_size', 'Slaves_running')"
)
_JOIN = "Let the node join its cluster again, or connect to another node."


@attrs.frozen
class ServerState:
    """The state that a server reports.

    Attributes:
        has_wsrep: The server was built with Galera's interface.
        is_node: The server is a node of a Galera cluster.
        is_primary: The node belongs to the part of its cluster that may write; ``True`` outside of a cluster.
        is_replica: The server replicates from another one, asynchronously.
        is_read_only: The server accepts no writes.
        size: Number of nodes in the cluster, as the node sees it.
    """

    has_wsrep: bool = False
    is_node: bool = False
    is_primary: bool = True
    is_replica: bool = False
    is_read_only: bool = False
    size: int = 0

    def refusal(self) -> Refused | None:
        """Return the error for a server whose reads may be stale; ``None`` if they are fresh."""
        if self.is_node and not self.is_primary:
            return Refused(f"This node of a Galera cluster is not part of the primary component. {_JOIN}")
        if self.is_replica:
            return Refused(f'It is a replica: its reads are of the past. {PRIMARY} Or accept that by name: reads="stale".')
        if self.is_read_only:
            return Refused(f'It is read only, as replicas are. {PRIMARY} Or accept stale reads by name: reads="stale".')
        return None


def read_state(connection: ConnectionLike) -> ServerState:
    """Ask a server for its state, in two round trips. A node that cannot serve answers, too."""
    found: dict[str, str] = {str(name).lower(): str(value) for name, value in connection.fetch(_QUERY)}
    is_node = bool(found.get("wsrep_provider_name"))
    is_ready = found.get("wsrep_ready") == "ON" and found.get("wsrep_cluster_status") == "Primary"
    return ServerState(
        has_wsrep="wsrep_ready" in found,
        is_node=is_node,
        is_primary=is_ready or not is_node,
        is_replica=found.get("slaves_running", "0") != "0",
        is_read_only=connection.fetch("SELECT @@global.read_only")[0][0] not in (0, "OFF"),
        size=int(found.get("wsrep_cluster_size") or 0) if is_node else 0,
    )


def session_settings(state: ServerState, *, is_stale: bool) -> str:
    """Return assignments for SET SESSION, each with a leading comma.

    Before each statement, a node waits until it has applied everything that the cluster had committed when the statement arrived.
    A session that accepts stale reads waits before writes only, because their conditions decide who wins.

    A node does not retry a statement that lost against another node. It has already sent the rows of RETURNING, which look like
    success, and cannot take them back. It raises an error instead, and the caller of the connection retries.
    """
    if not state.has_wsrep:
        return ""
    wait = _CHANGES | _INSERTS if is_stale else _READS | _CHANGES | _INSERTS
    return f", wsrep_sync_wait = {wait}, wsrep_dirty_reads = 0, wsrep_retry_autocommit = 0"


def unsafe_settings(connection: ConnectionLike, *, accepts_stale: bool) -> list[tuple[str, str, str]]:
    """Return problem, reason and cure of each setting that causes stale reads, or may lose acknowledged writes."""
    state: ServerState = connection.callback_state.server or read_state(connection)
    found = []
    if state.is_replica and not accepts_stale:
        found.append(("the server is a replica", LATE, PRIMARY))
    elif state.is_read_only and not accepts_stale:
        found.append(("the server is read only, as replicas are", LATE, PRIMARY))
    if state.is_node:
        found.extend(_cluster_settings(connection, state))
    return found


def _cluster_settings(connection: ConnectionLike, state: ServerState) -> list[tuple[str, str, str]]:
    found = []
    if not state.is_primary:
        found.append(("this node of the Galera cluster is not part of the primary component", "It refuses every call.", _JOIN))
    if 0 < state.size < 3:  # with two nodes, neither can distinguish a dead node from a broken network
        why = "If one node dies or is cut off, the rest has no majority and refuses every call."
        found.append((f"the Galera cluster has {state.size} nodes", why, "Run three nodes, or two and the arbitrator garbd."))
    values: Any = connection.fetch("SELECT @@wsrep_osu_method, @@wsrep_certify_nonpk, @@innodb_autoinc_lock_mode")[0]
    if values[0] != "TOI":
        why = "create_storage() makes a table on one node only, and writes fail on the others."
        found.append((f"wsrep_OSU_method is {values[0]}", why, "Set wsrep_OSU_method = TOI."))
    return found


@contextmanager
def alone(connection: ConnectionLike) -> Generator[None]:
    """Create storage while other processes on this server wait.

    GET_LOCK works on one node only. Several nodes need no lock: Galera runs each CREATE on all nodes in one order. A CREATE that
    finds its table does nothing, and one that conflicts with another is rolled back and retried.
    """
    connection.fetch("SELECT GET_LOCK('resourcekit storage', 60)")
    try:
        yield
    finally:
        connection.fetch("SELECT RELEASE_LOCK('resourcekit storage')")
