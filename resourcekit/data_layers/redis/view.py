"""The rows that one statement or one transaction has fetched, and what it made of them. It knows names, and no server.

A view answers only from what was fetched; asked for anything else it raises Missing, and the store fetches that and runs
the statement again. At the end it tells what must still be as it was, and what is to be written.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import attrs

from resourcekit.data_layers.base import TimeToLive
from resourcekit.data_layers.redis.codec import RowCodec
from resourcekit.data_layers.redis.keyspace import INDEX, VERSION, Keyspace
from resourcekit.data_layers.redis.scripts import Words
from resourcekit.data_layers.rows.plan import Wanted
from resourcekit.data_layers.rows.table import Draft, Fields, Journal, Key, Row, Table, Values
from resourcekit.flow.clock import Clock, current_clock
from resourcekit.flow.evaluation import Evaluator
from resourcekit.resource_info import ResourceInfo

__all__ = ["Missing", "Plot", "Range", "View"]


class Missing(Exception):  # no error: asks the store to fetch
    """A statement needs rows that were not fetched."""

    def __init__(self, wanted: Wanted) -> None:
        super().__init__()
        self.wanted = wanted


@attrs.frozen
class Range:
    """Members of a sorted set that were read: all between low and high."""

    set: bytes
    low: bytes
    high: bytes
    members: tuple[bytes, ...]


@attrs.frozen
class Plot:
    """What a resource's views have in common. life: when the server may free a record by itself; ``None``: never."""

    info: ResourceInfo
    names: Keyspace
    codec: RowCodec
    life: TimeToLive | None


class _Fetched(Draft):
    """A draft over what was fetched."""

    __slots__ = ("equal", "everything", "keys")

    def __init__(self, table: Table, journal: Journal) -> None:
        super().__init__(table, tracked=False, journal=journal)
        self.keys: set[Key] = set()
        self.equal: set[tuple[Fields, Values]] = set()
        self.everything = False

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


class View:
    """What was read and written of one resource."""

    def __init__(self, plot: Plot, journal: Journal | None = None) -> None:
        self._plot = plot
        self.table = Table(plot.info)
        for index in plot.info.indexes.values():
            self.table.use_index(index.fields)
        self.draft = _Fetched(self.table, [] if journal is None else journal)
        self._versions: dict[Key, bytes] = {}
        self.ranges: list[Range] = []
        self.counter: bytes | None = None

    # What was fetched

    def unknown(self, wanted: Wanted) -> Wanted:
        """Return what of it was not fetched yet."""
        draft = self.draft
        if draft.everything:
            return Wanted()
        keys = tuple(dict.fromkeys(key for key in wanted.keys if key not in draft.keys))
        return Wanted(keys, tuple(pair for pair in wanted.equal if pair not in draft.equal), wanted.everything)

    def learn(self, key: Key, kept: Mapping[bytes, bytes]) -> None:
        """Take in a hash as it was read; an empty one is no record. What is known already stays as it was seen first."""
        if key in self.draft.keys:
            return
        self.draft.keys.add(key)
        self._versions[key] = kept.get(VERSION, b"")
        if kept:
            self.table.replace(key, self._plot.codec.decode(kept))

    def key_of(self, kept: Mapping[bytes, bytes]) -> Key:
        """Return the key of a hash."""
        key: Key = self.table.key_of(self._plot.codec.decode(kept))
        return key

    # What is to be written

    def is_written(self) -> bool:
        """Say whether there is anything to commit."""
        return any(self.table.rows.get(key) is not row for key, row in self.draft.rows.items())

    def checks(self, *, all_reads: bool) -> tuple[list[Words], list[Words], list[Words]]:
        """Return the versions, ranges and counters that must still be as they were.

        all_reads: all that was read, as a transaction asks; else what was written, and identities.
        """
        names = self._plot.names
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
        """Return the commands that make the draft's rows stand."""
        commands: list[Words] = []
        for key, row in self.draft.rows.items():
            old = self.table.rows.get(key)
            if row is not old:
                commands += self._replace(key, old, row)
        if commands:
            commands.append((b"INCR", self._plot.names.commits))
        return commands

    def _replace(self, key: Key, old: Row | None, row: Row | None) -> list[Words]:
        names = self._plot.names
        key_bytes, name = names.key_bytes(key), names.row(key)
        before = {} if old is None else dict(names.members(old, key_bytes))
        after = {} if row is None else dict(names.members(row, key_bytes))
        commands: list[Words] = [
            (b"ZREM", names.sets[index], member) for index, member in before.items() if after.get(index) != member
        ]
        if old is not None:
            commands.append((b"DEL", name))
        if row is None:
            commands.append((b"ZREM", names.keys, key_bytes))
            return commands
        words: list[bytes | int] = [b"HSET", name, VERSION, os.urandom(8), *self._plot.codec.encode(row)]
        for index, member in after.items():
            words += (INDEX + index.encode(), member)
        commands.append(words)
        commands += self._life(name, row)
        if old is None:
            commands.append((b"ZADD", names.keys, 0, key_bytes))
        commands += [(b"ZADD", names.sets[index], 0, member) for index, member in after.items() if before.get(index) != member]
        return commands

    def _life(self, name: bytes, row: Row) -> Sequence[Words]:
        """Let the server free a record by itself once nobody may ask for it any more."""
        life = self._plot.life
        if life is None or type(current_clock()) is not Clock:  # a clock moved by hand is not the server's
            return ()
        ends: datetime | None = row[life.attribute]
        if ends is None or ends.year == 9999:  # kept for ever
            return ()
        # Counted from now, so that a server whose clock is ahead frees nothing early; what is over is left to the sweep.
        seconds = (ends + life.margin - current_clock().now()).total_seconds()
        return ((b"PEXPIRE", name, int(seconds * 1000) + 1),) if seconds > 0 else ()
