"""A PostgreSQL backend that ends in order may have committed before: who sent what commits is told that nobody knows."""

from __future__ import annotations

import pytest

from resourcekit import query
from resourcekit.data_layers.sql.link import Link
from resourcekit.engine.drive import drive
from resourcekit.errors import OutcomeUnknown
from tests.support.databases import scratch
from tests.support.notes import declared

pytestmark = pytest.mark.fault


def test_a_write_whose_backend_ends_is_unknown_and_not_made_again(tmp_path):
    """The error of the server proves nothing about a statement that commits by itself; the next call works."""
    with scratch("postgresql", tmp_path) as database:
        note = declared(database.url)
        ends = "SELECT pg_terminate_backend(pg_backend_pid())"
        with pytest.raises(OutcomeUnknown):
            drive(note.__runtime__.store.do(Link.fetch, ends, (), writes=True))

        assert 0 == query(note).count()
