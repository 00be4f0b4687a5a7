"""Nodes of a Galera cluster: what one acknowledged is true at every other, in each kind of call."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from resourcekit import Deadline, Domain, transaction
from resourcekit.data_layers import SQL, Repo, joined
from resourcekit.doctor import doctor
from resourcekit.errors import OutcomeUnknown, Timeout, Unavailable
from resourcekit_tokens import JWT, TokenRecord, TokenResource
from resourcekit_tokens.errors import TokenRevoked
from tests.faults.conftest import SECRET
from tests.support import galera
from tests.support.callers import Caller, Watch
from tests.support.databases import MISSING

pytestmark = pytest.mark.slow

ROUNDS = 40


@pytest.fixture
def urls() -> Iterator[list[str]]:
    """A URL for each node, to one empty database."""
    with galera.nodes() as found:
        yield found


@pytest.fixture
def declare(urls: list[str]) -> Callable[..., Any]:
    """A function that declares the same token resource on one node; further arguments are those of ``SQL``."""
    kept: list[Any] = []

    def make(node: int, **more: Any) -> Any:
        domain = Domain(f"node {node}.{len(kept)}")
        layer = SQL(urls[node], table="tokens", **more)

        class Token(
            TokenRecord, domain=domain, data_layer=layer, extensions=[TokenResource(jwt=JWT(SECRET), store_all_tokens=True)]
        ):
            """Tokens of a test."""

        Token.__qualname__ = f"Token{len(kept)}"
        kept.append((domain, Token))
        domain.create_storage()
        return Token

    return make


def test_an_acknowledged_revoke_is_seen_by_every_node(declare: Callable[..., Any], call: Caller) -> None:
    """A check on another node, right after a revoke returned, says "revoked"."""
    here, *others = (declare(node) for node in range(3))
    stale = 0
    for number in range(ROUNDS):
        call(here.revoke_jti, f"jti-{number}")
        stale += sum(not call(other.jti_revoked, f"jti-{number}") for other in others)

    assert 0 == stale


def test_a_check_inside_of_a_transaction_sees_what_other_nodes_acknowledged(declare: Callable[..., Any]) -> None:
    """A node waits for the others at no statement inside of a transaction, so the check also looks outside of it."""
    here, other = declare(0), declare(1)
    stale = 0
    for _number in range(ROUNDS):
        token = here.issue("alice").token
        with transaction(other):
            other.token_revoked(token)
            here.revoke(token)
            stale += not other.token_revoked(token)

    assert 0 == stale


def test_a_condition_of_an_update_sees_rows_of_other_nodes(declare: Callable[..., Any], call: Caller) -> None:
    """Revoking all that is stored for a subject finds the token that another node stored a moment ago."""
    here, other = declare(0), declare(1)
    missed = 0
    for number in range(ROUNDS):
        issued = call(here.issue, f"subject-{number}")
        call(other.revoke_all_stored_for_subject, f"subject-{number}")
        missed += not call(here.token_revoked, issued.token)

    assert 0 == missed


def test_a_token_is_consumed_on_one_node(declare: Callable[..., Any]) -> None:
    """Of three nodes that consume one token at once, one wins; the losers get TokenConsumed, not a serialization failure."""
    tokens = [declare(node) for node in range(3)]

    async def race() -> list[str]:
        token = (await tokens[0].issue.aio("alice", purpose="reset")).token
        received = await asyncio.gather(*(each.consume.aio(token, purpose="reset") for each in tokens), return_exceptions=True)
        return sorted("refused" if isinstance(each, TokenRevoked) else type(each).__name__ for each in received)

    with asyncio.Runner() as runner:
        races = [runner.run(race()) for _ in range(10)]

    assert [["Claims", "refused", "refused"]] * 10 == races


def test_stale_reads_are_accepted_by_name(declare: Callable[..., Any]) -> None:
    """A resource with ``reads="stale"`` does not wait for other nodes, and doctor reports it; its writes still wait."""
    stale, fresh = declare(0, reads="stale"), declare(0)
    waits = {}
    for name, token in (("stale", stale), ("fresh", fresh)):
        repo = token.__runtime__.store.repo
        connection = repo.sync_pool.take(Deadline.after_real(5))
        waits[name] = connection.fetch("SELECT @@wsrep_sync_wait, @@wsrep_dirty_reads, @@wsrep_retry_autocommit")[0]
        repo.sync_pool.put(connection)

    assert {"stale": (6, 0, 0), "fresh": (7, 0, 0)} == waits
    assert ["RK117"] == [finding.id for finding in doctor(stale) if finding.id == "RK117"]
    assert [] == [finding.id for finding in doctor(fresh) if finding.id == "RK117"]


def test_a_session_of_the_users_own_sees_what_other_nodes_acknowledged(urls: list[str], declare: Callable[..., Any]) -> None:
    """In ``joined``, too, a check looks outside of the transaction, on a session that waits."""
    here, other = declare(0), declare(1)
    engine = sa.create_engine(urls[1].replace("mariadb://", "mariadb+pymysql://"), isolation_level="READ COMMITTED")
    stale = 0
    for _number in range(ROUNDS):
        token = here.issue("alice").token
        with engine.begin() as connection, joined(connection, other):
            other.token_revoked(token)
            here.revoke(token)
            stale += not other.token_revoked(token)
    engine.dispose()

    assert 0 == stale


@pytest.fixture
def own_cluster() -> Iterator[galera.Galera]:
    """A cluster whose nodes the test may freeze and kill."""
    try:
        cluster = galera.started()
    except LookupError as missing:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"{MISSING}{missing}")
    yield cluster
    cluster.remove()


@pytest.mark.slow
def test_a_node_without_a_majority_answers_nothing(
    own_cluster: galera.Galera, declare_token: Callable[..., Any], call: Caller
) -> None:
    """A node that lost the two others acknowledges nothing; once it knows, checks say "revoked", and calls name the cause."""
    alone, *others = own_cluster.nodes
    token = declare_token(Repo(alone.url, timeout=timedelta(seconds=2)))
    alive, dead = call(token.issue, "alice"), call(token.issue, "alice")
    before = call(token.token_revoked, alive.token)
    for node in others:
        node.freeze()
    with pytest.raises((Unavailable, Timeout, OutcomeUnknown)):
        call(token.revoke, dead.token)
    ends_at = time.monotonic() + 60
    while alone.status("wsrep_cluster_status") == "Primary":
        assert time.monotonic() < ends_at, "the node did not notice that it is alone"
        time.sleep(0.1)  # there is nothing that announces it
    with Watch() as watch:
        during = call(token.token_revoked, alive.token)
    with pytest.raises(Unavailable, match=r"primary component|not ready"):
        call(token.verify, alive.token)
    for node in others:
        node.thaw()

    assert (False, True) == (before, during)
    assert watch.seconds < 4


@pytest.mark.slow
def test_what_was_acknowledged_outlives_its_node(
    own_cluster: galera.Galera, declare_token: Callable[..., Any], call: Caller
) -> None:
    """A node that is killed right after it acknowledged takes no revocation along."""
    here, other, _ = own_cluster.nodes
    token = declare_token(Repo(here.url))
    issued = [call(token.issue, "alice") for _ in range(20)]
    for each in issued:
        call(token.revoke, each.token)
    here.kill()
    table = token.__runtime__.store.table.name
    survivors = SQL(Repo(other.url, timeout=timedelta(seconds=30)), table=table)
    there = declare_token(survivors)

    assert [True] * 20 == [call(there.token_revoked, each.token) for each in issued]
    assert 20 == other.query(f"SELECT count(*) FROM test.{table} WHERE revoked_at IS NOT NULL")[0][0]
