"""The ``TokenAuth`` of a Django project, made of its settings. Edit this module to add a setting."""

from __future__ import annotations

import functools
from collections.abc import Generator, Iterable
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any, Final, TypeVar

from django.conf import settings
from django.core.signals import setting_changed
from django.http import HttpRequest, HttpResponse
from django.urls import NoReverseMatch, Resolver404, get_script_prefix, resolve, reverse
from django.utils.module_loading import import_string

from resourcekit.errors import DeclarationError, did_you_mean
from resourcekit.extending import drive
from resourcekit_tokens import TokenPair
from resourcekit_web.core import Answer, Demand, Incoming, Refusal, Refused, SignedIn, Web, watched_stream

__all__ = [
    "acting_as",
    "admitted",
    "check_routes",
    "forget",
    "incoming_of",
    "remember",
    "response_of",
    "subject_of",
    "user_by_pk",
    "watched",
    "web",
]

Event = TypeVar("Event")
_OPTIONS: Final = {
    "TOKEN": "resource",
    "USER": "user",
    "CLIENTS": "clients",
    "NAME": "name",
    "COOKIE_PATH": "cookie_path",
    "ORIGINS": "origins",
    "TRUSTED_ORIGINS": "trusted_origins",
    "CSRF": "csrf",
    "HEALTH": "health",
    "SUPERVISE": "supervise",
}
"""The keys of ``RESOURCEKIT`` and the options that they are. ``LOG_OUT_ON_PASSWORD_CHANGE`` is read elsewhere."""

_OTHERS: Final = {"LOG_OUT_ON_PASSWORD_CHANGE", "SUBJECT"}


@functools.cache
def web() -> Web:
    """Return the core of the project. Raise DeclarationError RK301 or RK302 for wrong settings."""
    given: Any = getattr(settings, "RESOURCEKIT", None)
    if not isinstance(given, dict) or "TOKEN" not in given:
        what = "the settings name no token resource"
        raise DeclarationError("RK301", what, path=("RESOURCEKIT",), hint='Write RESOURCEKIT = {"TOKEN": "accounts.Token"}.')
    unknown = sorted(given.keys() - _OPTIONS.keys() - _OTHERS)
    if unknown:
        hint = did_you_mean(unknown[0], [*_OPTIONS, *_OTHERS]) or f"Known are {', '.join([*_OPTIONS, *sorted(_OTHERS)])}."
        raise DeclarationError("RK302", f"unknown key {unknown[0]!r}", path=("RESOURCEKIT",), hint=hint)
    options = {_OPTIONS[key]: value for key, value in given.items() if key in _OPTIONS}
    for name in ("resource", "user"):
        if isinstance(options.get(name), str):
            options[name] = _imported(name, options[name])
    return Web(options.pop("resource"), **options)


def _imported(option: str, place: str) -> Any:
    try:
        return import_string(place)
    except ImportError as error:
        what = f"{place!r} cannot be imported: {error}"
        hint = "Write module and name, with dots between."
        raise DeclarationError("RK302", what, path=("RESOURCEKIT", option), hint=hint) from None


def _forget_settings(*, setting: str, **_: object) -> None:
    if setting in {"RESOURCEKIT", "ROOT_URLCONF"}:
        web.cache_clear()
        mounted.cache_clear()


setting_changed.connect(_forget_settings)


@functools.cache
def mounted() -> Web:
    """Return the core with the prefix under which the project includes ``resourcekit_web.django.urls``."""
    found = web()
    if (place := mounted_at()) is not None:
        found.mounted("/" + place.removeprefix(get_script_prefix()).removesuffix("/logout"), None)
    return found


def mounted_at() -> str | None:
    """Return the path of the route for log-out, which every resource has; None if the project does not include the URLs."""
    try:
        return reverse("resourcekit:logout")
    except NoReverseMatch:
        return None


def check_routes() -> None:
    """Raise DeclarationError RK303 if the project has a view at the path of a route of this adapter."""
    found = mounted()
    prefix = f"{found.settings.prefix}/"
    is_included = mounted_at() is not None
    taken: set[str] = set()
    for path in {route.path.replace("{family}", "f") for route in found.routes}:
        try:
            match = resolve(path)
        except Resolver404:
            continue
        is_ours = getattr(match.func, "resourcekit_route", False)
        # Below the prefix, an earlier pattern of the project hides the route, whatever its form. Elsewhere the middleware answers, and a
        # catch-all is no route of that path.
        is_taken = is_included if path.startswith(prefix) else match.route.strip("^$/") == path.strip("/")
        if is_taken and not is_ours:
            taken.add(path)
    if taken:
        hint = 'Remove that route or write it below include("resourcekit_web.django.urls"); or write RESOURCEKIT = {"HEALTH": False}.'
        what = f"the project has a route of its own at {', '.join(sorted(taken))}"
        raise DeclarationError("RK303", what, path=("RESOURCEKIT",), hint=hint)


