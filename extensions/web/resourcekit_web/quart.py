"""The adapter for Quart, with the names of the one for Flask.

::

    auth = TokenAuth(Token, user=load_user)
    auth.init_app(app)

    @app.get("/me")
    @auth.required
    async def me(): return {"sub": auth.signed_in.subject}
"""

from __future__ import annotations

import functools
import re
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, TypeVar, overload

from quart import Quart, Response, g, has_websocket_context, request, websocket

from resourcekit.errors import DataLayerError, DeclarationError
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
    missing_token,
    read_body,
    refusal_of,
)

__all__ = ["SignedIn", "TokenAuth"]

F = TypeVar("F", bound=Callable[..., Any])
Event = TypeVar("Event")
_NOT_ASCII = re.compile(rb"[\x80-\xff]")


def response_of(answer: Answer) -> Response:
    """Return an answer of the core as a response."""
    response = Response(answer.body, answer.status)
    response.headers.remove("Content-Type")
    for name, value in answer.headers:
        response.headers.add(name, value)
    return response


def incoming() -> Incoming:
    """Return what the core sees of the request, or of the websocket handshake."""
    return Incoming.of_asgi(websocket.scope if has_websocket_context() else request.scope)


class TokenAuth(Web):
    """Sign-in for an app of Quart. The options are those of ``Settings``."""

    @checked_call("TokenAuth", "write TokenAuth(Token, user=...), with all options by name")
    def __init__(self, resource: Any, app: Quart | None = None, **options: Any) -> None:
        super().__init__(resource, **options)
        if app is not None:
            self.init_app(app)

    @overload
    def required(self, view: F) -> F: ...
    @overload
    def required(self, *, scopes: Iterable[str] | str = (), fresh: timedelta | None = None) -> Callable[[F], F]: ...
    def required(
        self, view: Callable[..., Any] | None = None, *, scopes: Iterable[str] | str = (), fresh: timedelta | None = None
    ) -> Any:
        """Demand a signed-in user of a view: ``@auth.required``, ``@auth.required(scopes=["a:write"], fresh=timedelta(minutes=5))``."""
        demand = self._demand(scopes, fresh)
        return self._guarded(demand, optional=False) if view is None else self._guarded(demand, optional=False)(view)

    def optional(self, view: F) -> F:
        """Let a view run with and without a user."""
        return self._guarded(Demand(), optional=True)(view)

    def _guarded(self, demand: Demand, *, optional: bool) -> Callable[[F], F]:
        def guard(view: F) -> F:
            @functools.wraps(view)
            async def guarded(*args: Any, **kwargs: Any) -> Any:
                await self._admit(demand, optional=optional)
                return await view(*args, **kwargs)

            return guarded  # type: ignore[return-value]  # has the view's signature

        return guard

    async def _admit(self, demand: Demand, *, optional: bool) -> None:
        asked = incoming()
        kept: dict[Web, Any] = g.setdefault("resourcekit_web", {})
        if self not in kept and not asked.is_preflight:
            kept[self] = await self.gate.authenticate(asked)
        found = await self.gate.admit(asked, demand, optional=optional, known=kept.get(self))
        if isinstance(found, Refusal | Answer):
            raise Refused(found)

    @property
    def signed_in(self) -> SignedIn:
        """The user of the request. Raise Refused if there is none, or if the view has no decorator."""
        who = self.signed_in_or_none
        if who is None:
            raise Refused(missing_token())
        return who

    @property
    def signed_in_or_none(self) -> SignedIn | None:
        """The user of the request, or None without a valid credential. For views with ``required`` or ``optional``."""
        found = g.get("resourcekit_web", {}).get(self)
        return found if isinstance(found, SignedIn) else None

    async def accept(self) -> None:
        """Accept a websocket, with the subprotocol that a ticket demands."""
        await websocket.accept(subprotocol="rk" if self.signed_in.via == "ticket" else None)

    @asynccontextmanager
    async def watch(self, *, every: timedelta = timedelta(seconds=30)) -> AsyncGenerator[None]:
        """Close the accepted websocket if its user is no longer signed in: 4401 when the token expired or was revoked, 1013 when the
        store does not answer. every: time between two checks.
        """
        socket: Any = websocket._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001  # the task has no context of its own
        async with self.watching(incoming(), self.signed_in, socket.close, every=every):
            yield

    def watched(self, events: AsyncIterable[Event], *, every: timedelta = timedelta(seconds=30)) -> AsyncGenerator[Event]:
        """Hand the events of a stream on (``text/event-stream``), and end it once its user is no longer signed in.

        every: time between two checks. No event reaches a user whose token has expired or was revoked longer ago than that.
        """
        return self._watched(incoming(), self.signed_in, events, every)

    @checked_call("TokenAuth.remember", "write auth.remember(response, pair)")
    def remember(self, response: Response, pair: TokenPair, *, persistent: bool = True) -> Response:
        """Set the cookies of a sign-in on a response, and return it.

        persistent: False ends the sign-in when the browser is closed. Raise Refused for a request that a page of another site has
        caused, and InvalidArgument for a cookie over 4,096 bytes; nothing is set then.
        """
        for value in self.cookies_for(pair, incoming(), persistent=persistent):
            response.headers.add("Set-Cookie", value)
        return response

    @checked_call("TokenAuth.forget", "write auth.forget(response)")
    def forget(self, response: Response) -> Response:
        """Clear the cookies of a sign-in on a response, and return it."""
        for value in self.settings.cookies.clear_both(request.root_path):
            response.headers.add("Set-Cookie", value)
        return response

    @checked_call("TokenAuth.init_app", "write auth.init_app(Quart(__name__))")
    def init_app(self, app: Quart, *, prefix: str | None = None, health: bool | None = None) -> Quart:
        """Add routes, error handlers and the background services to an app, and return it.

        Raise DeclarationError RK303 if the app has a route of its own at one of the paths, and RK302 if a second ``TokenAuth`` of the
        app has the name of the first. The secrets are read when the app starts.
        """
        self.mounted(prefix, health)
        installed: Installed = app.extensions.setdefault("resourcekit_web", Installed())
        if installed.is_empty:
            app.asgi_app = _ReadableQuery(app.asgi_app)  # type: ignore[method-assign]  # as Quart documents it
        routes = installed.add(self.settings, lambda routes: _refuse_taken(app, routes))
        for route in routes:
            self._add_route(app, route)
        for kind in (Refused, InvalidToken, DataLayerError):
            app.register_error_handler(kind, _answered)
        app.after_request(_varied)

        async def lived() -> AsyncGenerator[None]:
            installed.check_deployment(self.settings, is_async=True)
            _refuse_taken(app, routes, own=self._endpoint(""))  # by a route that was added later
            async with self.life.running():
                yield

        app.while_serving(lived)
        return app

    def _endpoint(self, name: str) -> str:
        return f"resourcekit{'' if self.settings.name == 'rk' else '_' + self.settings.name}_{name}"

    def _add_route(self, app: Quart, route: Route) -> None:
        async def view(**path: str) -> Response:
            body = b"" if route.method == "GET" else await read_body(request.body)
            return response_of(await self.answer(route, Asked(incoming=incoming(), body=body, path=path)))

        rule = route.path.replace("{", "<").replace("}", ">")
        app.add_url_rule(rule, self._endpoint(route.name), view, methods=[route.method], provide_automatic_options=False)


