"""A login app of Django with a page of sessions. ``python app.py`` starts it at http://127.0.0.1:8000; alice's password is "wonderland".

A real project has these parts in settings.py, urls.py and views.py.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import sys
from pathlib import Path

from django.conf import settings
from django.core.management import execute_from_command_line
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import include, path
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from resourcekit import Attr, Domain, attribute, env
from resourcekit.data_layers import SQL
from resourcekit_tokens import JWT, TokenRecord, TokenResource

os.environ.setdefault("TOKEN_SECRET", secrets.token_urlsafe(48))  # Django's app reads it when it is made
os.environ.setdefault("DATABASE_URL", "sqlite:///sessions.db")
accounts = Domain("django example")


class Token(
    TokenRecord,
    domain=accounts,
    data_layer=SQL(env("DATABASE_URL")),
    extensions=[TokenResource(jwt=JWT(env("TOKEN_SECRET")), sessions=True)],
):
    """One record for each session, and for each revoked token."""

    device: Attr[str | None] = attribute(default=None)


settings.configure(
    ALLOWED_HOSTS=["127.0.0.1", "localhost"],
    SECRET_KEY=secrets.token_urlsafe(48),
    ROOT_URLCONF=__name__,
    INSTALLED_APPS=["resourcekit_web.django"],
    MIDDLEWARE=["resourcekit_web.django.middleware.TokenMiddleware"],
    RESOURCEKIT={"TOKEN": Token},
)


def hashed(password: str) -> bytes:
    """Return the hash of a password. A real app has a salt for each user."""
    return hashlib.scrypt(password.encode(errors="surrogatepass"), salt=b"of the example", n=2**14, r=8, p=1)


USERS = {"alice": hashed("wonderland")}


def page(request: HttpRequest) -> HttpResponse:
    """Return the page."""
    return HttpResponse((Path(__file__).parents[1] / "page.html").read_text(encoding="utf-8"))


@csrf_exempt
@require_POST
def login(request: HttpRequest) -> HttpResponse:
    """Sign in. The generation is read first, so that a sign-in does not survive a password change that overtakes it."""
    from resourcekit_web.django import remember

    try:
        form = json.loads(request.body)
        name, password = str(form["name"]), str(form["password"])
    except (ValueError, TypeError, KeyError):  # no JSON, no object, no such field
        return HttpResponse(status=400)
    generation = Token.generation(name)
    if not hmac.compare_digest(USERS.get(name, b""), hashed(password)):
        return HttpResponse(status=401)
    device = {"device": request.headers.get("user-agent", "")[:80]}
    response = HttpResponse(status=204)
    remember(request, response, Token.issue_pair(name, generation=generation, session_values=device))
    return response


urlpatterns = [path("", page), path("login", login), path("auth/", include("resourcekit_web.django.urls"))]

if __name__ == "__main__":
    accounts.create_storage()
    execute_from_command_line([sys.argv[0], "runserver", "--noreload", "8000"])
else:
    app = get_wsgi_application()
