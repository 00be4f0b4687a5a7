"""Errors for a server that cannot be reached by its URL: they name the problem, and no part of the URL."""

from __future__ import annotations

import pytest
from sqlalchemy.engine import make_url

from resourcekit.data_layers import Repo
from resourcekit.errors import Unavailable
from tests.support.notes import declared


def refused(place, **parts):
    """Return the error when storage is made at a place whose URL has other parts."""
    with pytest.raises(Unavailable) as caught:
        declared(Repo(make_url(place.url).set(**parts)))
    return str(caught.value)


@pytest.mark.parametrize(
    ("parts", "received"),
    [
        ({"host": "nowhere.invalid"}, "The host of its URL has no address"),
        ({"username": "hunter2"}, "Give the right user and password"),
        ({"database": "hunter2"}, "Create the database"),
        ({"query": {"sslmode": "hunter2"}}, "A parameter of its URL is none of libpq's"),
        ({"port": 1}, "Is it running, does it listen where the URL says"),
    ],
)
def test_postgresql_says_which_part_of_the_url_is_wrong(postgresql, parts, received):
    """Of libpq's message, whose text may hold anything, only the meaning is reported."""
    text = refused(postgresql, **parts)

    assert received in text
    assert "hunter2" not in text


def test_a_column_that_is_missing_is_the_matter_of_a_migration(postgresql):
    """Storage that is there is not changed by making it once more."""
    note = declared(postgresql.url)
    postgresql.run(f"ALTER TABLE {note.__runtime__.store.table.name} DROP COLUMN text")
    with pytest.raises(Unavailable, match="or migrate the one that is there"):
        note.write(key="a")
