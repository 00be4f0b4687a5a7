"""An SQLite file that does not exist: only ``create_storage()`` makes it, so that a wrong path is not a new, empty database."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from resourcekit import Attr, Domain, Resource, attribute, create, query
from resourcekit.data_layers import SQL
from resourcekit.doctor import doctor
from resourcekit.errors import Unavailable
from resourcekit_tokens import JWT, TokenRecord, TokenResource


def _declared(file: Path, **options: Any) -> Any:
    domain = Domain("missing")

    class Item(Resource, domain=domain, data_layer=SQL(f"sqlite:///{file}", table="items", **options)):
        id: Attr[int] = attribute(primary_key=True)
        make = create(accept=["id"])

    return Item, domain


@pytest.mark.parametrize("options", [{}, {"managed": False}])
def test_neither_calls_nor_doctor_make_the_file(tmp_path: Path, options: dict[str, Any]) -> None:
    """Reads and writes, sync and async, say that the table is missing, and doctor that the file is."""
    file = tmp_path / "items.db"
    item, domain = _declared(file, **options)
    calls = [query(item).all, query(item).count, lambda: item.make(id=1), lambda: asyncio.run(query(item).all.aio())]
    for call in calls:
        with pytest.raises(Unavailable, match="create_storage"):
            call()
    assert "RK110" in {each.id for each in doctor(item)}
    assert not file.exists()
    if not options:
        domain.create_storage()
        assert [item.make(id=1)] == query(item).all()


def test_a_sweep_does_not_make_the_file(tmp_path: Path) -> None:
    """Neither a sweep nor a dry run."""
    file = tmp_path / "tokens.db"

    class Token(
        TokenRecord,
        domain=Domain("sweeps"),
        data_layer=SQL(f"sqlite:///{file}"),
        extensions=[TokenResource(jwt=JWT("b6jCk0fVZ1cQ9uYxL3mWd7RtHs2NpEaG8iToK5yvX4zQ"))],
    ):
        """Revoked tokens."""

    for is_dry in (True, False):
        with pytest.raises(Unavailable):
            Token.expunge_expired(dry_run=is_dry)
    assert not file.exists()
