"""Names of all keys of a resource on the server.

============================= ======================================================================================
``{tag}prefix=KEY``           a record: a hash of its attributes, its version (``~``) and its index members (``~NAME``)
``{tag}prefix!keys``          sorted set of all keys in order; scans and sweeps follow it
``{tag}prefix!by:NAME:FIELD`` sorted set of an identity or index over these fields: its values, then the key
``{tag}prefix!commits``       changed by each commit
============================= ======================================================================================

All names have the same hash tag, so a cluster keeps them in one slot, where one script can change several records. ``=`` and
``!`` in a prefix are escaped, so no name of one prefix is a name of another one.

The last member of each sorted set is the marker of the storage. A set that was lost has lost its marker, too. A record that was
lost has left its key in the set of all keys. So every loss is detected.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from resourcekit.data_layers.redis.codec import RowCodec
from resourcekit.data_layers.redis.unread import Unread
from resourcekit.data_layers.rows.table import Fields, Key, Values
from resourcekit.declarations.identity import Identity, Index
from resourcekit.resource_info import ResourceInfo

__all__ = ["INDEX", "VERSION", "Keyspace"]

VERSION = b"~"
"""Field of a record's hash with a random value that each write changes. No attribute can have this name."""

INDEX = b"~"
"""Prefix of the fields that hold a record's index members."""

_END = b"\0\0"

_ESCAPED = {"%": "%25", "=": "%3D", "!": "%21"}

_MEMBER, _MARKER = b"+", b"~"
"""Prefix of the members of the set of all keys; prefix of the marker, which sorts after all members of any set."""


def _part(value: bytes | None) -> bytes:
    """Return an encoded value. No encoded value is a prefix of another one."""
    return (b"-" if value is None else b"+" + value.replace(b"\0", b"\0\xff")) + _END


class Keyspace:
    """The names of one resource's keys."""

    def __init__(self, info: ResourceInfo, tag: str, prefix: str, codec: RowCodec) -> None:
        start = f"{{{tag}}}{''.join(_ESCAPED.get(letter, letter) for letter in prefix)}".encode()
        self.row_start = start + b"="
        self.keys, self.commits = start + b"!keys", start + b"!commits"
        self.primary_key: Fields = tuple(info.primary_key)
        self._encoders = codec.key_encoders
        groups: dict[str, Identity | Index] = {**info.identities, **info.indexes}
        self.indexes: dict[str, Fields] = {name: group.fields for name, group in groups.items()}
        self.sets: dict[str, bytes] = {
            name: start + f"!by:{name}:{','.join(fields)}".encode() for name, fields in self.indexes.items()
        }
        self._set_of: dict[Fields, str] = {fields: name for name, fields in reversed(self.indexes.items())}

    def key_bytes(self, key: Key) -> bytes:
        """Return a primary key in the form that names and members contain."""
        if len(self.primary_key) == 1:
            return self._encoders[self.primary_key[0]](key)
        assert isinstance(key, tuple)
        return b"".join(_part(self._encoders[field](part)) for field, part in zip(self.primary_key, key, strict=True))

    def row(self, key: Key) -> bytes:
        """Return the name of a record's hash."""
        return self.row_start + self.key_bytes(key)

    def member(self, key_bytes: bytes) -> bytes:
        """Return the member for a key in the set of all keys."""
        return _MEMBER + key_bytes

    def marker(self, epoch: bytes) -> bytes:
        """Return the marker, a member of each set that distinguishes the storage from one that was created again."""
        return _MARKER + epoch

    def values_bytes(self, fields: Fields, values: Values) -> bytes:
        """Return the common prefix of all index members with these values."""
        encoders = self._encoders
        return b"".join(
            _part(None if value is None else value.kept if type(value) is Unread else encoders[field](value))
            for field, value in zip(fields, values, strict=True)
        )

    def index_of(self, fields: Fields) -> bytes:
        """Return the name of the sorted set of an identity or index over these fields."""
        return self.sets[self._set_of[fields]]

    def members(self, row: Mapping[str, Any], key: bytes) -> Iterator[tuple[str, bytes]]:
        """Yield name and member for each index that contains a row."""
        for name, fields in self.indexes.items():
            yield name, self.values_bytes(fields, tuple(row[field] for field in fields)) + key
