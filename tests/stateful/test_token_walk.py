"""The random walk over the life of tokens, on Memory and SQLite, and on Memory and every server."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, settings
from token_walk import KeyedTokenWalk, TokenWalk

SERVERS = ("postgresql", "mariadb", "valkey")
_CHECKS = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
_SHORT = settings(max_examples=12, stateful_step_count=30, deadline=None, suppress_health_check=_CHECKS)
_LONG = settings(max_examples=200, stateful_step_count=50, deadline=None, suppress_health_check=_CHECKS)

TestTokenWalk = TokenWalk.TestCase
TestTokenWalk.settings = _SHORT
TestKeyedTokenWalk = KeyedTokenWalk.TestCase
TestKeyedTokenWalk.settings = _SHORT


class WalkOnServers(TokenWalk):
    """The walk on Memory and on every server beside it."""

    kinds = SERVERS


class KeyedWalkOnServers(KeyedTokenWalk):
    """The same with keys."""

    kinds = SERVERS


# Each attempt to make a failure smaller is hundreds of round trips.
_SERVED = settings(_SHORT, max_examples=8, phases=[Phase.explicit, Phase.reuse, Phase.generate])


@pytest.mark.slow
class TestWalkOnServers(WalkOnServers.TestCase):  # type: ignore[name-defined,misc]  # Hypothesis makes the class
    """Fewer examples: each step is three round trips or more."""

    settings = _SERVED


@pytest.mark.slow
class TestKeyedWalkOnServers(KeyedWalkOnServers.TestCase):  # type: ignore[name-defined,misc]  # Hypothesis makes the class
    """The same with keys."""

    settings = _SERVED


@pytest.mark.slow
class TestLongTokenWalk(TokenWalk.TestCase):  # type: ignore[name-defined,misc]  # Hypothesis makes the class
    """The same walk, longer."""

    settings = _LONG


@pytest.mark.slow
class TestLongKeyedTokenWalk(KeyedTokenWalk.TestCase):  # type: ignore[name-defined,misc]  # Hypothesis makes the class
    """The same walk with keys, longer."""

    settings = _LONG
