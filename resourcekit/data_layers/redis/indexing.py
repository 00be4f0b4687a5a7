"""Fills indexes that were declared after records were stored, or that the server lost."""

from __future__ import annotations

from operator import itemgetter
from typing import Any

from resourcekit.data_layers.redis.keyspace import INDEX, VERSION
from resourcekit.data_layers.redis.reading import Reader
from resourcekit.data_layers.redis.scripts import Words
from resourcekit.data_layers.redis.server import Server
from resourcekit.data_layers.redis.snapshot import KeyLayout
from resourcekit.data_layers.redis.writing import Changed, commit

__all__ = ["fill_indexes"]


async def fill_indexes(server: Server, tag: str, layout: KeyLayout, reader: Reader, marker: bytes) -> None:
    """Add all records to each index that lacks the marker, then set the marker. Several processes may do so at once."""
    sets = layout.names.sets
    asked = await server.ask(tag, [(b"ZSCORE", group, marker) for group in sets.values()]) if sets else []
    lacking = {name: group for (name, group), score in zip(sets.items(), asked, strict=True) if score is None}
    if not lacking:
        return
    markers = [(layout.names.keys, marker)]
    low = b"-"
    while low:
        last, found = await reader.page_after(low)
        try:
            await commit(server, tag, markers, *_entries(layout, lacking, found))
        except Changed:
            continue  # another write came first: repeat this page
        low = b"(" + last if last else b""
    await commit(server, tag, markers, [], [(b"ZADD", group, 0, marker) for group in lacking.values()])


def _entries(layout: KeyLayout, indexes: dict[str, bytes], found: list[dict[bytes, bytes]]) -> tuple[list[Words], list[Words]]:
    """Return the versions that must be unchanged, and the commands that add these records to the indexes."""
    names, key_of = layout.names, itemgetter(*layout.info.primary_key)
    versions: list[Words] = []
    commands: list[Words] = []
    for kept in found:
        row: dict[str, Any] = layout.codec.decode_partly(kept)
        key = names.key_bytes(key_of(row))
        name = names.row_start + key
        versions.append((name, kept[VERSION]))
        for index, member in names.members(row, key):
            if index in indexes:
                commands += [(b"HSET", name, INDEX + index.encode(), member), (b"ZADD", indexes[index], 0, member)]
    return versions, commands
