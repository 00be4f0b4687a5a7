"""The adapter for Starlette, and the base of the one for FastAPI.

::

    auth = TokenAuth(Token)
    app = auth.install(Starlette(routes=[...]))

    async def me(request: Request) -> JSONResponse:
        who = await auth(request)
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, TypeVar

from starlette.applications import Starlette
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.routing import Route as StarletteRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from resourcekit.errors import DataLayerError, DeclarationError, FieldFinding, InvalidArgument
from resourcekit.extending import checked_call
from resourcekit_tokens import TokenPair
from resourcekit_tokens.errors import InvalidToken
from resourcekit_web.core import (
    Answer,
    Asked,
    Demand,
    Incoming,
    Installed,
    Refusal,
    Refused,
    Route,
    SignedIn,
    Web,
    read_body,
    refusal_of,
)

__all__ = ["Dependency", "SignedIn", "TokenAuth"]

A = TypeVar("A", bound=Starlette)
Event = TypeVar("Event")
_KEPT = "resourcekit_web"
"""The place in a request's scope where its users are kept, by the ``TokenAuth``: two of one name may be for two resources."""


def response_of(answer: Answer) -> Response:
    """Return an answer of the core as a response."""
    response = Response(answer.body, answer.status)
    for name, value in answer.headers:
        response.headers.append(name, value)
    return response


class Dependency:
    """A function of a request that returns its user, or raises Refused. The error handler of ``install`` answers then."""

    def __init__(self, auth: TokenAuth, demand: Demand, *, optional: bool = False) -> None:
        self._auth, self._demand, self._optional = auth, demand, optional

    async def __call__(self, connection: HTTPConnection) -> Any:
        """Return the SignedIn of a request or a websocket handshake; None if it is optional and absent."""
        return await self._auth.admitted(connection, self._demand, optional=self._optional)


