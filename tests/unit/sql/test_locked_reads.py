"""Reads that lock, as statements; no server is needed."""

from __future__ import annotations

import pytest

from resourcekit import Attr, Domain, Resource, attribute
from resourcekit.data_layers import SQL
from resourcekit.data_layers.base import Select
from resourcekit.data_layers.sql.compile.statement import SQLPlan
from resourcekit.extending import Field, runtime_of


@pytest.mark.parametrize("url", ["postgresql://localhost/nowhere", "mariadb://localhost/nowhere"])
def test_a_locked_read_waits_for_other_writers_on_a_server(url: str) -> None:
    """The hooks of an atomic change see the state before their own write because of it."""

    class Page(Resource, domain=Domain("locks"), data_layer=SQL(url, table="page")):
        id: Attr[int] = attribute(primary_key=True)

    plan = runtime_of(Page).store.compile(Select(Field("id") == 1, lock=True))

    assert isinstance(plan, SQLPlan)
    assert plan.statement.sql.endswith("FOR UPDATE")
