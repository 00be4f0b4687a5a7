"""The middleware of Django: ``request.signed_in``, the answers to errors, and the routes outside of the prefix."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.utils.cache import patch_vary_headers

from resourcekit.errors import DataLayerError
from resourcekit.extending import drive
from resourcekit_tokens.errors import InvalidToken
from resourcekit_web.core import LONGEST_BODY, Asked, Demand, Refused, Route, SignedIn, refusal_of
from resourcekit_web.django.auth import admitted, check_routes, incoming_of, mounted, response_of

__all__ = ["TokenMiddleware"]


def _signed_in(request: HttpRequest) -> SignedIn | None:
    """Return the user of the request, None without a valid credential. Raise Refused for a bad token, or a store that does not answer."""
    return admitted(request, Demand(), optional=True)


class TokenMiddleware:
    """Gives each request ``signed_in``, and answers refusals and errors of the store. It reads the secrets when it is made."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self._get_response = get_response
        web = mounted()
        web.settings.check_deployment(is_async=False)
        check_routes()
        self._web = web
        prefix = f"{web.settings.prefix}/"
        self._routes = {route.path: route for route in web.routes if not route.path.startswith(prefix)}
        HttpRequest.signed_in = property(_signed_in)  # type: ignore[attr-defined]  # read by views
        # Before Python 3.12, that of inspect does not see functions that were marked.
        self._is_async = iscoroutinefunction(get_response)  # pyright: ignore[reportDeprecated]
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Any:
        """Answer a request."""
        if self._is_async:
            return self._answer_async(request)
        return self._early(request) or _varied(request, self._get_response(request))

    async def _answer_async(self, request: HttpRequest) -> HttpResponse:
        early = await sync_to_async(self._early)(request)
        if early is not None:
            return early
        # An async view reads request.signed_in without waiting, so the store is asked before it.
        await sync_to_async(_ask_ahead)(request)
        return _varied(request, await self._get_response(request))

    def _early(self, request: HttpRequest) -> HttpResponse | None:
        """Start the services with the first request of a process, and answer the routes outside of the prefix."""
        self._web.life.start_once()
        route = self._routes.get(request.path_info)
        return None if route is None else answer_route(route, request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        """Answer a refusal, a bad token and a store that does not answer; leave all other errors to Django."""
        if isinstance(error, Refused):
            return response_of(error.answer)
        if isinstance(error, InvalidToken | DataLayerError):
            return response_of(refusal_of(error).answer())
        return None


def answer_route(route: Route, request: HttpRequest, **path: str) -> HttpResponse:
    """Return the answer of a route of the core."""
    if request.method != route.method and not (request.method == "HEAD" and route.method == "GET"):
        return HttpResponseNotAllowed([route.method])
    body = b"" if route.method == "GET" else request.read(LONGEST_BODY + 1)
    return response_of(drive(mounted().answer(route, Asked(incoming=incoming_of(request), body=body, path=path))))


def _ask_ahead(request: HttpRequest) -> None:
    with contextlib.suppress(Refused):  # raised again where the view asks
        admitted(request, Demand(), optional=True)


def _varied(request: HttpRequest, response: HttpResponse) -> HttpResponse:
    if hasattr(request, "_resourcekit_found"):
        patch_vary_headers(response, ["Cookie"])
    return response