class TokenAuth(Web):
    """Sign-in for an app of Starlette. The options are those of ``Settings``."""

    dependency: type[Dependency] = Dependency

    async def __call__(self, connection: HTTPConnection) -> SignedIn:
        """Return the user of a request or a websocket handshake. Raise Refused for one without a valid token."""
        who: SignedIn = await self.admitted(connection, Demand())
        return who

    @property
    def optional(self) -> Dependency:
        """A function that returns the user of a request, or None without a valid credential."""
        return self.dependency(self, Demand(), optional=True)

    def scopes(self, *scopes: str) -> Dependency:
        """Return a function that demands all these scopes."""
        if not scopes:
            raise InvalidArgument(
                FieldFinding("scopes", 'takes at least one scope: auth.scopes("a:write")'), resource="TokenAuth"
            )
        return self.dependency(self, self._demand(scopes))

    def fresh(self, age: timedelta) -> Dependency:
        """Return a function that demands that the password was entered at most this long ago."""
        return self.dependency(self, self._demand(fresh=age))

    def required(self, *, scopes: tuple[str, ...] | list[str] | str = (), fresh: timedelta | None = None) -> Dependency:
        """Return a function that demands scopes and a fresh sign-in."""
        return self.dependency(self, self._demand(scopes, fresh))

    async def admitted(self, connection: HTTPConnection, demand: Demand, *, optional: bool = False) -> Any:
        """Return the user of a request, which is authenticated once. Raise Refused."""
        incoming = Incoming.of_asgi(connection.scope)
        kept: dict[Web, SignedIn | Refusal] = connection.scope.setdefault(_KEPT, {})
        if self not in kept and not incoming.is_preflight:
            kept[self] = await self.gate.authenticate(incoming)
        found = await self.gate.admit(incoming, demand, optional=optional, known=kept.get(self))
        if isinstance(found, Refusal | Answer):
            raise Refused(found)
        return found

    @checked_call("TokenAuth.remember", "write auth.remember(response, pair, request=request)")
    def remember(self, response: Response, pair: TokenPair, *, request: Request, persistent: bool = True) -> None:
        """Set the cookies of a sign-in on a response.

        persistent: False ends the sign-in when the browser is closed. Raise Refused for a request that a page of another site has
        caused, and InvalidArgument for a cookie over 4,096 bytes; nothing is set then.
        """
        for value in self.cookies_for(pair, Incoming.of_asgi(request.scope), persistent=persistent):
            response.headers.append("set-cookie", value)

    @checked_call("TokenAuth.forget", "write auth.forget(response)")
    def forget(self, response: Response, *, request: Request | None = None) -> None:
        """Clear the cookies of a sign-in. request: needed if the app is mounted under a path."""
        root_path = "" if request is None else request.scope.get("root_path", "")
        for value in self.settings.cookies.clear_both(root_path):
            response.headers.append("set-cookie", value)

    async def accept(self, websocket: WebSocket) -> SignedIn:
        """Authenticate a websocket handshake, by cookie or ticket, and accept it. Raise Refused before it is accepted."""
        who = await self(websocket)
        await websocket.accept(subprotocol="rk" if who.via == "ticket" else None)
        return who

    @asynccontextmanager
    async def watch(self, websocket: WebSocket, *, every: timedelta = timedelta(seconds=30)) -> AsyncGenerator[None]:
        """Close an accepted websocket if its user is no longer signed in: 4401 when the token expired or was revoked, 1013 when the
        store does not answer. every: time between two checks.
        """
        who = await self(websocket)
        async with self.watching(Incoming.of_asgi(websocket.scope), who, websocket.close, every=every):
            yield

    async def watched(
        self, request: Request, events: AsyncIterable[Event], *, every: timedelta = timedelta(seconds=30)
    ) -> AsyncGenerator[Event]:
        """Hand the events of a stream on (``text/event-stream``), and end it once its user is no longer signed in.

        every: time between two checks. No event reaches a user whose token has expired or was revoked longer ago than that.
        """
        who = await self(request)
        async for event in self._watched(Incoming.of_asgi(request.scope), who, events, every):
            yield event

    @checked_call("TokenAuth.install", "write app = auth.install(FastAPI())")
    def install(self, app: A, *, prefix: str | None = None, health: bool | None = None) -> A:
        """Add routes, error handlers and the start and stop of the background services to an app, and return it.

        Raise DeclarationError RK303 if the app has a route of its own at one of the paths: here, or at the start for one that was
        added later. Raise RK302 if a second ``TokenAuth`` of the app has the name of the first.
        """
        if not isinstance(app, Starlette):
            what, hint = f"takes an app, not {type(app).__name__}", "Write app = auth.install(FastAPI())."
            raise DeclarationError("RK302", what, path=("TokenAuth", "install"), hint=hint)
        self.mounted(prefix, health)
        installed: Installed = getattr(app.state, _KEPT, None) or Installed()
        setattr(app.state, _KEPT, installed)
        is_first = installed.is_empty
        routes = installed.add(self.settings, lambda routes: self._refuse_taken(app, routes))
        for route in routes:
            self.add_route(app, route)
        app.add_exception_handler(Refused, _refused)
        app.add_exception_handler(InvalidToken, _failed)
        app.add_exception_handler(DataLayerError, _failed)
        if is_first:
            app.add_middleware(_Vary)
        self._join_lifespan(app, routes, installed)
        return app

    def add_route(self, app: Any, route: Route) -> None:
        """Add a route of the core to an app."""
        app.router.routes.append(StarletteRoute(route.path, self._endpoint(route), methods=[route.method], name=route.name))

    def _endpoint(self, route: Route) -> Callable[[Request], Any]:
        async def endpoint(request: Request) -> Response:
            body = b"" if route.method == "GET" else await read_body(request.stream())
            asked = Asked(incoming=Incoming.of_asgi(request.scope), body=body, path=request.path_params)
            return response_of(await self.answer(route, asked))

        endpoint.__name__, endpoint.__doc__ = route.name, getattr(route.run, "__doc__", None)
        endpoint.resourcekit_route = self  # type: ignore[attr-defined]  # by which the check knows the routes of this TokenAuth
        return endpoint

    def _refuse_taken(self, app: Starlette, routes: tuple[Route, ...]) -> None:
        ours = {(route.method, route.path) for route in routes}
        for there in app.routes:
            if not isinstance(there, StarletteRoute) or getattr(there.endpoint, "resourcekit_route", None) is self:
                continue
            taken = sorted(f"{method} {there.path}" for method in there.methods or () if (method, there.path) in ours)
            if taken:
                hint = "Remove that route, or install under another path: install(app, prefix=...), health=False."
                what = f"the app has a route of its own at {', '.join(taken)}"
                raise DeclarationError("RK303", what, path=("TokenAuth", "install"), hint=hint)

    def _join_lifespan(self, app: Starlette, routes: tuple[Route, ...], installed: Installed) -> None:
        inner = app.router.lifespan_context

        @asynccontextmanager
        async def lifespan(started: Any) -> AsyncGenerator[Any]:
            installed.check_deployment(self.settings, is_async=True)
            self._refuse_taken(app, routes)
            async with inner(started) as state, self.life.running():
                yield state

        app.router.lifespan_context = lifespan


class _Vary:
    """Adds ``Vary: Cookie`` to the answers of views that asked who is signed in."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_varied(message: Message) -> None:
            if message["type"] == "http.response.start" and _KEPT in scope:
                message["headers"] = [*message.get("headers", []), (b"vary", b"Cookie")]
            await send(message)

        await self._app(scope, receive, send_varied if scope["type"] == "http" else send)


async def _refused(connection: Any, error: Exception) -> Any:
    assert isinstance(error, Refused)
    return await _said(connection, error.answer)


async def _failed(connection: Any, error: Exception) -> Any:
    return await _said(connection, refusal_of(error).answer())


async def _said(connection: HTTPConnection, answer: Answer) -> Response | None:
    """Answer a request. A websocket that is not accepted yet gets the same answer, if the server can send it; else a close code."""
    if not isinstance(connection, WebSocket):
        return response_of(answer)
    if "websocket.http.response" in connection.scope.get("extensions", {}) and connection.application_state.name == "CONNECTING":
        await connection.send_denial_response(response_of(answer))
    else:
        await connection.close(1013 if answer.status == 503 else 4000 + answer.status)
    return None
