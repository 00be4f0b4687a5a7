"""A project of Django with Simple JWT and allauth headless over a token resource, in a process of its own.

Run as a program with the name of a scenario; it prints what it saw as JSON. A process has one project of Django.
"""

from __future__ import annotations

import json
import sys
import types
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from resourcekit.data_layers import SQL, Memory
from resourcekit_tokens import JWT
from tests.support.setups import declare_tokens

__all__ = ["configure"]

SECRET = "a-secret-for-peers-of-django-that-is-long-enough-0123456789"
OURS = "resourcekit_web.bridges.simplejwt"
token = declare_tokens(Memory(), jwt=JWT(SECRET), sessions=True)


def configure(database: str = ":memory:", **more: Any) -> None:
    """Give Django settings and tables."""
    import django
    from django.conf import settings
    from django.core.management import call_command

    middleware = ["sessions.middleware.SessionMiddleware", "auth.middleware.AuthenticationMiddleware"]
    settings.configure(
        ALLOWED_HOSTS=["*"],
        SECRET_KEY=SECRET,
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": database}},
        INSTALLED_APPS=[
            *(f"django.contrib.{name}" for name in ("contenttypes", "auth", "sessions", "messages")),
            "allauth",
            "allauth.account",
            "allauth.headless",
            "rest_framework",
            "rest_framework_simplejwt.token_blacklist",
        ],
        MIDDLEWARE=[*(f"django.contrib.{name}" for name in middleware), "allauth.account.middleware.AccountMiddleware"],
        AUTHENTICATION_BACKENDS=["django.contrib.auth.backends.ModelBackend"],
        ACCOUNT_EMAIL_VERIFICATION="none",
        ACCOUNT_LOGIN_METHODS={"username"},
        ACCOUNT_SIGNUP_FIELDS=["username*", "password1*"],
        ACCOUNT_RATE_LIMITS=False,
        HEADLESS_ONLY=True,
        HEADLESS_TOKEN_STRATEGY="resourcekit_web.bridges.allauth.TokenStrategy",
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
        REST_FRAMEWORK={"DEFAULT_AUTHENTICATION_CLASSES": ["rest_framework_simplejwt.authentication.JWTAuthentication"]},
        RESOURCEKIT={"TOKEN": token, "SUPERVISE": False},
        SIMPLE_JWT={
            "AUTH_TOKEN_CLASSES": [f"{OURS}.AccessToken"],
            "TOKEN_OBTAIN_SERIALIZER": f"{OURS}.TokenObtainPairSerializer",
            "TOKEN_REFRESH_SERIALIZER": f"{OURS}.TokenRefreshSerializer",
            "TOKEN_VERIFY_SERIALIZER": f"{OURS}.TokenVerifySerializer",
            "TOKEN_BLACKLIST_SERIALIZER": f"{OURS}.TokenBlacklistSerializer",
            "ROTATE_REFRESH_TOKENS": True,
            "BLACKLIST_AFTER_ROTATION": True,
            "SIGNING_KEY": SECRET,
            **more,
        },
        ROOT_URLCONF="peer_urls",
        LOGGING_CONFIG=None,
        USE_TZ=True,
    )
    django.setup()
    sys.modules["peer_urls"] = _urls()
    call_command("migrate", verbosity=0)


def _urls() -> types.ModuleType:
    from django.urls import include, path
    from rest_framework.decorators import api_view, permission_classes
    from rest_framework.permissions import IsAuthenticated
    from rest_framework.response import Response
    from rest_framework_simplejwt import views

    @api_view(["GET"])
    @permission_classes([IsAuthenticated])
    def me(request: Any) -> Any:
        return Response({"name": request.user.username})

    module = types.ModuleType("peer_urls")
    vars(module)["urlpatterns"] = [
        path("me", me),
        path("token", views.token_obtain_pair),
        path("refresh", views.token_refresh),
        path("verify", views.token_verify),
        path("blacklist", views.token_blacklist),
        path("_allauth/", include("allauth.headless.urls")),
    ]
    return module


def _user(name: str = "alice") -> Any:
    from django.contrib.auth import get_user_model

    model: Any = get_user_model()
    return model.objects.create_user(name, password="wonderland")


def simplejwt() -> dict[str, Any]:
    """Sign in, refresh, repeat, verify, black-list, log out everywhere, and count the rows of Simple JWT's own tables."""
    configure()
    from django.test import Client, override_settings
    from rest_framework_simplejwt.token_blacklist.models import OutstandingToken

    from resourcekit_web.bridges.simplejwt import RefreshToken

    user, client = _user(), Client()

    def post(path: str, **body: Any) -> Any:
        return client.post(path, body, content_type="application/json")

    def me(access: str) -> int:
        return client.get("/me", headers={"authorization": f"Bearer {access}"}).status_code

    login = {"username": "alice", "password": "wonderland"}
    first, second, third = (post("/token", **login).json() for _ in range(3))
    turned = post("/refresh", refresh=first["refresh"])
    repeated = post("/refresh", refresh=first["refresh"])
    verified = [post("/verify", token=each).status_code for each in (turned.json()["refresh"], first["refresh"], "x.y.z")]
    seen = [me(first["access"]), me(turned.json()["access"]), me("x.y.z")]
    out = post("/blacklist", refresh=second["refresh"]).status_code
    twice = post("/blacklist", refresh=second["refresh"]).status_code
    ended = me(second["access"])
    made = RefreshToken.for_user(user)
    blacklisted = [made.blacklist()[1], made.blacklist()[1]]
    token.log_out_everywhere(str(user.pk))
    after = post("/token", **login).json()
    with override_settings(RESOURCEKIT={"TOKEN": _away(), "SUPERVISE": False}):
        away = post("/token", **login)
        paused = post("/refresh", refresh=after["refresh"]).status_code
    with _user_ids_of("email"):
        nameless = RefreshToken.for_user(user)
        nameless_is_new = nameless.blacklist()[1]
    return {
        "away": [away.status_code, away.headers.get("Retry-After"), paused],
        "nameless": [nameless_is_new, post("/verify", token=str(nameless)).status_code],
        "turned": turned.status_code,
        "repeated": (repeated.status_code, repeated.json()["detail"]),
        "verified": verified,
        "seen": seen,
        "blacklist": (out, twice, ended),
        "new": blacklisted,
        "everywhere": (me(third["access"]), me(after["access"])),
        "rows": OutstandingToken.objects.count(),
    }