class _ReadableQuery:
    """Encodes bytes of a query that are not ASCII. Servers hand them on (Hypercorn over HTTP/2), and Quart's routing answers 500."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        query: bytes = scope.get("query_string", b"")
        if not query.isascii():
            scope = {**scope, "query_string": _NOT_ASCII.sub(lambda byte: b"%%%02X" % ord(byte[0]), query)}
        await self._app(scope, receive, send)


async def _answered(error: Exception) -> Response:
    return response_of(error.answer if isinstance(error, Refused) else refusal_of(error).answer())


async def _varied(response: Response) -> Response:
    if "resourcekit_web" in g:
        response.vary.add("Cookie")
    return response


def _refuse_taken(app: Quart, routes: tuple[Route, ...], own: str | None = None) -> None:
    """Raise DeclarationError RK303 if the app has a route at one of these paths. own: begins the endpoints of the adapter itself."""
    wanted = {(route.method, route.path.replace("{", "<").replace("}", ">")) for route in routes}
    rules = [rule for rule in app.url_map.iter_rules() if own is None or not rule.endpoint.startswith(own)]
    taken = sorted(f"{method} {rule.rule}" for rule in rules for method in rule.methods or () if (method, rule.rule) in wanted)
    if taken:
        hint = "Remove that route, or install under another path: init_app(app, prefix=...), health=False."
        what = f"the app has a route of its own at {', '.join(taken)}"
        raise DeclarationError("RK303", what, path=("TokenAuth", "init_app"), hint=hint)
