"""The adapter for Litestar.

::

    auth = TokenPlugin(Token)

    @get("/me")
    async def me(signed_in: SignedIn) -> dict[str, str]: ...

    app = Litestar([me], plugins=[auth])
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from typing import Any, TypeVar

from litestar import HttpMethod, Litestar, Request, Response, WebSocket
from litestar.config.app import AppConfig
from litestar.connection import ASGIConnection
from litestar.di import NamedDependency, Provide
from litestar.exceptions import MethodNotAllowedException, WebSocketException
from litestar.handlers import BaseRouteHandler, HTTPRouteHandler
from litestar.openapi.spec import Components, SecurityScheme
from litestar.plugins import InitPlugin
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from resourcekit.errors import DataLayerError, DeclarationError
from resourcekit.extending import checked_call
from resourcekit_tokens import TokenPair
from resourcekit_tokens.errors import InvalidToken
from resourcekit_web.core import Answer, Asked, Demand, Incoming, Installed, Refusal, Refused, Route, Web, read_body, refusal_of
from resourcekit_web.core import SignedIn as User

__all__ = ["MaybeSignedIn", "SignedIn", "TokenPlugin"]

SignedIn = NamedDependency[User]
"""The type of ``signed_in`` in handlers that demand a user."""

MaybeSignedIn = NamedDependency[User | None]
"""The type of ``signed_in`` in handlers that do not."""


Event = TypeVar("Event")
_KEPT = "resourcekit_web"
_DENIAL = "resourcekit_web_denial"
Guard = Callable[[ASGIConnection[Any, Any, Any, Any], BaseRouteHandler], Awaitable[None]]


def response_of(answer: Answer) -> Response[bytes]:
    """Return an answer of the core as a response."""
    headers = dict(answer.headers)
    kind = headers.pop("Content-Type", "text/plain")
    headers.pop("Set-Cookie", None)
    response = Response(answer.body, status_code=answer.status, headers=headers, media_type=kind)
    _set_cookies(response, [value for name, value in answer.headers if name == "Set-Cookie"])
    return response


def _set_cookies(response: Response[Any], values: list[str]) -> None:
    for value in values:
        pair, *attributes = value.split("; ")
        name, _, text = pair.partition("=")
        said = {key.lower(): given for key, _, given in (one.partition("=") for one in attributes)}
        response.set_cookie(
            key=name,
            value=text,
            max_age=int(said["max-age"]) if "max-age" in said else None,
            path=said["path"],
            secure=True,
            httponly=True,
            samesite="strict" if said["samesite"] == "Strict" else "lax",
        )


class TokenPlugin(Web, InitPlugin):
    """Sign-in for an app of Litestar. The options are those of ``Settings``.

    Handlers that take ``signed_in: SignedIn`` demand a user, those that take ``signed_in: MaybeSignedIn`` do not. The user of a second
    plugin, ``TokenPlugin(Admin, name="admin", prefix="/admin/auth")``, is ``signed_in_admin``.
    """

    def scopes(self, *scopes: str) -> Guard:
        """Return a guard that demands all these scopes."""
        return self._guard(self._demand(scopes))

    def fresh(self, age: timedelta) -> Guard:
        """Return a guard that demands that the password was entered at most this long ago."""
        return self._guard(self._demand(fresh=age))

    @property
    def required(self) -> Guard:
        """A guard that demands a user, for handlers and routers without ``signed_in``."""
        return self._guard(Demand())

    def _guard(self, demand: Demand) -> Guard:
        async def guard(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
            await self._admit(connection.scope, demand, optional=False)

        return guard

    async def _admit(self, scope: Any, demand: Demand, *, optional: bool) -> User | None:
        incoming = Incoming.of_asgi(scope)
        kept: dict[Web, Any] = scope.setdefault(_KEPT, {})
        if self not in kept and not incoming.is_preflight:
            kept[self] = await self.gate.authenticate(incoming)
        found = await self.gate.admit(incoming, demand, optional=optional, known=kept.get(self))
        if not isinstance(found, Refusal | Answer):
            return found
        refused = Refused(found)
        if incoming.is_websocket:
            scope[_DENIAL] = refused.answer
            raise WebSocketException(detail=str(refused), code=4000 + refused.answer.status)
        raise refused

    def _provider(self, parameter: str) -> Callable[[Scope], Awaitable[User | None]]:
        async def provide(scope: Scope) -> User | None:
            handler: Any = scope["route_handler"]
            wanted = handler.parsed_fn_signature.parameters.get(parameter)
            return await self._admit(scope, Demand(), optional=wanted is not None and wanted.is_optional)

        return provide

    @checked_call("TokenAuth.remember", "write auth.remember(response, pair, request=request)")
    def remember(
        self, response: Response[Any], pair: TokenPair, *, request: Request[Any, Any, Any], persistent: bool = True
    ) -> None:
        """Set the cookies of a sign-in on a response.

        persistent: False ends the sign-in when the browser is closed. Raise Refused for a request that a page of another site has
        caused, and InvalidArgument for a cookie over 4,096 bytes; nothing is set then.
        """
        _set_cookies(response, self.cookies_for(pair, Incoming.of_asgi(request.scope), persistent=persistent))

    @checked_call("TokenAuth.forget", "write auth.forget(response)")
    def forget(self, response: Response[Any], *, request: Request[Any, Any, Any] | None = None) -> None:
        """Clear the cookies of a sign-in. request: needed if the app is mounted under a path."""
        root_path = "" if request is None else request.scope.get("root_path", "")
        _set_cookies(response, self.settings.cookies.clear_both(root_path))

    async def accept(self, socket: WebSocket[Any, Any, Any]) -> None:
        """Accept a websocket, with the subprotocol that a ticket demands."""
        who = await self._admit(socket.scope, Demand(), optional=False)
        await socket.accept(subprotocols="rk" if who is not None and who.via == "ticket" else None)

    @asynccontextmanager
    async def watch(self, socket: WebSocket[Any, Any, Any], *, every: timedelta = timedelta(seconds=30)) -> AsyncGenerator[None]:
        """Close an accepted websocket if its user is no longer signed in: 4401 when the token expired or was revoked, 1013 when the
        store does not answer. every: time between two checks.
        """
        who = await self._admit(socket.scope, Demand(), optional=False)
        assert who is not None

        async def close(code: int, reason: str) -> None:
            await socket.close(code=code, reason=reason)

        async with self.watching(Incoming.of_asgi(socket.scope), who, close, every=every):
            yield

    async def watched(
        self, request: Request[Any, Any, Any], events: AsyncIterable[Event], *, every: timedelta = timedelta(seconds=30)
    ) -> AsyncGenerator[Event]:
        """Hand the events of a stream on (``text/event-stream``), and end it once its user is no longer signed in.

        every: time between two checks. No event reaches a user whose token has expired or was revoked longer ago than that.
        """
        who = await self._admit(request.scope, Demand(), optional=False)
        assert who is not None
        async for event in self._watched(Incoming.of_asgi(request.scope), who, events, every):
            yield event

    def on_app_init(self, app_config: AppConfig) -> AppConfig:
        """Add routes, error handlers, the dependency and the start and stop of the services to an app."""
        installed: Installed = app_config.state.setdefault(_KEPT, Installed())
        is_first = installed.is_empty
        routes = installed.add(self.settings, lambda routes: _refuse_taken(app_config, routes))
        app_config.route_handlers[:0] = [handler for route in routes for handler in self._handlers(route)]
        for parameter in self._parameters(is_first=is_first):
            app_config.dependencies[parameter] = Provide(self._provider(parameter))
        app_config.exception_handlers.update(dict.fromkeys((Refused, InvalidToken, DataLayerError), _answered))
        if is_first:
            app_config.middleware.insert(0, _Outermost)
        app_config.lifespan.append(self._lifespan(installed))
        app_config.signature_namespace.setdefault("SignedIn", SignedIn)
        if app_config.openapi_config is not None:
            app_config.openapi_config.components = [_components(self), *_listed(app_config.openapi_config.components)]
        return app_config

    def _parameters(self, *, is_first: bool) -> list[str]:
        """Return the parameters of handlers that get the user: ``signed_in`` of the first plugin, ``signed_in_NAME`` of each named one."""
        named = f"signed_in_{re.sub('[^0-9A-Za-z]', '_', self.settings.name)}"
        return [*(["signed_in"] if is_first else []), *([named] if self.settings.name != "rk" or not is_first else [])]

    def _lifespan(self, installed: Installed) -> Callable[[Litestar], AbstractAsyncContextManager[None]]:
        @asynccontextmanager
        async def lifespan(app: Litestar) -> AsyncGenerator[None]:
            installed.check_deployment(self.settings, is_async=True)
            async with self.life.running():
                yield

        return lifespan

    def _handlers(self, route: Route) -> Iterator[HTTPRouteHandler]:
        async def handle(request: Request[Any, Any, Any]) -> Response[bytes]:
            body = b"" if route.method == "GET" else await read_body(request.stream())
            asked = Asked(incoming=Incoming.of_asgi(request.scope), body=body, path=request.path_params)
            return response_of(await self.answer(route, asked))

        handle.__name__, handle.__doc__ = route.name, getattr(route.run, "__doc__", None)
        path, suffix = route.path.replace("}", ":str}"), "" if self.settings.name == "rk" else f"-{self.settings.name}"
        method, name = HttpMethod(route.method), f"resourcekit{suffix}-{route.name}"
        options = HTTPRouteHandler(path, http_method=HttpMethod.OPTIONS, name=f"{name}-options", include_in_schema=False)
        yield options(_without_options(route.method))  # the first, or Litestar adds its own
        yield HTTPRouteHandler(path, http_method=method, name=name, status_code=200)(handle)
        if route.method == "GET":  # Litestar adds no HEAD; in the document it would be a second operation
            head = HTTPRouteHandler(
                path, http_method=HttpMethod.HEAD, name=f"{name}-head", status_code=200, include_in_schema=False
            )
            yield head(handle)


def _without_options(method: str) -> Callable[[], Awaitable[None]]:
    """Return a handler that refuses OPTIONS, as other frameworks do: a handler that Litestar adds itself would answer 204."""

    async def options() -> None:
        raise MethodNotAllowedException(headers={"Allow": "GET, HEAD" if method == "GET" else method})

    return options


def _listed(components: Components | list[Components]) -> list[Components]:
    return components if isinstance(components, list) else [components]


def _components(auth: TokenPlugin) -> Components:
    suffix = "" if auth.settings.name == "rk" else f"-{auth.settings.name}"
    return Components(
        security_schemes={
            f"bearer{suffix}": SecurityScheme(type="http", scheme="bearer", bearer_format="JWT"),
            f"cookie{suffix}": SecurityScheme(type="apiKey", name=auth.settings.cookies.access, security_scheme_in="cookie"),
        }
    )


def _answered(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    return response_of(error.answer if isinstance(error, Refused) else refusal_of(error).answer())


def _refuse_taken(config: AppConfig, routes: tuple[Route, ...]) -> None:
    ours = {(route.method, route.path) for route in routes}
    handlers = [one for one in config.route_handlers if isinstance(one, HTTPRouteHandler)]
    found = {(str(method), path) for one in handlers for path in one.paths for method in one.http_methods}
    taken = sorted(f"{method} {path}" for method, path in ours & found)
    if taken:
        hint = 'Remove that route, or write another path: TokenPlugin(Token, prefix="/session", health=False).'
        what = f"the app has a route of its own at {', '.join(taken)}"
        raise DeclarationError("RK303", what, path=("TokenPlugin",), hint=hint)


class _Outermost:
    """Adds ``Vary: Cookie``, and answers a refused websocket handshake by a response, if the server can send one."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_on(message: Message) -> None:
            given: Any = message
            if given["type"] == "http.response.start" and _KEPT in scope:
                given["headers"] = [*given.get("headers", []), (b"vary", b"Cookie")]
            denial: Any = scope.get(_DENIAL)
            if given["type"] == "websocket.close" and denial is not None and "websocket.http.response" in _extensions(scope):
                headers = [(name.lower().encode(), value.encode()) for name, value in denial.headers]
                start: Any = {"type": "websocket.http.response.start", "status": denial.status, "headers": headers}
                await send(start)
                given = {"type": "websocket.http.response.body", "body": denial.body, "more_body": False}
            await send(given)

        await self._app(scope, receive, send_on)


def _extensions(scope: Any) -> Any:
    return scope.get("extensions") or {}
