"""The law book of the data layer port: what every layer must keep, as one pytest class. It knows the port only.

Chapters: values, JSON values, limits, writes, conflicts, queries, transactions, concurrency, losses, sweeps, upkeep.
"""

from __future__ import annotations

from resourcekit.testing.laws.concurrency import ConcurrencyLaws
from resourcekit.testing.laws.conflicts import ConflictLaws
from resourcekit.testing.laws.json_values import JSONLaws
from resourcekit.testing.laws.limits import LimitLaws
from resourcekit.testing.laws.losses import LossLaws
from resourcekit.testing.laws.queries import QueryLaws
from resourcekit.testing.laws.sweeps import SweepLaws
from resourcekit.testing.laws.transactions import TransactionLaws
from resourcekit.testing.laws.upkeep import UpkeepLaws
from resourcekit.testing.laws.values import ValueLaws
from resourcekit.testing.laws.writes import WriteLaws

__all__ = ["DataLayerLaws"]


class DataLayerLaws(
    ValueLaws,
    JSONLaws,
    LimitLaws,
    WriteLaws,
    ConflictLaws,
    QueryLaws,
    TransactionLaws,
    ConcurrencyLaws,
    LossLaws,
    SweepLaws,
    UpkeepLaws,
):
    """The laws of the port, for a test file of a few lines.

    ::

        from resourcekit.testing import DataLayerLaws

        class TestMyLayer(DataLayerLaws):
            def make_data_layer(self, tmp_path):
                return MyLayer(tmp_path / "records.db")

    Every law runs in both colours: sync (driven without a loop, with threads where several work at once) and async
    (in a loop, with tasks); no pytest plugin for asyncio is needed. Each law gets a layer of its own from
    ``make_data_layer``, which must return one with nothing stored; ``tmp_path`` is an empty folder of the law's own.
    A law binds up to three resources to the layer, so a layer that takes the name of its storage must make one from
    the resource's name, as long as none is given.

    A layer that speaks to a server also says how its connections are cut (``cut_connections``), so that the laws of losses
    can be tried.

    A law for which the layer lacks a capability is skipped, and the end of the run lists those laws; see
    ``resourcekit.testing.plugin``.

    One chapter is run by ``pytest -k "sweep"``, one colour by ``pytest -k "async"``. Needs pytest and hypothesis.
    """
