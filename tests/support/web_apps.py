"""One small app for each framework, all with the same views, so that one table of requests is a test of all adapters."""

import asyncio
import importlib
import itertools
import re
import types
from collections.abc import Callable
from datetime import timedelta
from typing import Annotated, Any

from resourcekit.data_layers import Memory
from resourcekit.errors import DeclarationError
from tests.support.setups import declare_tokens
from tests.support.web_requests import Reply, Sent, asgi_sender, wsgi_sender

__all__ = ["APPS", "ASGI_APPS", "configure_django", "django_app", "lived", "made", "started"]

FRESH = timedelta(minutes=5)
METHODS = ["GET", "HEAD", "POST", "OPTIONS"]


def starlette_app(token: Any, **options: Any) -> Any:
    """Return an app of Starlette."""
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse, Response
    from starlette.routing import Route, WebSocketRoute
    from starlette.websockets import WebSocket

    from resourcekit_web.starlette import TokenAuth

    auth = TokenAuth(token, **{"supervise": False, **options})

    def view(who_of: Any) -> Callable[[Request], Any]:
        async def shown(request: Request) -> Response:
            who = await who_of(request)
            return JSONResponse({"sub": who and who.subject})

        return shown

    async def login(request: Request) -> Response:
        response = Response(status_code=204)
        auth.remember(response, await token.issue_pair.aio("alice"), request=request)
        return response

    async def socket(websocket: WebSocket) -> None:
        who = await auth.accept(websocket)
        await websocket.send_json({"sub": who.subject})
        await websocket.close()

    app = Starlette(
        routes=[
            Route("/me", view(auth), methods=METHODS),
            Route("/optional", view(auth.optional), methods=METHODS),
            Route("/scoped", view(auth.scopes("a:write")), methods=METHODS),
            Route("/fresh", view(auth.fresh(FRESH)), methods=METHODS),
            Route("/login", login, methods=["POST"]),
            WebSocketRoute("/socket", socket),
        ]
    )
    return auth.install(app)


def fastapi_app(token: Any, **options: Any) -> Any:
    """Return an app of FastAPI."""
    from fastapi import Depends, FastAPI, Request, Response, WebSocket

    from resourcekit_web.fastapi import SignedIn, TokenAuth

    auth = TokenAuth(token, **{"supervise": False, **options})
    app = auth.install(FastAPI())

    @app.api_route("/me", methods=METHODS)
    async def me(who: Annotated[SignedIn, Depends(auth)]) -> Any:
        return {"sub": who.subject}

    @app.api_route("/optional", methods=METHODS)
    async def optional(who: Annotated[SignedIn | None, Depends(auth.optional)]) -> Any:
        return {"sub": who and who.subject}

    @app.api_route("/scoped", methods=METHODS)
    async def scoped(who: Annotated[SignedIn, Depends(auth.scopes("a:write"))]) -> Any:
        return {"sub": who.subject}

    @app.api_route("/fresh", methods=METHODS)
    async def fresh(who: Annotated[SignedIn, Depends(auth.fresh(FRESH))]) -> Any:
        return {"sub": who.subject}

    @app.post("/login", status_code=204)
    async def login(request: Request, response: Response) -> None:
        auth.remember(response, await token.issue_pair.aio("alice"), request=request)

    @app.websocket("/socket")
    async def socket(websocket: WebSocket) -> None:
        who = await auth.accept(websocket)
        await websocket.send_json({"sub": who.subject})
        await websocket.close()

    return app


def flask_app(token: Any, **options: Any) -> Any:
    """Return an app of Flask."""
    from flask import Flask, Response

    from resourcekit_web.flask import TokenAuth

    app = Flask("shop")
    auth = TokenAuth(token, app, **{"supervise": False, **options})

    @app.route("/me", methods=METHODS)
    @auth.required
    def me() -> Any:
        return {"sub": auth.signed_in.subject}

    @app.route("/optional", methods=METHODS)
    @auth.optional
    def optional() -> Any:
        who = auth.signed_in_or_none
        return {"sub": who and who.subject}

    @app.route("/scoped", methods=METHODS)
    @auth.required(scopes=["a:write"])
    def scoped() -> Any:
        return {"sub": auth.signed_in.subject}

    @app.route("/fresh", methods=METHODS)
    @auth.required(fresh=FRESH)
    def fresh() -> Any:
        return {"sub": auth.signed_in.subject}

    @app.post("/login")
    def login() -> Any:
        return auth.remember(Response(status=204), token.issue_pair("alice"))

    return app


_override: list[Any] = []
"""The settings of the Django app that was made last; a process has one project."""


