"""The conformance suite: tests that every data layer must pass, as one pytest class.

Its parts are: values, round trips, JSON values, limits, writes, conflicts, queries, transactions, concurrency, losses, places, processes,
sweeps, settings, upkeep.
"""

from __future__ import annotations

from resourcekit.testing.conformance.concurrency import ConcurrencySuite
from resourcekit.testing.conformance.conflicts import ConflictSuite
from resourcekit.testing.conformance.crashes import ProcessSuite
from resourcekit.testing.conformance.fleet import FleetSuite
from resourcekit.testing.conformance.json_values import JSONSuite
from resourcekit.testing.conformance.limits import LimitSuite
from resourcekit.testing.conformance.losses import LossSuite
from resourcekit.testing.conformance.places import PlaceSuite
from resourcekit.testing.conformance.queries import QuerySuite
from resourcekit.testing.conformance.round_trips import RoundTripSuite
from resourcekit.testing.conformance.settings import SettingSuite
from resourcekit.testing.conformance.sweeps import SweepSuite
from resourcekit.testing.conformance.transactions import TransactionSuite
from resourcekit.testing.conformance.upkeep import UpkeepSuite
from resourcekit.testing.conformance.values import ValueSuite
from resourcekit.testing.conformance.writes import WriteSuite

__all__ = ["DataLayerSuite", "FleetSuite"]


class DataLayerSuite(
    ValueSuite,
    RoundTripSuite,
    JSONSuite,
    LimitSuite,
    WriteSuite,
    ConflictSuite,
    QuerySuite,
    TransactionSuite,
    ConcurrencySuite,
    LossSuite,
    PlaceSuite,
    ProcessSuite,
    SweepSuite,
    SettingSuite,
    UpkeepSuite,
):
    """The conformance suite for data layers. A test file of a few lines runs it.

    ::

        from resourcekit.testing import DataLayerSuite

        class TestMyLayer(DataLayerSuite):
            def make_data_layer(self, tmp_path):
                return MyLayer(tmp_path / "records.db")

    Every test runs sync (without an event loop, with threads for concurrent work) and async (in a loop, with tasks). It needs
    no pytest plugin for asyncio. Each test gets a layer of its own from ``make_data_layer``, which must return one without
    records; ``tmp_path`` is an empty folder of that test. If it is called again with the same folder, it must return a layer
    on the same place: the tests of places and processes bind a second store, restart, and start and kill processes with the
    same declaration. A layer whose records end with the process declares itself ``in_process``; these tests are then skipped,
    and listed.

    A test binds up to three resources to the layer. A layer that names its storage must therefore derive the name from the
    resource's name, unless a name is given. A layer that connects to a server also defines how its connections are cut
    (``cut_connections``), which the tests of losses need.

    A test that needs a capability that the layer lacks is skipped, and the end of the run lists these tests; see
    ``resourcekit.testing.plugin``. A test that does not end within ``time_limit`` fails, with its name and with the lines at
    which it waits.

    ``pytest -k "sweep"`` runs one part, ``pytest -k "async"`` one call mode. The suite needs pytest and hypothesis.
    """
