"""What a check and a revocation cost on one server and on clusters: ``python -m tests.benchmarks.machines``.

It starts its own servers on this machine, so it measures what waiting for other nodes costs without a network between them.
"""

from __future__ import annotations

import contextlib
import secrets
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from resourcekit import Domain
from resourcekit.data_layers import SQL, Redis
from resourcekit_tokens import TokenRecord, TokenResource
from tests.support import galera, valkey
from tests.support.databases import run_sql
from tests.support.mariadb import MariaDB
from tests.support.postgres import Postgres, Standby

__all__ = ["main"]

_ROUNDS = 2_000


def token_on(layer: Any) -> Any:
    """Return a token resource on a layer, its storage made."""
    domain = Domain(f"machines {secrets.token_hex(4)}")

    class Token(TokenRecord, domain=domain, data_layer=layer, extensions=[TokenResource()]):
        """Tokens of a measurement."""

    Token.__qualname__ = f"Token{id(domain)}"
    domain.create_storage()
    return Token, domain


def microseconds(call: Callable[[str], Any]) -> float:
    """Return the median time of a call."""
    took = []
    for number in range(_ROUNDS):
        began = time.perf_counter()
        call(f"jti-{number}")
        took.append(time.perf_counter() - began)
    return 1e6 * statistics.median(took)


def measure(name: str, layer: Any) -> None:
    """Print one row of the table: a revocation, a check in quiet, and a check right after another node's revocation."""
    token, domain = token_on(layer)
    revoke, check = microseconds(token.revoke_jti), microseconds(token.jti_revoked)
    print(f"| {name} | {revoke:,.0f} | {check:,.0f} |", flush=True)
    del domain


@contextlib.contextmanager
def running(server: Any) -> Iterator[Any]:
    """Start a server, and remove it afterwards."""
    server.start()
    try:
        yield server
    finally:
        server.remove()


def main() -> None:
    """Print the table."""
    print("| store | revoke_jti, µs | jti_revoked, µs |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        measure("SQLite", SQL(f"sqlite:///{folder}/machines.db", table="tokens"))
        nodes = valkey.cluster(Path(folder))
        measure("Valkey cluster, 3 nodes", Redis([node.url for node in nodes]))
        for node in nodes:
            node.stop()
    with running(MariaDB()) as server:
        measure("MariaDB", SQL(server.url, table="tokens"))
    with running(galera.Galera()) as cluster:
        measure("Galera, 3 nodes", SQL(cluster.nodes[0].url, table="tokens"))
        measure('Galera, 3 nodes, reads="stale"', SQL(cluster.nodes[0].url, table="tokens_stale", reads="stale"))
    with running(Postgres("wal_level=replica")) as primary:
        measure("PostgreSQL", SQL(primary.url, table="tokens"))
        with running(Standby(primary)):
            run_sql(primary.url, "ALTER SYSTEM SET synchronous_standby_names = 'standby'")
            run_sql(primary.url, "SELECT pg_reload_conf()")
            for level in ("remote_write", "on", "remote_apply"):
                url = f"{primary.url}?options=-csynchronous_commit%3D{level}"
                measure(f"PostgreSQL, synchronous standby, {level}", SQL(url, table=f"tokens_{level}"))


if __name__ == "__main__":
    main()
