"""The adapter for Django.

::

    RESOURCEKIT = {"TOKEN": "accounts.Token"}
    INSTALLED_APPS = [..., "resourcekit_web.django"]
    MIDDLEWARE = [..., "resourcekit_web.django.middleware.TokenMiddleware"]
    urlpatterns = [path("auth/", include("resourcekit_web.django.urls"))]

Views are marked with ``resourcekit_web.django.decorators.required`` and read ``request.signed_in``.
"""

from __future__ import annotations

from resourcekit_web.core import SignedIn
from resourcekit_web.django.auth import acting_as, forget, remember, user_by_pk, watched

__all__ = ["SignedIn", "acting_as", "forget", "remember", "user_by_pk", "watched"]
