"""Names of everything that a resource keeps on the server. It knows facts of the resource, and no server.

============================= ======================================================================================
``{tag}prefix=KEY``           a record: a hash of its attributes, its version (``~``) and its index members (``~NAME``)
``{tag}prefix!keys``          sorted set of all keys, in order: the layout that scans and sweeps walk through
``{tag}prefix!by:NAME``       sorted set of an identity or index: its values, then the key
``{tag}prefix!epoch``         the canary: without it the store was emptied, and nothing it says counts
``{tag}prefix!commits``       counts the commits
============================= ======================================================================================

All of it has one hash tag, so a cluster keeps it in one slot, where one script can change several records.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from resourcekit.data_layers.redis.codec import RowCodec
from resourcekit.data_layers.rows.table import Fields, Key, Values
from resourcekit.declarations.identity import Identity, Index
from resourcekit.resource_info import ResourceInfo

__all__ = ["INDEX", "VERSION", "Keyspace"]

VERSION = b"~"
"""Field of a record's hash: drawn anew by each write of it. No attribute can have this name."""

INDEX = b"~"
"""Begins the names of the fields that hold a record's index members."""

_END = b"\0\0"


def _part(value: bytes | None) -> bytes:
    """Return a value such that no value's part is the beginning of another's."""
    return (b"-" if value is None else b"+" + value.replace(b"\0", b"\0\xff")) + _END


class Keyspace:
    """The names."""

    def __init__(self, info: ResourceInfo, tag: str, prefix: str, codec: RowCodec) -> None:
        start = f"{{{tag}}}{prefix}".encode()
        self.row_start = start + b"="
        self.keys, self.epoch, self.commits = start + b"!keys", start + b"!epoch", start + b"!commits"
        self.primary_key: Fields = tuple(info.primary_key)
        self._encoders = codec.encoders
        groups: dict[str, Identity | Index] = {**info.identities, **info.indexes}
        self.indexes: dict[str, Fields] = {name: group.fields for name, group in groups.items()}
        self.sets: dict[str, bytes] = {name: start + b"!by:" + name.encode() for name in groups}
        self._set_of: dict[Fields, str] = {fields: name for name, fields in reversed(self.indexes.items())}

    def key_bytes(self, key: Key) -> bytes:
        """Return a primary key as it stands in names and members."""
        if len(self.primary_key) == 1:
            return self._encoders[self.primary_key[0]](key)
        assert isinstance(key, tuple)
        return b"".join(_part(self._encoders[field](part)) for field, part in zip(self.primary_key, key, strict=True))

    def row(self, key: Key) -> bytes:
        """Return the name of a record's hash."""
        return self.row_start + self.key_bytes(key)

    def values_bytes(self, fields: Fields, values: Values) -> bytes:
        """Return what all members of an index with these values begin with."""
        encoders = self._encoders
        return b"".join(
            _part(None if value is None else encoders[field](value)) for field, value in zip(fields, values, strict=True)
        )

    def index_of(self, fields: Fields) -> bytes:
        """Return the sorted set of an identity or index over these fields."""
        return self.sets[self._set_of[fields]]

    def members(self, row: Mapping[str, Any], key: bytes) -> Iterator[tuple[str, bytes]]:
        """Yield name and member of each index that holds a row."""
        for name, fields in self.indexes.items():
            yield name, self.values_bytes(fields, tuple(row[field] for field in fields)) + key
