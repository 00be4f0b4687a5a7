"""Authentication for Django REST framework: ``authentication_classes = [SessionTokenAuthentication]``."""

from __future__ import annotations

from typing import Any

from rest_framework.authentication import BaseAuthentication

from resourcekit_web.core import Demand
from resourcekit_web.django.auth import admitted

__all__ = ["SessionTokenAuthentication"]


class SessionTokenAuthentication(BaseAuthentication):
    """Gives ``request.user`` (the result of ``USER``, else the SignedIn) and ``request.auth`` (the SignedIn).

    A request without a credential is anonymous, and permissions decide. A bad one is refused as everywhere: the middleware answers.
    """

    def authenticate(self, request: Any) -> tuple[Any, Any] | None:
        """Return user and SignedIn, or None without a valid credential."""
        who = admitted(request._request, Demand(), optional=True)  # noqa: SLF001  # the request of Django
        return None if who is None else (who if who.user is None else who.user, who)

    def authenticate_header(self, request: Any) -> str:  # pyright: ignore[reportIncompatibleMethodOverride]  # the stubs say None
        """Return the challenge of a 401."""
        return "Bearer"