@contextmanager
def _user_ids_of(field: str) -> Generator[None]:
    """Let Simple JWT write another field of the user into its tokens."""
    from rest_framework_simplejwt.settings import api_settings

    was = api_settings.USER_ID_FIELD
    api_settings.USER_ID_FIELD = field
    try:
        yield
    finally:
        api_settings.USER_ID_FIELD = was


def __getattr__(name: str) -> Any:
    """Return the strategy with a claim of its own. Its base can be imported only when Django has settings."""
    if name != "WithEmail":
        raise AttributeError(name)
    from resourcekit_web.bridges.allauth import TokenStrategy

    class WithEmail(TokenStrategy):
        def get_claims(self, user: Any) -> dict[str, Any]:
            return {"email": user.email}

    return WithEmail


def _away() -> Any:
    """Return a resource with the same key whose store does not answer."""
    return declare_tokens(SQL("postgresql://user@127.0.0.1:9/nothing", table="away"), jwt=JWT(SECRET), storage=False)


def _after_changes(user: Any, sign_in: Callable[[], Any], refreshed: Callable[[Any], Any]) -> dict[str, Any]:
    """Refresh after a change of the user's mail, activity and password."""
    from django.test import override_settings

    told, inactive, changed = sign_in(), sign_in(), sign_in()

    def refused(pair: Any) -> list[Any]:
        return [refreshed(pair).status_code, token.token_revoked(pair["access_token"])]

    type(user).objects.update(email="new@shop.example")
    with override_settings(HEADLESS_TOKEN_STRATEGY=f"{__name__}.WithEmail"):
        claims = token.verify(refreshed(told).json()["data"]["access_token"])
    type(user).objects.update(is_active=False)
    seen = {"told": claims["email"], "inactive": refused(inactive)}
    type(user).objects.update(is_active=True)
    user.set_password("another")
    user.save()
    return {**seen, "changed": refused(changed)}


def allauth() -> dict[str, Any]:
    """Sign in by the API for apps, refresh, repeat, use the access token, log out, and end the session behind allauth's back."""
    configure()
    from django.contrib.sessions.models import Session
    from django.test import Client, override_settings

    user, base = _user(), "/_allauth/app/v1"

    def ask(method: str, path: str, body: Any = None, **headers: str) -> Any:
        return Client().generic(method, base + path, json.dumps(body or {}), content_type="application/json", headers=headers)

    def sign_in() -> Any:
        return ask("POST", "/auth/login", {"username": "alice", "password": "wonderland"}).json()["meta"]

    def current(access: str) -> int:
        return ask("GET", "/auth/session", authorization=f"Bearer {access}").status_code

    first, second, third = sign_in(), sign_in(), sign_in()
    claims = token.verify(first["access_token"])
    turned = ask("POST", "/tokens/refresh", {"refresh_token": first["refresh_token"]}).json()["data"]
    seen = [current(first["access_token"]), current(turned["access_token"]), current("x.y.z")]
    wrong = current(turned["refresh_token"])
    repeated = ask("POST", "/tokens/refresh", {"refresh_token": first["refresh_token"]}).status_code
    reused = current(turned["access_token"])
    ask("DELETE", "/auth/session", authorization=f"Bearer {second['access_token']}")
    out = [current(second["access_token"]), token.token_revoked(second["access_token"])]
    with override_settings(RESOURCEKIT={"TOKEN": _away()}):
        away = [
            ask("POST", "/auth/login", {"username": "alice", "password": "wonderland"}),
            ask("POST", "/tokens/refresh", {"refresh_token": third["refresh_token"]}),
            ask("GET", "/auth/session", authorization=f"Bearer {third['access_token']}"),
        ]
    changes = _after_changes(user, sign_in, lambda pair: ask("POST", "/tokens/refresh", {"refresh_token": pair["refresh_token"]}))
    Session.objects.all().delete()
    gone = ask("POST", "/tokens/refresh", {"refresh_token": third["refresh_token"]}).status_code
    return {
        "names": sorted(first),
        "subject": claims.subject == str(user.pk),
        "key hidden": first["session_token"] not in str(dict(claims)),
        "expires_in": 800 < first.get("expires_in", 0) <= 900,
        "seen": seen,
        "wrong": wrong,
        "reuse": (repeated, reused),
        "out": out,
        "away": [(reply.status_code, reply.headers.get("Retry-After")) for reply in away],
        **changes,
        "gone": (gone, token.token_revoked(third["access_token"])),
    }


def blacklist(database: str) -> dict[str, Any]:
    """Fill the tables of Simple JWT as its own classes do, and return the tokens."""
    configure(database)
    from rest_framework_simplejwt.tokens import RefreshToken

    user = _user()
    made = [RefreshToken.for_user(user) for _ in range(3)]
    made[0].blacklist()
    made[1].set_exp(lifetime=timedelta(days=400))
    made[1].blacklist()
    return {"jtis": [each["jti"] for each in made], "tokens": list(map(str, made)), "subject": str(user.pk)}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(globals()[sys.argv[1]](*sys.argv[2:])))
