"""Fetches records from the server: one by key, those that a snapshot lacks, or all of them, page by page."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from operator import itemgetter
from typing import Any

from resourcekit.data_layers.base import Params, Row
from resourcekit.data_layers.redis.failures import refused
from resourcekit.data_layers.redis.scripts import CREATE, POINT, READ, Words
from resourcekit.data_layers.redis.server import Command, Server
from resourcekit.data_layers.redis.snapshot import KeyLayout, Range, Snapshot
from resourcekit.data_layers.rows.parameters import check
from resourcekit.data_layers.rows.plan import RowPlan, Wanted
from resourcekit.errors import Unavailable

__all__ = ["Reader", "as_mapping"]

_PAGE = 500
"""Records that one script reads; this takes some milliseconds of the server's time."""

_ALL = -1

_NO_RECORD, _NO_MARKER = 0, 1
_LOST = b"lost"
"""Answers of POINT and READ."""


class Reader:
    """Reads the records of one resource. forgets: reads of many records skip those that were lost."""

    def __init__(self, server: Server, tag: str, layout: KeyLayout) -> None:
        self._server, self._tag, self._layout = server, tag, layout
        self._marker: bytes | None = None
        self.forgets = "maxmemory-policy" in server.accepted
        self._all_fields = tuple(layout.info.attributes)
        self._words: dict[tuple[str, ...], tuple[bytes, ...]] = {}  # at most one entry for each plan
        self._key_of = itemgetter(*layout.info.primary_key)

    # The marker

    async def ask_marker(self) -> bytes | None:
        """Return the marker that the server has; ``None`` if it has none."""
        keys = self._layout.names.keys
        words: Sequence[Command] = [(b"PERSIST", keys), (b"ZREVRANGEBYLEX", keys, b"+", b"[~", b"LIMIT", 0, 1)]
        answers = await self._server.ask(self._tag, words)
        for answer in answers:
            if isinstance(answer, Exception):
                raise refused(answer)
        return answers[1][0] if answers[1] else None

    async def present_marker(self) -> bytes:
        """Return the marker that the server has now, even if this process began with another one.

        Raise Unavailable if it has none.
        """
        marker = await self.ask_marker()
        if marker is None:
            raise self._missing()
        return marker

    async def marker(self) -> bytes:
        """Return the marker. Raise Unavailable if it is missing."""
        if self._marker is None:
            self._know(await self.ask_marker())
        assert self._marker is not None
        return self._marker

    def _know(self, marker: bytes | None) -> None:
        if not marker:
            raise self._missing()
        if self._marker is None:
            self._marker = marker
        if marker != self._marker:
            msg = f"the storage of {self._layout.info.name} was emptied and made anew while this process used it"
            raise Unavailable(msg)

    def _missing(self) -> Unavailable:
        return Unavailable(f"the storage of {self._layout.info.name} is missing; call create_storage()")

    def _lost(self) -> Unavailable:
        return Unavailable(
            f"the server lost records of {self._layout.info.name} that it had acknowledged: it evicted them, or their keys were"
            " deleted; restore it from a backup, or see RK163 in the list of errors"
        )

    async def create(self) -> bytes:
        """Set the marker if there is none, and return it."""
        names = self._layout.names
        others = [names.commits, *names.sets.values()]
        words: Words = [names.marker(secrets.token_hex(8).encode()), int(self.forgets), len(others), *others]
        (marker,) = await self._server.script(self._tag, CREATE, names.keys, words, writes=True)
        if not marker:
            raise self._lost()
        self._marker = marker
        return marker  # type: ignore[no-any-return]  # redis-py's answers are untyped

    # Records

    async def point(self, plan: RowPlan, params: Params, fields: tuple[str, ...] | None) -> Row | None:
        """Return the record with a key, or these attributes of it, maybe PartlyRead; ``None`` if there is no such record."""
        assert plan.point is not None
        key = params[plan.point]
        check(key, self._layout.info.primary_key[0], self._layout.info.name)
        names = self._all_fields if fields is None else fields
        key_bytes = _encoded(self._layout.names.key_bytes, key)
        if key_bytes is None:
            return None
        words = self._words.get(names)
        if words is None:
            words = self._words[names] = (*self._layout.codec.fields(names), self._layout.names.primary_key[0].encode())
        keyspace, marker = self._layout.names, self._marker or await self.marker()
        keys = (keyspace.keys, keyspace.row_start + key_bytes)
        (answer,) = await self._server.script(self._tag, POINT, keys, (marker, keyspace.member(key_bytes), *words), writes=False)
        if answer == _NO_RECORD:
            return None
        if answer == _NO_MARKER:
            self._know(await self.ask_marker())
        if not isinstance(answer, list):
            raise self._lost()
        return self._layout.codec.decode_some(names, answer[:-1])

    async def fetch(self, snapshot: Snapshot, wanted: Wanted) -> None:
        """Fetch the wanted rows that a snapshot lacks."""
        lacking = snapshot.unknown(wanted)
        if lacking.everything:
            await self._fetch_all(snapshot)
        elif lacking.keys or lacking.equal:
            await self._fetch_some(snapshot, lacking)

    async def _fetch_some(self, snapshot: Snapshot, wanted: Wanted) -> None:
        names, marker = self._layout.names, await self.marker()
        keys = [(key, name) for key in wanted.keys if (name := _encoded(names.key_bytes, key)) is not None]
        pairs = [(pair, low) for pair in wanted.equal if (low := _encoded(names.values_bytes, *pair)) is not None]
        bounds = [(names.index_of(fields), b"[" + low, b"(" + low[:-1] + b"\x01") for (fields, _), low in pairs]
        ranges: list[Words] = [
            (group, marker, *bound, _ALL, len(low)) for (group, *bound), (_, low) in zip(bounds, pairs, strict=True)
        ]
        words: Words = [names.row_start, names.commits, len(keys), *(name for _, name in keys), len(bounds)]
        words = [*words, *itertools.chain.from_iterable(ranges)]  # once: one list for each range would be quadratic
        answer = await self._read(words)
        for (key, _), kept in zip(keys, answer, strict=False):
            snapshot.learn(key, self._fields(kept))
        for (group, low, high), found in zip(bounds, answer[len(keys) :], strict=True):
            if found == _LOST:
                msg = f"an index of {self._layout.info.name} is missing on the server; call create_storage()"
                raise Unavailable(msg)
            snapshot.ranges.append(Range(group, low, high, tuple(found[::2])))
            for kept in self._rows(found):
                snapshot.learn(snapshot.key_of(kept), kept)
        snapshot.draft.keys.update(wanted.keys)
        snapshot.draft.equal.update(wanted.equal)

    def _fields(self, kept: Any) -> dict[bytes, bytes]:
        if kept == _LOST:
            raise self._lost()
        return as_mapping(kept)

    def _rows(self, found: list[Any]) -> Iterator[dict[bytes, bytes]]:
        """Yield the records of a range. A member has none if a program without this index removed its record."""
        for kept in found[1::2]:
            if kept and not (kept == _LOST and self.forgets):
                yield self._fields(kept)

    async def _fetch_all(self, snapshot: Snapshot) -> None:
        async for found in self._pages(snapshot):
            for kept in found:
                snapshot.learn(snapshot.key_of(kept), kept)
        snapshot.draft.everything = True

    async def keys_after(self, low: bytes, most: int) -> tuple[bytes, list[Any]]:
        """Return the last key after a position, empty if there is none, and the keys up to it."""
        last, found = await self.page_after(low, most)
        return last, [self._key_of(self._layout.codec.key_of(kept)) for kept in found]

    async def page_after(self, low: bytes, most: int = _PAGE) -> tuple[bytes, list[dict[bytes, bytes]]]:
        """Return the last key after a position, empty if there is none, and the hashes up to it."""
        found = (await self._read(self._page(low, most)))[0]
        return found[-2] if found else b"", list(self._rows(found))

    async def pages(self) -> AsyncIterator[Sequence[Row]]:
        """Yield all records in key order, page by page; some may be PartlyRead."""
        async for page in self._pages(None):
            yield [self._layout.codec.decode_partly(kept) for kept in page]

    async def _pages(self, snapshot: Snapshot | None) -> AsyncIterator[Iterator[dict[bytes, bytes]]]:
        low = b"-"
        while True:
            (found,), counter = await self._read_counted(self._page(low, _PAGE))
            if snapshot is not None and snapshot.counter is None:
                snapshot.counter = counter
            yield self._rows(found)
            if len(found) < 2 * _PAGE:
                return
            low = b"(" + found[-2]

    def _page(self, low: bytes, most: int) -> Words:
        """Return the words that read records in key order."""
        names = self._layout.names
        return [names.row_start, names.commits, 0, 1, names.keys, b"", low, b"(~", most, 1]

    async def _read(self, words: Words) -> list[Any]:
        answer, _ = await self._read_counted(words)
        return answer

    async def _read_counted(self, words: Words) -> tuple[list[Any], bytes]:
        (answer,) = await self._server.script(self._tag, READ, self._layout.names.keys, words, writes=False)
        self._know(answer[0])
        return answer[2:], answer[1]


def _encoded(encode: Callable[..., bytes], *values: Any) -> bytes | None:
    """Return the bytes of a key or of values; ``None`` if they have another type, so that no stored value equals them."""
    try:
        return encode(*values)
    except (TypeError, AttributeError, ValueError):
        return None


def as_mapping(flat: list[bytes]) -> dict[bytes, bytes]:
    """Return alternating fields and values as a dict."""
    return dict(zip(flat[::2], flat[1::2], strict=True))
