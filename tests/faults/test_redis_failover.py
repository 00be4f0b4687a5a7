"""A primary that is lost, demoted or replaced: acknowledged writes are kept, and lost ones answer "revoked"."""

import time
from datetime import timedelta

import pytest

from resourcekit.data_layers import Redis
from resourcekit.errors import DataLayerError, Unavailable
from tests.support import valkey
from tests.support.callers import Watch
from tests.support.proxy import Proxy

pytestmark = pytest.mark.slow

_TIME_LIMIT = 20
"""Seconds of real time that servers have to agree."""


@pytest.fixture
def pair(own_valkey):
    """A primary and a replica that is linked to it."""
    primary = own_valkey()
    replica = own_valkey("--replicaof", f"127.0.0.1 {primary.port}")
    until(lambda: replica.client().info("replication").get("master_link_status") == "up")
    return primary, replica


@pytest.fixture
def address(pair):
    """An address that leads to the primary, until it is led elsewhere."""
    proxy = Proxy(pair[0].port)
    yield proxy
    proxy.close()


def until(agreed):
    """Wait for servers to agree."""
    ends_at = time.monotonic() + _TIME_LIMIT
    while not agreed():
        assert time.monotonic() < ends_at, "the servers did not agree"
        time.sleep(0.02)  # there is nothing that announces it


def promote(replica):
    """Make a replica a primary."""
    replica.client().execute_command("REPLICAOF", "NO", "ONE")


def url(address):
    """Return the URL of an address."""
    return f"redis://{address.address[0]}:{address.address[1]}/0"


def test_a_primary_that_dies_hands_over_all_that_was_acknowledged(pair, address, call, declare_token):
    """With ``wait_replicas`` each revoke that returned is on the replica, which goes on as the primary."""
    primary, replica = pair
    token = declare_token(Redis(url(address), wait_replicas=1))
    revoked = [f"dead-{number}" for number in range(50)]
    for jti in revoked:
        call(token.revoke_jti, jti)
    primary.kill()
    gone = call(token.jti_revoked, "live")
    promote(replica)
    address.lead_to(replica.port)
    address.cut()
    own = declare_token(Redis(url(address)))

    assert gone is True
    assert [True] * 50 == [call(token.jti_revoked, jti) for jti in revoked]
    assert call(token.jti_revoked, "live") is False
    assert call(own.jti_revoked, "live") is False


def test_a_primary_that_was_demoted_is_left(pair, address, call, declare_token):
    """Its connections stay open and take no writes: the write is made through a new one, at the new primary."""
    primary, replica = pair
    token = declare_token(Redis(url(address)))
    call(token.revoke_jti, "before")
    until(
        lambda: (
            replica.client().info("replication")["slave_repl_offset"]
            == primary.client().info("replication")["master_repl_offset"]
        )
    )
    promote(replica)
    primary.client().execute_command("REPLICAOF", "127.0.0.1", replica.port)
    address.lead_to(replica.port)
    call(token.revoke_jti, "after")

    assert [True, True, False] == [call(token.jti_revoked, jti) for jti in ("before", "after", "live")]
    assert 1 == len(replica.client().keys("*=after"))


def test_a_replica_is_refused_with_the_cure(pair, declare_token):
    """A URL of a replica is refused at the first call, and nothing is written."""
    primary, replica = pair
    declare_token(Redis(primary.url))
    until(lambda: replica.client().dbsize() == primary.client().dbsize())
    with pytest.raises(Unavailable, match="ask the primary"):
        declare_token(Redis(replica.url)).revoke_jti("a")

    assert 0 == len(replica.client().keys("*=a"))


def test_a_replica_that_had_nothing_yet_answers_revoked(own_valkey, call, declare_token):
    """Promoted before it was ever in step, it has no marker, and so does not say live."""
    primary, empty = own_valkey(), own_valkey()
    proxy = Proxy(primary.port)
    try:
        token = declare_token(Redis(url(proxy)))
        call(token.revoke_jti, "dead")
        primary.kill()
        proxy.lead_to(empty.port)
        proxy.cut()
        answers = [call(token.jti_revoked, jti) for jti in ("dead", "live")]
        with pytest.raises(DataLayerError, match="create_storage"):
            call(token.revoke_jti, "b")
    finally:
        proxy.close()

    assert [True, True] == answers


def test_answers_that_come_crumb_by_crumb_end_in_time(own_valkey, call, declare_token):
    """Each crumb comes soon enough, all of them together do not: the deadline is for the whole call."""
    proxy = Proxy(own_valkey().port)
    try:
        token = declare_token(Redis(url(proxy)))
        call(token.revoke_jti, "dead")
        before = call(token.jti_revoked, "live")
        proxy.crumble(0.4)
        with Watch() as watch:
            answer = call.within(timedelta(seconds=1), token.jti_revoked, "live")
        proxy.heal()
        after = [call(token.jti_revoked, jti) for jti in ("dead", "live")]
    finally:
        proxy.close()

    assert (False, True, [True, False]) == (before, answer, after)
    assert watch.seconds < 3


def test_a_node_of_a_cluster_that_dies_is_replaced(tmp_path, call, declare_token):
    """Its replica takes its slots over; until then checks say revoked, afterwards all is there and writes are taken."""
    if valkey.binary() is None:
        pytest.skip("could not run: a Valkey server is missing")
    nodes = valkey.cluster(tmp_path, "--cluster-node-timeout", "800")
    spares = []
    try:
        token = declare_token(Redis([node.url for node in nodes], wait_replicas=0))
        holder = next(node for node in nodes if node.client().dbsize())
        spares.append(valkey.join(tmp_path, holder, "--cluster-node-timeout", "800"))
        for number in range(20):
            call(token.revoke_jti, f"dead-{number}")
        until(
            lambda: (
                spares[0].client().info("replication")["slave_repl_offset"]
                == holder.client().info("replication")["master_repl_offset"]
            )
        )
        holder.kill()
        gone = call(token.jti_revoked, "live")
        until(lambda: spares[0].client().info("replication")["role"] == "master")
        until(lambda: call(token.jti_revoked, "live") is False)
        call(token.revoke_jti, "after")
        answers = {call(token.jti_revoked, f"dead-{number}") for number in range(20)}
    finally:
        for node in (*nodes, *spares):
            node.stop()

    assert gone is True
    assert {True} == answers
