"""``Redis`` as a declaration: which server, which names, what may be unsafe. It opens nothing."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from typing import ClassVar
from urllib.parse import urlsplit

import attrs

from resourcekit.data_layers.base import Capability, DataLayer, Store, TimeToLive
from resourcekit.data_layers.redis.codec import RowCodec
from resourcekit.data_layers.redis.keyspace import Keyspace
from resourcekit.data_layers.redis.safety import NAMES
from resourcekit.data_layers.redis.server import server_for
from resourcekit.data_layers.redis.store import CAPABILITIES, RedisStore
from resourcekit.data_layers.redis.view import Plot
from resourcekit.data_layers.rows.keys import require_keys
from resourcekit.dsl.option import option
from resourcekit.errors import DeclarationError, did_you_mean
from resourcekit.flow.environment import EnvironmentVariable
from resourcekit.resource_info import ResourceInfo

__all__ = ["Redis"]

_SCHEMES = ("redis://", "rediss://", "unix://")


def _unknown_names(names: Collection[str]) -> str | None:
    given = (names,) if isinstance(names, str) else names
    unknown = sorted(set(given) - NAMES)
    return (
        f"names {unknown[0]!r}, which is no setting that can be accepted. {did_you_mean(unknown[0], NAMES)}" if unknown else None
    )


def _negative(count: int) -> str | None:
    return "must be 0 or more" if count < 0 else None


@attrs.frozen(repr=False)
class Redis(DataLayer):
    """Keep records on a Redis or Valkey server, or a cluster of them: ``Redis("redis://localhost:6379/0")``.

    url: one URL, several nodes of one cluster, or ``env("REDIS_URL")`` (read when the domain is sealed, and never shown).
    prefix: begins the names of everything; the resource's name in snake case unless given.
    tag: resources of one URL and tag share transactions; on a cluster they share a slot, too.
    accept: settings of the server that are accepted although it may forget by them: ``"maxmemory-policy"``,
        ``"appendonly"``. Any other unsafe server is refused with UnsafeStore at the first call.
    wait_replicas: how many replicas must have a write before the call returns; where they have it not, OutcomeUnknown.
    timeout: the longest time that a call may take which has no deadline of its own; 5 seconds unless given.

    Raises DeclarationError RK162 for a URL or a setting that cannot be.
    """

    capabilities: ClassVar[frozenset[Capability]] = CAPABILITIES

    url: str | EnvironmentVariable | Collection[str] = option(doc="URL, several URLs of one cluster, or environment variable.")
    prefix: str | None = option(default=None, doc="Begins all names; the resource's name in snake case unless given.")
    tag: str = option(default="resourcekit", doc="Resources of one tag share transactions, and a cluster's slot.")
    accept: Collection[str] = option(default=(), check=_unknown_names, doc="Unsafe settings that are accepted, by name.")
    wait_replicas: int = option(default=0, check=_negative, doc="Replicas that must have a write before the call returns.")
    timeout: timedelta = option(default=timedelta(seconds=5), doc="The longest time that a call may take.")

    def __attrs_post_init__(self) -> None:
        """Find out now what cannot be."""
        super().__attrs_post_init__()
        if "{" in self.tag or "}" in self.tag or not self.tag:
            raise _wrong("a tag must not be empty, and must not hold braces", 'Write tag="accounts".')
        if not isinstance(self.url, EnvironmentVariable):
            self._urls()

    def __repr__(self) -> str:
        """Show the names, and of the URL nothing: it may hold a password."""
        return f"Redis(prefix={self.prefix!r}, tag={self.tag!r})"

    @property
    def binds_late(self) -> bool:
        """The URL is known only when the domain is sealed."""
        return isinstance(self.url, EnvironmentVariable)

    def _urls(self) -> tuple[str, ...]:
        given = self.url.read() if isinstance(self.url, EnvironmentVariable) else self.url
        urls = (given,) if isinstance(given, str) else tuple(given)
        if not urls or not all(url.startswith(_SCHEMES) for url in urls):
            raise _wrong("the URL is none of a Redis server", 'A URL looks like "redis://localhost:6379/0".')
        for url in urls:
            _require_readable(url)
        return urls

    def bind(self, info: ResourceInfo) -> Store:
        """Return the store; opens nothing. Raises DeclarationError RK151 where a key cannot be one."""
        require_keys(info)
        codec = RowCodec(info)
        names = Keyspace(info, self.tag, self.prefix or info.snake_name, codec)
        life = info.persisted.get(TimeToLive.KEY)
        plot = Plot(info, names, codec, life if isinstance(life, TimeToLive) else None)
        server = server_for(
            self._urls(), self.timeout.total_seconds(), frozenset([self.accept] if isinstance(self.accept, str) else self.accept)
        )
        return RedisStore(plot, server, self.tag, self.wait_replicas)


def _require_readable(url: str) -> None:
    """Raise DeclarationError for a URL that cannot be read; redis-py would show a part of it, and pass over a wrong database."""
    hint = 'A URL looks like "redis://localhost:6379/0"; in a password, write @ : / # as %40 %3A %2F %23.'
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018  # read for what it raises
    except ValueError:
        raise _wrong("the URL of the server cannot be read", hint) from None
    if parts.scheme != "unix" and not (parts.path.strip("/") or "0").isdecimal():
        raise _wrong("the URL names a database that is no number", hint)


def _wrong(what: str, hint: str) -> DeclarationError:
    return DeclarationError("RK162", what, path=("Redis",), hint=hint)
