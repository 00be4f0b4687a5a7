"""A small resource on a database, for tests of what the SQL data layer does around its statements."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from resourcekit.data_layers import Repo
from tests.support.databases import KINDS, Database, scratch
from tests.support.notes import declared


@pytest.fixture(params=KINDS)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """An empty database."""
    with scratch(request.param, tmp_path) as place:
        yield place


@pytest.fixture
def repo(database: Database) -> Repo:
    """The database as a Repo of its own."""
    return Repo(database.url)


@pytest.fixture
def declare() -> Callable[..., Any]:
    """A function that declares a resource in a database (a URL, a Repo or a layer), its storage made."""
    return declared
