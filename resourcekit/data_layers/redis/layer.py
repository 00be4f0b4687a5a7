"""The declaration ``Redis``: the server, the prefix of names, and accepted unsafe settings. It opens no connection."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from typing import ClassVar
from urllib.parse import urlsplit

import attrs

from resourcekit.data_layers.base import Capability, DataLayer, Store
from resourcekit.data_layers.driver_names import require_names
from resourcekit.data_layers.redis.codec import RowCodec
from resourcekit.data_layers.redis.keyspace import Keyspace
from resourcekit.data_layers.redis.safety import NAMES
from resourcekit.data_layers.redis.server import server_for
from resourcekit.data_layers.redis.snapshot import KeyLayout
from resourcekit.data_layers.redis.store import CAPABILITIES, RedisStore
from resourcekit.data_layers.rows.values import require_keys
from resourcekit.dsl.option import option
from resourcekit.environment import EnvironmentVariable
from resourcekit.errors import DeclarationError, did_you_mean
from resourcekit.resource_info import ResourceInfo

__all__ = ["Redis"]

require_names("redis")
require_names("redis.asyncio")

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
    """Store records on a Redis or Valkey server, or a cluster of them: ``Redis("redis://localhost:6379/0")``.

    url: One URL, several nodes of one cluster, a primary and its replicas (the current primary is used), or
        ``env("REDIS_URL")`` (read when the domain is sealed, and never shown).
    prefix: The prefix of all names on the server. The default is the resource's name in snake case.
    tag: Resources with the same URL and tag share transactions. On a cluster they also share a slot.
    accept: Unsafe settings of the server that are accepted, although it may lose records because of them:
        ``"maxmemory-policy"``, ``"appendonly"``, ``"replica-read-only"``. The first call to any other unsafe server raises
        UnsafeStore.
    wait_replicas: The number of replicas that must have a write before the call returns. If fewer have it, the call raises
        OutcomeUnknown.
    timeout: The longest time that a call without a deadline of its own may take. The default is 5 seconds.

    Raises DeclarationError RK162 for an invalid URL or setting.
    """

    capabilities: ClassVar[frozenset[Capability]] = CAPABILITIES

    url: str | EnvironmentVariable | Collection[str] = option(
        doc="URL, several URLs of one cluster or of a primary and its replicas, or environment variable."
    )
    prefix: str | None = option(default=None, doc="Begins all names; the resource's name in snake case unless given.")
    tag: str = option(default="resourcekit", doc="Resources of one tag share transactions, and a cluster's slot.")
    accept: Collection[str] = option(default=(), check=_unknown_names, doc="Unsafe settings that are accepted, by name.")
    wait_replicas: int = option(default=0, check=_negative, doc="Replicas that must have a write before the call returns.")
    timeout: timedelta = option(default=timedelta(seconds=5), doc="The longest time that a call may take.")

    def __attrs_post_init__(self) -> None:
        """Check URL, tag and prefix. Raise DeclarationError RK162 if one is invalid."""
        super().__attrs_post_init__()
        if "{" in self.tag or "}" in self.tag or not self.tag:
            raise _wrong("a tag must not be empty, and must not hold braces", 'Write tag="accounts".')
        for called, text in (("tag", self.tag), ("prefix", self.prefix or "")):
            if any("\ud800" <= letter <= "\udfff" for letter in text):
                raise _wrong(f"the {called} holds half a surrogate pair, which no name on a server can", "Take it out.")
        if not isinstance(self.url, EnvironmentVariable):
            self._urls()

    def __repr__(self) -> str:
        """Show prefix and tag, but not the URL, which may contain a password."""
        return f"Redis(prefix={self.prefix!r}, tag={self.tag!r})"

    @property
    def binds_late(self) -> bool:
        """True if the URL is known only when the domain is sealed."""
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
        """Return the store, without opening a connection. Raise DeclarationError RK151 if the rows have no usable key."""
        require_keys(info)
        codec = RowCodec(info)
        names = Keyspace(info, self.tag, self.prefix or info.snake_name, codec)
        layout = KeyLayout(info, names, codec)
        server = server_for(
            self._urls(), self.timeout.total_seconds(), frozenset([self.accept] if isinstance(self.accept, str) else self.accept)
        )
        return RedisStore(layout, server, self.tag, self.wait_replicas)


def _require_readable(url: str) -> None:
    """Raise DeclarationError for an invalid URL. redis-py would show a part of it, and ignore an invalid database number."""
    hint = 'A URL looks like "redis://localhost:6379/0"; in a password, write @ : / # as %40 %3A %2F %23.'
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018  # the property raises for an invalid port
    except ValueError:
        raise _wrong("the URL of the server cannot be read", hint) from None
    if parts.scheme != "unix" and not (parts.path.strip("/") or "0").isdecimal():
        raise _wrong("the URL names a database that is no number", hint)


def _wrong(what: str, hint: str) -> DeclarationError:
    return DeclarationError("RK162", what, path=("Redis",), hint=hint)
