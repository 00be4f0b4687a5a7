"""The routes below the prefix: ``path("auth/", include("resourcekit_web.django.urls"))``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path
from django.views.decorators.csrf import csrf_exempt

from resourcekit_web.core import Route
from resourcekit_web.django.auth import web
from resourcekit_web.django.middleware import answer_route

__all__ = ["app_name", "urlpatterns"]

app_name = "resourcekit"


def _view(route: Route) -> Callable[..., Any]:
    def view(request: HttpRequest, **values: str) -> HttpResponse:
        return answer_route(route, request, **values)

    view.resourcekit_route = True  # type: ignore[attr-defined]  # by which the check knows our own routes
    return csrf_exempt(view)  # the core asks for the origin


def _patterns() -> list[URLPattern]:
    prefix = f"{web().settings.prefix}/"
    found = [route for route in web().routes if route.path.startswith(prefix)]
    made = [(route.path.removeprefix(prefix).replace("{", "<str:").replace("}", ">"), route) for route in found]
    return [path(place, _view(route), name=route.name) for place, route in made]


urlpatterns = _patterns()
