"""An ordinary resource on Memory and SQLite, and on Memory and every server: all give the same answers."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, settings
from side_by_side import SideBySide, declare

from resourcekit import Domain, get
from resourcekit.data_layers import SQL, Memory
from resourcekit.expressions.nodes import Arithmetic, Call, Expression, Field
from resourcekit.expressions.rewriting import children, fields_of


@pytest.mark.parametrize("name", ["memory", "sqlite"])
def test_a_whole_float_stays_a_float(name, tmp_path):
    """Created, updated, upserted, read: 0.0 and 3.0 are no whole numbers."""
    domain = Domain("floats")
    thing = declare(domain, Memory() if name == "memory" else SQL(f"sqlite:///{tmp_path}/floats.db"), f"Floats{name}")
    domain.create_storage()
    made = thing.make(id=1, code="a", ratio=3.0)
    records = [made, thing.edit(made, ratio=0.0), thing.put(id=1, code="a", ratio=-7.0), get(thing, 1), thing.remove(1)]

    assert [float] * 5 == [type(record.ratio) for record in records]


_CHECKS = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
TestSideBySide = SideBySide.TestCase
TestSideBySide.settings = settings(max_examples=15, stateful_step_count=20, deadline=None, suppress_health_check=_CHECKS)


@pytest.mark.slow
class TestLongSideBySide(SideBySide.TestCase):  # type: ignore[name-defined,misc]  # Hypothesis makes the class
    """The same, longer."""

    settings = settings(max_examples=400, stateful_step_count=40, deadline=None, suppress_health_check=_CHECKS)


# Each attempt to make a failure smaller is hundreds of round trips.
_NO_SHRINK = [Phase.explicit, Phase.reuse, Phase.generate]


def _adds_prices(node):
    return (isinstance(node, (Arithmetic, Call)) and "price" in fields_of(node)) or any(map(_adds_prices, children(node)))


class ServersSideBySide(SideBySide):
    """Memory, PostgreSQL, MariaDB and Valkey."""

    kinds = ("postgresql", "mariadb", "valkey")

    def known(self, operation):
        """Upserts by the key only: by another identity MariaDB still meets the key first, and refuses a key that is taken.

        No sums of decimals, which MariaDB refuses because it cannot compute them exactly.
        """
        if isinstance(operation, Expression):
            return Field("price").is_none() if _adds_prices(operation) else operation
        if isinstance(operation, (tuple, list)):
            return type(operation)(self.known(each) for each in operation)
        return (
            operation.replace("put_code", "put") if isinstance(operation, str) and operation.startswith("put_code") else operation
        )


@pytest.mark.slow
class TestServersSideBySide(ServersSideBySide.TestCase):  # type: ignore[name-defined,misc]  # Hypothesis makes the class
    """The same on servers; fewer examples, because each operation is several round trips."""

    settings = settings(max_examples=20, stateful_step_count=20, deadline=None, suppress_health_check=_CHECKS, phases=_NO_SHRINK)