def configure_django() -> None:
    """Give Django settings, once in a process."""
    import django
    from django.conf import settings

    if not settings.configured:
        settings.configure(
            ALLOWED_HOSTS=["*"],
            SECRET_KEY="a-secret-of-django-for-tests",
            DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
            INSTALLED_APPS=[
                "django.contrib.contenttypes",
                "django.contrib.auth",
                "django.contrib.sessions",
                "django.contrib.messages",
                "django.contrib.admin",
                "resourcekit_web.django.apps.ResourcekitConfig",
                "rest_framework",
            ],
            MIDDLEWARE=["django.middleware.csrf.CsrfViewMiddleware", "resourcekit_web.django.middleware.TokenMiddleware"],
            TEMPLATES=[
                {
                    "BACKEND": "django.template.backends.django.DjangoTemplates",
                    "APP_DIRS": True,
                    "OPTIONS": {
                        "context_processors": [
                            "django.template.context_processors.request",
                            "django.contrib.auth.context_processors.auth",
                            "django.contrib.messages.context_processors.messages",
                        ]
                    },
                }
            ],
            STATIC_URL="/static/",
            DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
            LOGGING_CONFIG=None,
            RESOURCEKIT={"TOKEN": declare_tokens(Memory())},
            USE_TZ=True,
        )
        django.setup()


def django_app(token: Any, **options: Any) -> Any:
    """Return a WSGI app of Django. It takes the place of the one that was made before."""
    from django.core.handlers.wsgi import WSGIHandler
    from django.test import override_settings

    configure_django()
    for before in _override:
        before.disable()
    given = {"TOKEN": token, "SUPERVISE": False, **{name.upper(): value for name, value in options.items()}}
    _override[:] = [override_settings(RESOURCEKIT=given)]
    _override[0].enable()
    urls = override_settings(ROOT_URLCONF=_django_urls(token))
    urls.enable()
    _override.insert(0, urls)
    return WSGIHandler()


def _django_urls(token: Any) -> Any:
    """Return the module of the URLs of a project."""
    from django.http import HttpRequest, HttpResponse, JsonResponse
    from django.urls import include, path
    from django.views.decorators.csrf import csrf_exempt

    from resourcekit_web.django import remember, urls
    from resourcekit_web.django.decorators import required

    def shown(request: Any) -> Any:
        who = request.signed_in
        return JsonResponse({"sub": who and who.subject})

    @csrf_exempt
    def login(request: HttpRequest) -> HttpResponse:
        response = HttpResponse(status=204)
        remember(request, response, token.issue_pair("alice"))
        return response

    module = types.ModuleType("shop_urls")
    importlib.reload(urls)
    vars(module)["urlpatterns"] = [
        path("me", required(shown)),
        path("optional", csrf_exempt(shown)),
        path("scoped", required(scopes=["a:write"])(shown)),
        path("fresh", required(fresh=FRESH)(shown)),
        path("login", login),
        path("auth/", include(urls)),
        *_django_rest(),
    ]
    return module


def _django_rest() -> list[Any]:
    """Return the views of the two packages for APIs."""
    from django.urls import path
    from ninja import NinjaAPI
    from rest_framework.permissions import IsAuthenticated
    from rest_framework.response import Response
    from rest_framework.views import APIView

    from resourcekit_web.django.drf import SessionTokenAuthentication
    from resourcekit_web.django.ninja import SessionToken

    class Me(APIView):
        authentication_classes = (SessionTokenAuthentication,)
        permission_classes = (IsAuthenticated,)

        def get(self, request: Any) -> Any:
            return Response({"sub": request.auth.subject})

    api = NinjaAPI(urls_namespace=f"api{next(_numbers)}", docs_url=None)

    @api.get("/me", auth=SessionToken())
    def me(request: Any) -> Any:
        return {"sub": request.auth.subject}

    @api.get("/scoped", auth=SessionToken(scopes="a:write"))
    def scoped(request: Any) -> Any:
        return {"sub": request.auth.subject}

    @api.get("/fresh", auth=SessionToken(scopes=["a:write"], fresh=FRESH))
    def fresh(request: Any) -> Any:
        return {"sub": request.auth.subject}

    return [path("drf/me", Me.as_view()), path("ninja/", api.urls)]


_numbers = itertools.count()


