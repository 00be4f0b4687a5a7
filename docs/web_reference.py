"""Writes the reference of the web layer. Open it when an adapter gets a function that users call."""

from __future__ import annotations

import importlib

from resourcekit import Domain
from resourcekit.data_layers import Memory
from resourcekit.reference.sections import Item, class_section, table
from resourcekit_tokens import JWT, TokenRecord, TokenResource
from resourcekit_web.core import Client, Settings, SignedIn, Web

__all__ = ["parts"]

ADAPTERS = {
    "starlette": "TokenAuth",
    "fastapi": "TokenAuth",
    "flask": "TokenAuth",
    "quart": "TokenAuth",
    "litestar": "TokenPlugin",
}
_INNER = ("add_route", "admitted", "dependency", "routes", "answer", "mounted", "cookies_for", "on_app_init")
"""Parts of the adapters that only adapters and frameworks use."""

_READ_BY_THE_CORE = (
    "cookies",
    "allowed_origins",
    "token_options",
    "jwt",
    "signs",
    "has_sessions",
    "client",
    "check_deployment",
)

INTRO = (
    "`resourcekit_web` signs users of web apps in. Import an adapter from the module of its framework; its options are those of "
    "`Settings`. In Django they are the keys of the setting `RESOURCEKIT`, in capitals."
)


class Token(
    TokenRecord, domain=Domain("reference"), data_layer=Memory(), extensions=[TokenResource(jwt=JWT("-+" * 32), sessions=True)]
):
    """Tokens of an app that has all routes."""


def parts() -> list[str]:
    """Return the title, the introduction and the sections of the page."""
    return [
        "Web",
        INTRO,
        class_section(Settings, without=_READ_BY_THE_CORE),
        class_section(SignedIn),
        class_section(Client, called="Client", without=("read_secret",)),
        "## Routes",
        "`install` adds these routes. The paths below `/auth` change with `prefix`.",
        _routes(),
        *map(_adapter, ADAPTERS),
    ]


def _routes() -> str:
    routes = Web(Token, clients={"billing": "-" * 32}).routes
    return table((Item(name=f"{route.method} {route.path}", doc=route.run.__doc__ or "") for route in routes), called="request")


def _adapter(name: str) -> str:
    module = importlib.import_module(f"resourcekit_web.{name}")
    kind = getattr(module, ADAPTERS[name])
    return f"## {module.__name__}\n\n{class_section(kind, called=kind.__name__, level=3, without=_INNER)}"
