"""The adapter for Flask.

::

    auth = TokenAuth(Token, user=load_user)
    auth.init_app(app)

    @app.get("/me")
    @auth.required
    def me(): return {"sub": auth.signed_in.subject}
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Generator, Iterable
from datetime import timedelta
from typing import Any, TypeVar, overload

from flask import Flask, Response, request

from resourcekit.errors import DataLayerError, DeclarationError
from resourcekit.extending import checked_call, drive
from resourcekit_tokens import TokenPair
from resourcekit_tokens.errors import InvalidToken
from resourcekit_web.core import (
    LONGEST_BODY,
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
    refusal_of,
    watched_stream,
)

__all__ = ["SignedIn", "TokenAuth"]

F = TypeVar("F", bound=Callable[..., Any])
Event = TypeVar("Event")
_KEPT = "resourcekit_web"
"""The place in a request's environment where its users are kept, by the ``TokenAuth``. ``g`` may outlive a request in tests."""


def response_of(answer: Answer) -> Response:
    """Return an answer of the core as a response."""
    response = Response(answer.body, answer.status)
    response.headers.remove("Content-Type")
    for name, value in answer.headers:
        response.headers.add(name, value)
    return response


class TokenAuth(Web):
    """Sign-in for an app of Flask. The options are those of ``Settings``; ``user`` is a plain function."""

    @checked_call("TokenAuth", "write TokenAuth(Token, user=...), with all options by name")
    def __init__(self, resource: Any, app: Flask | None = None, **options: Any) -> None:
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
            def guarded(*args: Any, **kwargs: Any) -> Any:
                self._admit(demand, optional=optional)
                return view(*args, **kwargs)

            return guarded  # type: ignore[return-value]  # has the view's signature

        return guard

    def _admit(self, demand: Demand, *, optional: bool) -> SignedIn | None:
        incoming = Incoming.of_wsgi(request.environ)
        kept: dict[Web, Any] = request.environ.setdefault(_KEPT, {})
        if self not in kept and not incoming.is_preflight:
            kept[self] = drive(self.gate.authenticate(incoming))
        found = drive(self.gate.admit(incoming, demand, optional=optional, known=kept.get(self)))
        if isinstance(found, Refusal | Answer):
            raise Refused(found)
        return found

    @property
    def signed_in(self) -> SignedIn:
        """The user of the request. Raise Refused if there is none."""
        who = self.signed_in_or_none
        if who is None:
            raise Refused(missing_token())
        return who

    @property
    def signed_in_or_none(self) -> SignedIn | None:
        """The user of the request, or None without a valid credential."""
        return self._admit(Demand(), optional=True)

    def watched(self, events: Iterable[Event], *, every: timedelta = timedelta(seconds=30)) -> Generator[Event]:
        """Hand the events of a stream on (``text/event-stream``), and end it once its user is no longer signed in.

        every: time between two checks. No event reaches a user whose token has expired or was revoked longer ago than that.
        """
        return watched_stream(self.gate, Incoming.of_wsgi(request.environ), self.signed_in, events, every)

    @checked_call("TokenAuth.remember", "write auth.remember(response, pair)")
    def remember(self, response: Response, pair: TokenPair, *, persistent: bool = True) -> Response:
        """Set the cookies of a sign-in on a response, and return it.

        persistent: False ends the sign-in when the browser is closed. Raise Refused for a request that a page of another site has
        caused, and InvalidArgument for a cookie over 4,096 bytes; nothing is set then.
        """
        for value in self.cookies_for(pair, Incoming.of_wsgi(request.environ), persistent=persistent):
            response.headers.add("Set-Cookie", value)
        return response

    @checked_call("TokenAuth.forget", "write auth.forget(response)")
    def forget(self, response: Response) -> Response:
        """Clear the cookies of a sign-in on a response, and return it."""
        for value in self.settings.cookies.clear_both(request.environ.get("SCRIPT_NAME", "")):
            response.headers.add("Set-Cookie", value)
        return response

    @checked_call("TokenAuth.init_app", "write auth.init_app(Flask(__name__))")
    def init_app(self, app: Flask, *, prefix: str | None = None, health: bool | None = None) -> Flask:
        """Add routes, error handlers and the background services to an app, and return it.

        The secrets are read here, so an app without them does not start. Raise DeclarationError RK303 if the app has a route of its
        own at one of the paths, and RK302 if a second ``TokenAuth`` of the app has the name of the first.
        """
        if not isinstance(app, Flask):  # type: ignore[redundant-expr]  # for programs that are not type-checked
            what, hint = f"takes an app, not {type(app).__name__}", "Write auth.init_app(Flask(__name__))."
            raise DeclarationError("RK302", what, path=("TokenAuth", "init_app"), hint=hint)
        self.mounted(prefix, health)
        installed: Installed = app.extensions.setdefault("resourcekit_web", Installed())
        installed.check_deployment(self.settings, is_async=False, at_import=True)
        routes = installed.add(self.settings, lambda routes: _refuse_taken(app, routes))
        for route in routes:
            self._add_route(app, route)
        app.register_error_handler(Refused, lambda error: response_of(error.answer))
        app.register_error_handler(InvalidToken, lambda error: response_of(refusal_of(error).answer()))
        app.register_error_handler(DataLayerError, lambda error: response_of(refusal_of(error).answer()))
        app.before_request(self.life.start_once)
        app.after_request(_varied)
        return app

    def _add_route(self, app: Flask, route: Route) -> None:
        def view(**path: str) -> Response:
            body = b"" if route.method == "GET" else request.stream.read(LONGEST_BODY + 1)
            asked = Asked(incoming=Incoming.of_wsgi(request.environ), body=body, path=path)
            return response_of(drive(self.answer(route, asked)))

        rule = route.path.replace("{", "<").replace("}", ">")
        suffix = "" if self.settings.name == "rk" else f"_{self.settings.name}"
        app.add_url_rule(rule, f"resourcekit{suffix}_{route.name}", view, methods=[route.method], provide_automatic_options=False)


def _refuse_taken(app: Flask, routes: tuple[Route, ...]) -> None:
    ours = {(route.method, route.path) for route in routes}
    taken = sorted(
        f"{method} {rule.rule}"
        for rule in app.url_map.iter_rules()
        for method in rule.methods or ()
        if (method, rule.rule) in ours
    )
    if taken:
        hint = "Remove that route, or install under another path: init_app(app, prefix=...), health=False."
        what = f"the app has a route of its own at {', '.join(taken)}"
        raise DeclarationError("RK303", what, path=("TokenAuth", "init_app"), hint=hint)


def _varied(response: Response) -> Response:
    if _KEPT in request.environ:
        response.vary.add("Cookie")
    return response
