"""Fetches records from the server: one by key, those a view lacks, or all, page by page. It decides nothing about them."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from operator import itemgetter
from typing import Any

from redis import exceptions

from resourcekit.data_layers.base import Params, Row
from resourcekit.data_layers.redis.failures import refused
from resourcekit.data_layers.redis.scripts import READ, Words
from resourcekit.data_layers.redis.server import Server
from resourcekit.data_layers.redis.view import Plot, Range, View
from resourcekit.data_layers.rows.plan import RowPlan, Wanted, check
from resourcekit.errors import Unavailable

__all__ = ["Reader", "as_mapping"]

_PAGE = 500
"""Records that one script reads: some milliseconds of the server's time."""

_ALL = -1


class Reader:
    """Reads the records of one resource."""

    def __init__(self, server: Server, tag: str, plot: Plot) -> None:
        self._server, self._tag, self._plot = server, tag, plot
        self._epoch: bytes | None = None
        self._all_fields = tuple(plot.info.attributes)
        self._words: dict[tuple[str, ...], tuple[bytes, ...]] = {}  # no more than there are plans
        self._key_of = itemgetter(*plot.info.primary_key)

    # The canary

    async def ask_epoch(self) -> bytes | None:
        """Return what the server says of the canary."""
        (answer,) = await self._server.ask(self._tag, [(b"GET", self._plot.names.epoch)])
        if isinstance(answer, Exception):
            raise refused(answer)
        return answer  # type: ignore[no-any-return]  # redis-py's answers are untyped

    async def epoch(self) -> bytes:
        """Return the canary. Raises Unavailable where it is not there."""
        if self._epoch is None:
            self._know(await self.ask_epoch())
        assert self._epoch is not None
        return self._epoch

    def _know(self, epoch: bytes | None) -> None:
        if epoch is None:
            msg = f"the storage of {self._plot.info.name} is missing; call create_storage()"
            raise Unavailable(msg)
        if self._epoch is None:
            self._epoch = epoch
        if epoch != self._epoch:
            msg = f"the storage of {self._plot.info.name} was emptied and made anew while this process used it"
            raise Unavailable(msg)

    async def create_epoch(self) -> None:
        """Set the canary where there is none."""
        name = self._plot.names.epoch
        _, epoch = await self._server.ask(
            self._tag, [(b"SET", name, secrets.token_hex(8).encode(), b"NX"), (b"GET", name)], writes=True
        )
        if isinstance(epoch, Exception):
            raise refused(epoch)
        self._epoch = epoch

    # Records

    async def point(self, plan: RowPlan, params: Params, fields: tuple[str, ...] | None) -> Row | None:
        """Return the one record with a key, or these attributes of it."""
        assert plan.point is not None
        key = params[plan.point]
        check(key)
        names = self._all_fields if fields is None else fields
        row = _encoded(self._plot.names.row, key)
        if row is None:
            return None
        words = self._words.get(names)
        if words is None:
            words = self._words[names] = tuple(name.encode() for name in (*names, self._plot.names.primary_key[0]))
        epoch, given = await self._server.ask(self._tag, [(b"GET", self._plot.names.epoch), (b"HMGET", row, *words)])
        for answer in (epoch, given):
            if isinstance(answer, exceptions.RedisError):
                raise refused(answer)
        self._know(epoch)
        return None if given[-1] is None else self._plot.codec.decode_some(names, given[:-1])

    async def fetch(self, view: View, wanted: Wanted) -> None:
        """Give a view what it lacks of these."""
        lacking = view.unknown(wanted)
        if lacking.everything:
            await self._fetch_all(view)
        elif lacking.keys or lacking.equal:
            await self._fetch_some(view, lacking)

    async def _fetch_some(self, view: View, wanted: Wanted) -> None:
        names = self._plot.names
        keys = [(key, name) for key in wanted.keys if (name := _encoded(names.row, key)) is not None]
        pairs = [(pair, low) for pair in wanted.equal if (low := _encoded(names.values_bytes, *pair)) is not None]
        bounds = [(names.index_of(fields), b"[" + low, b"(" + low[:-1] + b"\x01") for (fields, _), low in pairs]
        words: Words = [names.commits, len(keys), *(name for _, name in keys), len(bounds)]
        for bound, (_, low) in zip(bounds, pairs, strict=True):
            words = [*words, *bound, _ALL, len(low), names.row_start]
        answer = await self._read(words)
        for (key, _), kept in zip(keys, answer, strict=False):
            view.learn(key, as_mapping(kept))
        for (group, low, high), found in zip(bounds, answer[len(keys) :], strict=True):
            view.ranges.append(Range(group, low, high, tuple(found[::2])))
            for kept in map(as_mapping, found[1::2]):
                if kept:
                    view.learn(view.key_of(kept), kept)
        view.draft.keys.update(wanted.keys)
        view.draft.equal.update(wanted.equal)

    async def _fetch_all(self, view: View) -> None:
        async for found in self._pages(view):
            for kept in found:
                view.learn(view.key_of(kept), kept)
        view.draft.everything = True

    async def keys_after(self, low: bytes, most: int) -> tuple[bytes, list[Any]]:
        """Return the last key after a place, empty where there is none, and the keys up to it."""
        names = self._plot.names
        (found,) = await self._read([names.commits, 0, 1, names.keys, low, b"+", most, 0, names.row_start])
        rows = [self._plot.codec.decode(kept) for kept in map(as_mapping, found[1::2]) if kept]
        return found[-2] if found else b"", [self._key_of(row) for row in rows]

    async def pages(self) -> AsyncIterator[Sequence[Row]]:
        """Yield all records in the order of their keys, page by page."""
        async for page in self._pages(None):
            yield [self._plot.codec.decode(kept) for kept in page]

    async def _pages(self, view: View | None) -> AsyncIterator[Iterator[dict[bytes, bytes]]]:
        names = self._plot.names
        low = b"-"
        while True:
            words: Words = [names.commits, 0, 1, names.keys, low, b"+", _PAGE, 0, names.row_start]
            answer, counter = await self._read_counted(words)
            if view is not None and view.counter is None:
                view.counter = counter or b""
            found = answer[0]
            yield (as_mapping(kept) for kept in found[1::2] if kept)
            if len(found) < 2 * _PAGE:
                return
            low = b"(" + found[-2]

    async def _read(self, words: Words) -> list[Any]:
        answer, _ = await self._read_counted(words)
        return answer

    async def _read_counted(self, words: Words) -> tuple[list[Any], bytes | None]:
        (answer,) = await self._server.script(self._tag, READ, self._plot.names.epoch, words, writes=False)
        self._know(answer[0])
        return answer[2:], answer[1]


def _encoded(encode: Callable[..., bytes], *values: Any) -> bytes | None:
    """Return the bytes of a key or of values; ``None`` where they are of another type, and so equal nothing stored."""
    try:
        return encode(*values)
    except (TypeError, AttributeError, ValueError):
        return None


def as_mapping(flat: list[bytes]) -> dict[bytes, bytes]:
    """Return fields and values, given in turn, as a dict."""
    return dict(zip(flat[::2], flat[1::2], strict=True))
