"""Attributes with the names of system columns."""

from __future__ import annotations

import pytest

from resourcekit import Attr, Domain, Resource, attribute
from resourcekit.data_layers import SQL
from resourcekit.errors import DeclarationError


@pytest.mark.parametrize("name", ["ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"])
def test_names_of_system_columns_are_refused_on_postgresql(name: str) -> None:
    """The table could not be created; the error names the attribute and the cure."""
    with pytest.raises(DeclarationError, match=rf"attributes . {name} .*system column of postgresql.*Rename") as caught:
        domain = Domain("system")
        body = {"id": attribute(primary_key=True), name: attribute(), "__annotations__": {"id": Attr[int], name: Attr[int]}}
        layer = SQL("postgresql://localhost/nowhere", table="page")
        type(Resource)("Page", (Resource,), {**body, "__module__": __name__}, domain=domain, data_layer=layer)
        domain.create_storage()

    assert "RK105" == caught.value.code