def quart_app(token: Any, **options: Any) -> Any:
    """Return an app of Quart."""
    from quart import Quart, Response, websocket

    from resourcekit_web.quart import TokenAuth

    app = Quart("shop")
    auth = TokenAuth(token, app, **{"supervise": False, **options})

    def view() -> Any:
        async def shown() -> Any:
            who = auth.signed_in_or_none
            return {"sub": who and who.subject}

        return shown

    app.add_url_rule("/me", "me", auth.required(view()), methods=METHODS, provide_automatic_options=False)
    app.add_url_rule("/optional", "optional", auth.optional(view()), methods=METHODS)
    app.add_url_rule("/scoped", "scoped", auth.required(scopes=["a:write"])(view()), methods=METHODS)
    app.add_url_rule("/fresh", "fresh", auth.required(fresh=FRESH)(view()), methods=METHODS)

    @app.post("/login")
    async def login() -> Any:
        return auth.remember(Response("", status=204), await token.issue_pair.aio("alice"))

    @app.websocket("/socket")
    @auth.required
    async def socket() -> None:
        await auth.accept()
        await websocket.send_json({"sub": auth.signed_in.subject})

    return app


def litestar_app(token: Any, **options: Any) -> Any:
    """Return an app of Litestar."""
    from litestar import HttpMethod, Litestar, Request, Response, WebSocket, post, route, websocket

    from resourcekit_web.litestar import MaybeSignedIn, SignedIn, TokenPlugin

    auth = TokenPlugin(token, **{"supervise": False, **options})
    methods = [HttpMethod(method) for method in METHODS if method != "OPTIONS"] + ["OPTIONS"]

    @route("/me", http_method=methods, status_code=200)
    async def me(signed_in: SignedIn) -> dict[str, Any]:
        return {"sub": signed_in.subject}

    @route("/optional", http_method=methods, status_code=200)
    async def optional(signed_in: MaybeSignedIn) -> dict[str, Any]:
        return {"sub": signed_in and signed_in.subject}

    @route("/scoped", http_method=methods, status_code=200, guards=[auth.scopes("a:write")])
    async def scoped(signed_in: SignedIn) -> dict[str, Any]:
        return {"sub": signed_in.subject}

    @route("/fresh", http_method=methods, status_code=200, guards=[auth.fresh(FRESH)])
    async def fresh(signed_in: SignedIn) -> dict[str, Any]:
        return {"sub": signed_in.subject}

    @post("/login", status_code=200)
    async def login(request: Request) -> Response[bytes]:
        response = Response(b"", status_code=204)
        auth.remember(response, await token.issue_pair.aio("alice"), request=request)
        return response

    @websocket("/socket")
    async def socket(socket: WebSocket, signed_in: SignedIn) -> None:
        await auth.accept(socket)
        await socket.send_json({"sub": signed_in.subject})
        await socket.close()

    names = {
        "SignedIn": SignedIn,
        "MaybeSignedIn": MaybeSignedIn,
        "Request": Request,
        "Response": Response,
        "WebSocket": WebSocket,
    }
    handlers = [me, optional, scoped, fresh, login, socket]
    return Litestar(handlers, plugins=[auth], signature_namespace=names, logging_config=None)


APPS: dict[str, tuple[Callable[..., Any], Callable[[Any], Callable[[Sent], Reply]]]] = {
    "starlette": (starlette_app, asgi_sender),
    "fastapi": (fastapi_app, asgi_sender),
    "flask": (flask_app, wsgi_sender),
    "quart": (quart_app, asgi_sender),
    "litestar": (litestar_app, asgi_sender),
    "django": (django_app, wsgi_sender),
}
ASGI_APPS = ("starlette", "fastapi", "quart", "litestar")


def made(framework: str, token: Any, **options: Any) -> Callable[[Sent], Reply]:
    """Return a function that sends requests into a new app of a framework."""
    make, sender = APPS[framework]
    return sender(make(token, **options))


def started(framework: str, token: Any, **options: Any) -> None:
    """Make an app of a framework, and start it as its server does."""
    make, sender = APPS[framework]
    app = make(token, **options)
    if sender is asgi_sender:
        asyncio.run(lived(app))


async def lived(app: Any) -> None:
    """Start and stop an ASGI app by the lifespan protocol, and raise the error that its start meets."""
    asked, got = [{"type": "lifespan.shutdown"}, {"type": "lifespan.startup"}], []

    async def receive() -> Any:
        return asked.pop()

    async def send(message: Any) -> None:
        if message["type"] == "lifespan.startup.failed":  # the message is what the server logs before it ends
            found = re.search(r"DeclarationError\[(RK\d{3})\]", message["message"])
            assert found, message["message"]
            raise DeclarationError(found[1], message["message"])
        got.append(message["type"])

    await app({"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, receive, send)
    assert got == ["lifespan.startup.complete", "lifespan.shutdown.complete"], got
