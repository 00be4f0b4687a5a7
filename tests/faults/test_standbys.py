"""Servers that follow another one: refused for fresh reads, accepted by name, and what a failover keeps."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from resourcekit import query
from resourcekit.data_layers import SQL, Repo, joined
from resourcekit.data_layers.sql.repository import read_url
from resourcekit.doctor import doctor
from resourcekit.errors import DataLayerError, Unavailable
from resourcekit_tokens.errors import TokenRevoked
from tests.faults.conftest import started
from tests.support.callers import Caller
from tests.support.databases import run_sql
from tests.support.mariadb import MariaDB
from tests.support.postgres import Postgres, pair_started
from tests.support.proxy import Proxy
from tests.support.servers import Server

pytestmark = pytest.mark.slow


class Pair:
    """A primary and a server that follows it."""

    def __init__(self, primary: Server, follower: Any) -> None:
        self.primary, self.follower = primary, follower


def postgres_pair() -> Pair:
    """Start a primary that acknowledges what its standby has on disk."""
    primary = started("postgresql", "wal_level=replica", "max_wal_senders=4")
    assert isinstance(primary, Postgres)
    return Pair(primary, pair_started(primary))


def mariadb_pair() -> Pair:
    """Start a primary and an asynchronous replica that takes writes, as one does whose owner forgot ``read_only``."""
    primary = started("mariadb", "server-id=1", "log-bin=binlog")
    replica = started("mariadb", "server-id=2")
    assert isinstance(primary, MariaDB)
    where = f"MASTER_HOST='127.0.0.1', MASTER_PORT={primary.port}, MASTER_USER='root', MASTER_USE_GTID=slave_pos"
    run_sql(replica.url, f"CHANGE MASTER TO {where}")
    run_sql(replica.url, "START SLAVE")
    return Pair(primary, replica)


@pytest.fixture(scope="module")
def pairs() -> Iterator[dict[str, Pair]]:
    """The pairs of this module, by kind, each started when it is first needed."""
    kept: dict[str, Pair] = {}
    yield kept
    for pair in kept.values():
        pair.follower.remove()
        pair.primary.remove()


@pytest.fixture(params=["postgresql", "mariadb"])
def pair(request: pytest.FixtureRequest, pairs: dict[str, Pair]) -> Pair:
    """A primary and its follower; no test ends them."""
    if request.param not in pairs:
        pairs[request.param] = postgres_pair() if request.param == "postgresql" else mariadb_pair()
    return pairs[request.param]


@pytest.fixture
def own_pair() -> Iterator[Pair]:
    """A PostgreSQL primary and its synchronous standby, of one test."""
    pair = postgres_pair()
    yield pair
    pair.follower.remove()
    pair.primary.remove()


def on_follower(pair: Pair, note: Any) -> str:
    """Wait until the follower has the note's table, and return its URL."""
    table = note.__runtime__.store.table.name
    for _ in range(1000):
        with contextlib.suppress(Exception):
            run_sql(pair.follower.url, f"SELECT 1 FROM {table}")
            return str(pair.follower.url)
    raise AssertionError(table)


def test_a_follower_is_refused_by_name(pair: Pair, call: Caller, declare_note: Callable[..., Any]) -> None:
    """A read on a standby or a replica raises Unavailable, which says what the server is and how to accept it."""
    declare_note(pair.primary.url)
    note = declare_note(Repo(pair.follower.url), storage=False)
    with pytest.raises(Unavailable, match=r'(standby|replica): its reads are of the past.*primary.*reads="stale"'):
        call(query(note).count)


def test_a_session_on_a_follower_is_refused(pair: Pair, declare_note: Callable[..., Any]) -> None:
    """``joined`` refuses a session that leads to a standby or a replica."""
    note = declare_note(Repo(pair.follower.url), storage=False)
    engine = sa.create_engine(Repo(pair.follower.url).engine.url)
    with engine.connect() as connection, pytest.raises(Unavailable, match="its reads are of the past"), joined(connection, note):
        pass
    engine.dispose()


def test_stale_reads_are_served_by_a_follower(pair: Pair, call: Caller, declare_note: Callable[..., Any]) -> None:
    """``reads="stale"`` reads from a follower what has reached it; doctor warns, and names no other fault of the server."""
    note = declare_note(pair.primary.url)
    call(note.write, key="a")
    url, table = on_follower(pair, note), note.__runtime__.store.table.name
    stale = declare_note(SQL(url, table=table, reads="stale"), storage=False)
    found = doctor(stale)

    assert set() == {record.key for record in call(query(stale).all)} - {"a"}
    assert ["RK117"] == [finding.id for finding in found if finding.id in ("RK113", "RK117")]


def test_doctor_tells_of_a_follower(pair: Pair, declare_note: Callable[..., Any]) -> None:
    """What refuses each call is a finding with its cure, beside whatever else is wrong."""
    note = declare_note(pair.primary.url)
    url, table = on_follower(pair, note), note.__runtime__.store.table.name
    follower = declare_note(SQL(url, table=table), storage=False)
    received = [finding for finding in doctor(follower) if finding.id == "RK113"]

    assert any("standby" in finding.what or "replica" in finding.what for finding in received)


def test_a_standby_refuses_writes(pair: Pair, call: Caller, declare_note: Callable[..., Any]) -> None:
    """Stale reads are accepted, writes are not: they are refused with the cure."""
    if pair.primary.name != "postgres":
        pytest.skip("the replica of this test takes writes")
    note = declare_note(pair.primary.url)
    url, table = on_follower(pair, note), note.__runtime__.store.table.name
    stale = declare_note(SQL(url, table=table, reads="stale"), storage=False)
    with pytest.raises(Unavailable, match="connect to the primary"):
        call(stale.write, key="b")