def incoming_of(request: HttpRequest) -> Incoming:
    """Return what the core sees of a request."""
    return Incoming.of_wsgi(request.META, scheme=request.scheme)


def response_of(answer: Answer) -> HttpResponse:
    """Return an answer of the core as a response. Cookies are set by ``set_cookies``."""
    headers = [(name, value) for name, value in answer.headers if name != "Set-Cookie"]
    response = HttpResponse(answer.body, status=answer.status, headers=dict(headers))
    if not answer.body and "Content-Type" not in dict(headers):
        del response["Content-Type"]
    set_cookies(response, [value for name, value in answer.headers if name == "Set-Cookie"])
    return response


def set_cookies(response: HttpResponse, values: Iterable[str]) -> None:
    """Set cookies from values of ``Set-Cookie``, by the cookie jar of a response of Django."""
    for value in values:
        pair, *attributes = value.split("; ")
        name, _, text = pair.partition("=")
        response.cookies[name] = ""
        response.cookies[name].set(name, text, text)  # as it is: the jar would put quotes around an empty value
        for attribute in attributes:
            key, separator, said = attribute.partition("=")
            response.cookies[name][key.lower()] = said if separator else True


def admitted(request: HttpRequest, demand: Demand, *, optional: bool = False) -> SignedIn | None:
    """Return the user of a request, which is authenticated once. Raise Refused."""
    incoming = incoming_of(request)
    if not incoming.is_preflight and not hasattr(request, "_resourcekit_found"):
        request._resourcekit_found = drive(web().gate.authenticate(incoming))  # type: ignore[attr-defined]  # noqa: SLF001  # ours
    known: Any = getattr(request, "_resourcekit_found", None)
    found = drive(web().gate.admit(incoming, demand, optional=optional, known=known))
    if isinstance(found, Refusal | Answer):
        raise Refused(found)
    return found


def watched(request: HttpRequest, events: Iterable[Event], *, every: timedelta = timedelta(seconds=30)) -> Generator[Event]:
    """Hand the events of a stream on (``text/event-stream``), and end it once its user is no longer signed in.

    every: time between two checks. No event reaches a user whose token has expired or was revoked longer ago than that.
    """
    who = admitted(request, Demand())
    assert who is not None
    return watched_stream(web().gate, incoming_of(request), who, events, every)


def remember(request: HttpRequest, response: HttpResponse, pair: TokenPair, *, persistent: bool = True) -> None:
    """Set the cookies of a sign-in on a response.

    persistent: False ends the sign-in when the browser is closed. Raise Refused for a request that a page of another site has
    caused, and InvalidArgument for a cookie over 4,096 bytes; nothing is set then.
    """
    set_cookies(response, mounted().cookies_for(pair, incoming_of(request), persistent=persistent))


def forget(request: HttpRequest, response: HttpResponse) -> None:
    """Clear the cookies of a sign-in."""
    set_cookies(response, mounted().settings.cookies.clear_both(incoming_of(request).root_path))


def acting_as(client: Any, subject: str, *, scopes: Iterable[str] = (), fresh: bool = False) -> AbstractContextManager[None]:
    """Let a test client send a real token of a subject with each request in the block."""
    return web().acting_as(client, subject, scopes=scopes, fresh=fresh)


def subject_of(user: Any) -> str:
    """Return the subject of a user of Django: by the function ``RESOURCEKIT["SUBJECT"]``, else ``str(user.pk)``."""
    given: Any = getattr(settings, "RESOURCEKIT", {})
    subject: str = given.get("SUBJECT", lambda user: str(user.pk))(user)
    return subject


def user_by_pk(subject: str) -> Any:
    """Return the user of Django whose primary key is the subject, or None: for ``"USER": "resourcekit_web.django.user_by_pk"``."""
    from django.contrib.auth import get_user_model

    model: Any = get_user_model()
    try:
        return model._default_manager.filter(pk=subject).first()  # noqa: SLF001  # Django's name for it
    except (ValueError, TypeError):  # a subject that cannot be a primary key
        return None
