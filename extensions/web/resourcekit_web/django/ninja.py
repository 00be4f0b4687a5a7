"""Authentication for Django Ninja: ``NinjaAPI(auth=SessionToken())``, ``auth=SessionToken(scopes=["a:write"])``."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from django.http import HttpRequest
from ninja.security.base import AuthBase

from resourcekit_web.core import Demand, SignedIn
from resourcekit_web.django.auth import admitted

__all__ = ["SessionToken"]


class SessionToken(AuthBase):
    """Demands a signed-in user; ``request.auth`` is the SignedIn. Refusals are answered by the middleware as everywhere."""

    openapi_type = "http"

    def __init__(self, *, scopes: Iterable[str] | str = (), fresh: timedelta | None = None) -> None:
        super().__init__()
        self._demand = Demand.of(scopes, fresh, by="SessionToken")

    def __call__(self, request: HttpRequest) -> SignedIn | None:
        """Return the user of the request. Raise Refused."""
        return admitted(request, self._demand)
