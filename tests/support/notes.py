"""A small resource for tests of what a data layer does around its statements."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from resourcekit import Attr, Domain, Resource, attribute, context, create, destroy, identity, increment, update
from resourcekit.data_layers import SQL

__all__ = ["declared"]

_kept: list[Any] = []
"""Keeps resources alive; without it a resource lives as long as a reference to it, and a test that forks has none."""


def declared(place: Any, table: str = "notes", *, storage: bool = True) -> Any:
    """Return a resource in a database (a URL, a Repo or a layer), its storage made."""
    domain = Domain(f"notes {len(_kept)}")

    class Note(Resource, domain=domain, data_layer=SQL(place, table=table) if not hasattr(place, "bind") else place):
        key: Attr[str] = attribute(primary_key=True, max_length=100)
        text: Attr[str | None] = attribute(default=None, max_length=100)
        number: Attr[int] = attribute(default=0)
        body: Attr[str | None] = attribute(default=None)

        by_text = identity("text")

        write = create(accept=["key", "text", "number", "body"])
        put = create(accept=["key", "text", "number"], upsert=True)
        edit = update(accept=["text", "number"])
        count_up = update(changes=[increment("number")])
        remove = destroy()

    Note.__qualname__ = f"Note{len(_kept)}"
    _kept.append((domain, Note))
    if storage:
        with context(deadline=timedelta(seconds=60)):  # the place may have a short timeout, and the machine be busy
            domain.create_storage()
    return Note