@pytest.mark.slow
def test_a_kept_connection_notices_a_demotion_in_place(
    own_mariadb: Callable[..., Server], call: Caller, declare_note: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A MariaDB primary becomes a replica without a restart; its kept connections are asked again, and refused."""
    monkeypatch.setattr("resourcekit.data_layers.sql.dialects.mariadb.cluster.LOOK_AGAIN_S", 0.0)
    server = own_mariadb()
    note = declare_note(Repo(server.url))
    call(note.write, key="a")
    run_sql(server.url, "SET GLOBAL read_only = 1")
    with pytest.raises(Unavailable, match="read only"):
        call(query(note).count)
    run_sql(server.url, "SET GLOBAL read_only = 0")

    assert 1 == call(query(note).count)


@pytest.mark.slow
def test_a_failover_keeps_every_acknowledged_revoke(own_pair: Pair, call: Caller, declare_token: Callable[..., Any]) -> None:
    """Kill the primary, promote the synchronous standby: what was acknowledged is there, and the same URL leads to it."""
    address = Proxy(own_pair.primary.port)
    token = declare_token(address.url(own_pair.primary.url))
    issued = [call(token.issue, "alice") for _ in range(30)]
    for each in issued[:20]:
        call(token.revoke, each.token)
    own_pair.primary.kill()
    during = call(token.token_revoked, issued[25].token)
    own_pair.follower.promote()
    address.lead_to(own_pair.follower.port)
    received = [call(token.token_revoked, each.token) for each in issued]
    address.close()

    assert during
    assert [True] * 20 + [False] * 10 == received


@pytest.mark.slow
def test_no_node_loses_what_was_acknowledged_while_the_primary_dies(own_pair: Pair, declare_token: Callable[..., Any]) -> None:
    """Three nodes revoke and consume without a pause while the primary is killed and its standby promoted.

    Every answer to one of them holds on all nodes afterwards, and no single-use token was consumed twice.
    """
    ports = own_pair.follower.port, own_pair.primary.port
    url = f"postgresql://postgres@/postgres?host=127.0.0.1:{ports[0]}&host=127.0.0.1:{ports[1]}"
    first = declare_token(Repo(url, timeout=timedelta(seconds=2)))
    table = first.__runtime__.store.table.name
    others = [declare_token(SQL(Repo(url, timeout=timedelta(seconds=2)), table=table)) for _ in range(2)]
    nodes = [first, *others]
    single = [first.issue("alice", purpose="reset").token for _ in range(400)]
    acknowledged: list[str] = []
    wins: list[str] = []
    is_killed, is_over = threading.Event(), threading.Event()

    def work(node: Any, number: int) -> None:
        for count in itertools.count():
            jti, token = f"{number} {count}", single[count % len(single)]
            with contextlib.suppress(DataLayerError):
                node.revoke_jti(jti)
                acknowledged.append(jti)
            with contextlib.suppress(DataLayerError, TokenRevoked):
                node.consume(token, purpose="reset")
                wins.append(token)
            if is_over.is_set() and count > 20:
                return

    with futures.ThreadPoolExecutor(len(nodes)) as pool:
        working = [pool.submit(work, node, number) for number, node in enumerate(nodes)]
        is_killed.wait(1)
        before = len(acknowledged)
        own_pair.primary.kill()
        own_pair.follower.promote()
        is_over.wait(1)
        is_over.set()
        for each in working:
            each.result(60)
    lost = [jti for jti in acknowledged for node in nodes if not node.jti_revoked(jti)]

    assert (True, True) == (before > 0, len(acknowledged) > before)
    assert [] == lost
    assert len(set(wins)) == len(wins)
    assert [True] * len(set(wins)) == [nodes[-1].token_revoked(token) for token in dict.fromkeys(wins)]


@pytest.mark.slow
def test_several_hosts_lead_to_the_primary(own_pair: Pair, call: Caller, declare_note: Callable[..., Any]) -> None:
    """A URL with several hosts finds the one that takes writes, in whichever order, before and after a failover."""
    ports = own_pair.follower.port, own_pair.primary.port
    url = f"postgresql://postgres@/postgres?host=127.0.0.1:{ports[0]}&host=127.0.0.1:{ports[1]}"
    note = declare_note(Repo(url))
    call(note.write, key="before")
    own_pair.primary.kill()
    own_pair.follower.promote()
    call(note.write, key="after")

    assert {"before", "after"} == {record.key for record in call(query(note).all)}


def test_a_url_with_several_hosts_says_which_one_is_wanted() -> None:
    """Unless the user says otherwise; one host is left as it is."""
    several = "postgresql://u@/db?host=a:1&host=b:2"

    assert "read-write" == read_url(several).query["target_session_attrs"]
    assert "any" == read_url(f"{several}&target_session_attrs=any").query["target_session_attrs"]
    assert "target_session_attrs" not in read_url("postgresql://u@a/db").query


@pytest.mark.slow
def test_doctor_tells_of_commits_that_wait_for_no_standby(own_pair: Pair, declare_note: Callable[..., Any]) -> None:
    """``synchronous_commit = local`` beside a standby that is to be waited for may lose at a failover what was acknowledged."""
    note = declare_note(SQL(f"{own_pair.primary.url}?options=-csynchronous_commit%3Dlocal"))

    assert ["synchronous_commit is local beside synchronous_standby_names"] == [f.what for f in doctor(note) if f.id == "RK113"]
