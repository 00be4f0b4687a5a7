"""Snapshots: the rows that one statement or one transaction has fetched, and its writes.

A snapshot answers only from fetched rows. For any other row it raises Missing; then the store fetches the row and runs the
statement again. At the end the snapshot returns the checks and commands of its commit.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import attrs

from resourcekit.data_layers.redis.codec import RowCodec
from resourcekit.data_layers.redis.keyspace import INDEX, VERSION, Keyspace
from resourcekit.data_layers.redis.scripts import Words
from resourcekit.data_layers.redis.unread import PartlyRead, Unread
from resourcekit.data_layers.rows.plan import Wanted
from resourcekit.data_layers.rows.table import Draft, Fields, Journal, Key, Row, Table, Values
from resourcekit.expressions.evaluation import Evaluator
from resourcekit.resource_info import ResourceInfo

__all__ = ["Fetched", "KeyLayout", "Missing", "Range", "Snapshot"]


class Missing(Exception):  # internal: makes the store fetch rows
    """A statement needs rows that were not fetched."""

    def __init__(self, wanted: Wanted) -> None:
        super().__init__()
        self.wanted = wanted


@attrs.frozen
class Range:
    """The members of a sorted set that were read: all between ``low`` and ``high``."""

    set: bytes
    low: bytes
    high: bytes
    members: tuple[bytes, ...]


@attrs.frozen
class KeyLayout:
    """The facts that all snapshots of a resource share."""

    info: ResourceInfo
    names: Keyspace
    codec: RowCodec


class Fetched(Draft):
    """A draft over the fetched rows. unread: the first of their values that do not fit their types."""

    __slots__ = ("equal", "everything", "keys", "unread")

    def __init__(self, table: Table, journal: Journal) -> None:
        super().__init__(table, tracked=False, journal=journal)
        self.keys: set[Key] = set()
        self.equal: set[tuple[Fields, Values]] = set()
        self.everything = False
        self.unread: Unread | None = None

    def get(self, key: Key) -> Row | None:
        if not (self.everything or key in self.keys or key in self.rows):
            raise Missing(Wanted(keys=(key,)))
        return super().get(key)

    def holding(self, fields: Fields, values: Values) -> list[Row]:
        is_known = self.everything or (fields, values) in self.equal
        if not is_known and not (fields in self.table.unique and None in values):
            raise Missing(Wanted(equal=((fields, values),)))
        return super().holding(fields, values)

    def scan(self, matches: Evaluator | None, params: Mapping[str, Any]) -> list[Row]:
        if not self.everything:
            raise Missing(Wanted(everything=True))
        return super().scan(matches, params)


class Snapshot:
    """The rows of one resource that were read and written."""

    def __init__(self, layout: KeyLayout, journal: Journal | None = None) -> None:
        self._layout = layout
        self.table = Table(layout.info)
        for index in layout.info.indexes.values():
            self.table.use_index(index.fields)
        self.draft = Fetched(self.table, [] if journal is None else journal)
        self._versions: dict[Key, bytes] = {}
        self.ranges: list[Range] = []
        self.counter: bytes | None = None

    # Fetched rows

    def unknown(self, wanted: Wanted) -> Wanted:
        """Return the part of ``wanted`` that was not fetched yet."""
        draft = self.draft
        if draft.everything:
            return Wanted()
        keys = tuple(dict.fromkeys(key for key in wanted.keys if key not in draft.keys))
        return Wanted(keys, tuple(pair for pair in wanted.equal if pair not in draft.equal), wanted.everything)

    def learn(self, key: Key, kept: Mapping[bytes, bytes]) -> None:
        """Add a hash that was read; an empty one means that there is no record. A row that is known already stays unchanged."""
        if key in self.draft.keys:
            return
        self.draft.keys.add(key)
        self._versions[key] = kept.get(VERSION, b"")
        if kept:
            row = self._layout.codec.decode_partly(kept)
            if type(row) is PartlyRead and self.draft.unread is None:
                self.draft.unread = next(each for each in row.values() if type(each) is Unread)
            self.table.replace(key, row)

    def key_of(self, kept: Mapping[bytes, bytes]) -> Key:
        """Return the key of a hash."""
        key: Key = self.table.key_of(self._layout.codec.key_of(kept))
        return key

    # Writes

    def is_written(self) -> bool:
        """Return whether there is anything to commit."""
        return any(self.table.rows.get(key) is not row for key, row in self.draft.rows.items())

    def checks(self, *, all_reads: bool) -> tuple[list[Words], list[Words], list[Words]]:
        """Return the versions, ranges and counters that must be unchanged at the commit.

        all_reads: those of everything that was read, for a transaction; otherwise those of written rows and of identities.
        """
        names = self._layout.names
        keys = self._versions if all_reads else {key: self._versions.get(key, b"") for key in self.draft.rows}
        versions: list[Words] = [(names.row(key), version) for key, version in keys.items()]
        unique = {names.index_of(fields) for fields in self.table.unique}
        ranges: list[Words] = [
            (each.set, each.low, each.high, len(each.members), *each.members)
            for each in self.ranges
            if all_reads or each.set in unique
        ]
        counters: list[Words] = [] if self.counter is None or not all_reads else [(names.commits, self.counter)]
        return versions, ranges, counters

    def commands(self) -> list[Words]:
        """Return the commands that write the draft's rows."""
        commands: list[Words] = []
        for key, row in self.draft.rows.items():
            old = self.table.rows.get(key)
            if row is not old:
                commands += self._replace(key, old, row)
        if commands:
            commands.append((b"SET", self._layout.names.commits, os.urandom(8)))
        return commands

    def _replace(self, key: Key, old: Row | None, row: Row | None) -> list[Words]:
        names = self._layout.names
        key_bytes, name = names.key_bytes(key), names.row(key)
        before = {} if old is None else dict(names.members(old, key_bytes))
        after = {} if row is None else dict(names.members(row, key_bytes))
        commands: list[Words] = [
            (b"ZREM", names.sets[index], member) for index, member in before.items() if after.get(index) != member
        ]
        if row is None:
            commands += [(b"DEL", name), (b"ZREM", names.keys, names.member(key_bytes))]
            return commands
        # Other fields are left unchanged: a newer version of the program may have attributes that this one lacks.
        gone = [] if old is None else [field.encode() for field, value in old.items() if value is not None and row[field] is None]
        if gone:
            commands.append((b"HDEL", name, *gone))
        words: list[bytes | int] = [b"HSET", name, VERSION, os.urandom(8), *self._layout.codec.encode(row)]
        for index, member in after.items():
            words += (INDEX + index.encode(), member)
        commands.append(words)
        if old is None:
            commands.append((b"ZADD", names.keys, 0, names.member(key_bytes)))
        commands += [(b"ZADD", names.sets[index], 0, member) for index, member in after.items() if before.get(index) != member]
        return commands
