"""``Web``: the base of the adapters. Edit this module to change what all of them offer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Collection, Generator, Iterable, Mapping
from contextlib import AbstractContextManager, asynccontextmanager
from datetime import timedelta
from typing import Any, Literal, TypeVar

import attrs

from resourcekit.extending import KnownNames, checked_call, current_clock, drive
from resourcekit_tokens import TokenPair
from resourcekit_web.core.answers import Answer, Refused, cross_origin
from resourcekit_web.core.gate import Gate
from resourcekit_web.core.incoming import Incoming
from resourcekit_web.core.installed import Installed
from resourcekit_web.core.life import Life
from resourcekit_web.core.routes import Asked, Route, run
from resourcekit_web.core.settings import Client, Secret, Settings
from resourcekit_web.core.signed_in import Demand, SignedIn
from resourcekit_web.testing import acting_as

__all__ = ["Web", "watched_stream"]

Event = TypeVar("Event")
_OPTIONS = ", ".join(field.alias for field in attrs.fields(Settings) if field.init and field.alias)


class Web(KnownNames):
    """The core of one ``TokenAuth``: its settings, its routes, and what the adapters share.

    The options are those of ``Settings``.
    """

    @checked_call("TokenAuth", f"its options are: {_OPTIONS}")
    def __init__(
        self,
        resource: Any,
        *,
        user: Callable[[str], Any] | None = None,
        clients: Mapping[str, Secret | Client] | None = None,
        name: str = "rk",
        prefix: str = "/auth",
        cookie_path: str | None = None,
        origins: Collection[str] = (),
        trusted_origins: Collection[str] = (),
        csrf: Literal["usual", "strict"] = "usual",
        health: bool = True,
        supervise: Any = True,
    ) -> None:
        self.settings = Settings(
            resource=resource,
            user=user,
            clients=clients or {},
            name=name,
            prefix=prefix,
            cookie_path=cookie_path,
            origins=origins,
            trusted_origins=trusted_origins,
            csrf=csrf,
            health=health,
            supervise=supervise,
        )
        self._use(self.settings)

    def _use(self, settings: Settings) -> None:
        self.settings, self.gate, self.life = settings, Gate(settings), Life(settings)

    def mounted(self, prefix: str | None, health: bool | None) -> None:
        """Change the prefix and the health endpoints, as ``install`` was asked to."""
        changed: dict[str, Any] = {"prefix": prefix, "health": health}
        given = {name: value for name, value in changed.items() if value is not None}
        if given:
            self._use(attrs.evolve(self.settings, **given))

    @property
    def routes(self) -> tuple[Route, ...]:
        """All routes of an app with this one ``TokenAuth``. Raise DeclarationError RK301 for a resource that cannot have them."""
        return Installed().add(self.settings)

    async def answer(self, route: Route, asked: Asked) -> Answer:
        """Return the answer of a route. It raises nothing that a request can cause."""
        return await run(self.settings, route, asked)

    def cookies_for(self, pair: TokenPair, incoming: Incoming, *, persistent: bool) -> list[str]:
        """Return the ``Set-Cookie`` values that sign a browser in.

        Raise Refused for a request that a page of another site has caused (it would sign the user in as another one), and
        InvalidArgument for a cookie that browsers would drop.
        """
        if incoming.is_unsafe and not self.settings.allowed_origins.lets_pass(incoming):
            raise Refused(cross_origin())
        return self.settings.cookies.set_both(pair, incoming.root_path, persistent=persistent)

    @asynccontextmanager
    async def watching(
        self, incoming: Incoming, who: SignedIn, close: Callable[[int, str], Awaitable[None]], *, every: timedelta
    ) -> AsyncGenerator[None]:
        """Ask again and again whether the user of a websocket is still signed in, and close it by a code and a word if not."""

        async def look() -> None:
            while True:
                await asyncio.sleep(every.total_seconds())
                refusal = await self.gate.recheck(incoming, who)
                if refusal is not None:
                    await close(refusal.close_code, refusal.code)
                    return

        task = asyncio.create_task(look())
        try:
            yield
        finally:
            task.cancel()

    async def _watched(
        self, incoming: Incoming, who: SignedIn, events: AsyncIterable[Event], every: timedelta
    ) -> AsyncGenerator[Event]:
        """Hand the events of a stream on, and end it before an event that would reach a user who is no longer signed in."""
        asked_at = current_clock().monotonic()
        async for event in events:
            if current_clock().monotonic() - asked_at >= every.total_seconds():
                if await self.gate.recheck(incoming, who) is not None:
                    return
                asked_at = current_clock().monotonic()
            yield event

    def acting_as(
        self, client: Any, subject: str, *, scopes: Iterable[str] = (), fresh: bool = False
    ) -> AbstractContextManager[None]:
        """Let a test client send a real token of a subject with each request in the block.

        scopes: of the token. fresh: whether the password was entered just now.
        """
        return acting_as(self.settings.resource, client, subject, scopes=scopes, fresh=fresh)

    @staticmethod
    def _demand(scopes: Iterable[str] = (), fresh: timedelta | None = None) -> Demand:
        return Demand.of(scopes, fresh, by="TokenAuth")


def watched_stream(gate: Gate, incoming: Incoming, who: SignedIn, events: Iterable[Event], every: timedelta) -> Generator[Event]:
    """Hand the events of a stream of a plain framework on, and end it before an event for a user who is no longer signed in."""
    asked_at = current_clock().monotonic()
    for event in events:
        if current_clock().monotonic() - asked_at >= every.total_seconds():
            if drive(gate.recheck(incoming, who)) is not None:
                return
            asked_at = current_clock().monotonic()
        yield event
