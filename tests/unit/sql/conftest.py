"""A small resource on a database, for tests of what the SQL data layer does around its statements."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from resourcekit import Attr, Domain, Resource, attribute, create, destroy, identity, increment, update
from resourcekit.data_layers import SQL, Repo
from tests.support.databases import KINDS, Database, scratch


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
    """A function that declares a resource in a database (a URL or a Repo), its storage made."""
    kept: list[Any] = []

    def make(place: Any, table: str = "notes", *, storage: bool = True) -> Any:
        domain = Domain(f"notes {len(kept)}")

        class Note(Resource, domain=domain, data_layer=place if isinstance(place, SQL) else SQL(place, table=table)):
            key: Attr[str] = attribute(primary_key=True, max_length=100)
            text: Attr[str | None] = attribute(default=None, max_length=100)
            number: Attr[int] = attribute(default=0)

            by_text = identity("text")

            write = create(accept=["key", "text", "number"])
            put = create(accept=["key", "text", "number"], upsert=True)
            edit = update(accept=["text", "number"])
            count_up = update(changes=[increment("number")])
            remove = destroy()

        Note.__qualname__ = f"Note{len(kept)}"
        kept.append((domain, Note))
        if storage:
            domain.create_storage()
        return Note

    return make
