"""The adapter for FastAPI.

::

    auth = TokenAuth(Token, user=load_user)
    app = auth.install(FastAPI())

    @app.get("/me")
    async def me(who: Annotated[SignedIn, Depends(auth)]): ...
"""

from __future__ import annotations

import inspect
from typing import Annotated, Any

from fastapi import Depends
from fastapi.openapi.models import APIKey, APIKeyIn, HTTPBearer
from fastapi.openapi.models import SecurityBase as SecurityModel
from fastapi.security.base import SecurityBase
from starlette.requests import HTTPConnection
from starlette.responses import Response

from resourcekit.extending import checked_call
from resourcekit_web.core import Demand, Route, SignedIn
from resourcekit_web.starlette import Dependency as StarletteDependency
from resourcekit_web.starlette import TokenAuth as StarletteAuth

__all__ = ["Dependency", "SignedIn", "TokenAuth"]


class _Scheme(SecurityBase):
    """A security scheme of the OpenAPI document. It checks nothing by itself."""

    def __init__(self, name: str, model: SecurityModel) -> None:
        self.scheme_name, self.model = name, model

    async def __call__(self) -> None:
        """Do nothing: the dependency that names this scheme authenticates."""


def _signature(auth: TokenAuth, returns: object) -> inspect.Signature:
    """Return the signature by which FastAPI gives the request to a dependency and finds the security schemes."""
    kind = inspect.Parameter.KEYWORD_ONLY
    parameters = [inspect.Parameter("connection", kind, annotation=HTTPConnection)]
    for position, scheme in enumerate(auth.schemes):
        parameters.append(inspect.Parameter(f"scheme{position}", kind, annotation=Annotated[None, Depends(scheme)]))
    return inspect.Signature(parameters, return_annotation=returns)


class Dependency(StarletteDependency):
    """A dependency that returns the user of a request."""

    def __init__(self, auth: Any, demand: Demand, *, optional: bool = False) -> None:
        super().__init__(auth, demand, optional=optional)
        self.__signature__ = _signature(auth, Any)

    async def __call__(self, connection: HTTPConnection, **schemes: None) -> Any:
        """Return the SignedIn of a request or a websocket handshake; None if it is optional and absent."""
        return await super().__call__(connection)


class TokenAuth(StarletteAuth):
    """Sign-in for an app of FastAPI: ``Depends(auth)``, ``Depends(auth.optional)``, ``Depends(auth.scopes("a:write"))``.

    The options are those of ``Settings``.
    """

    dependency: type[StarletteDependency] = Dependency

    @checked_call("TokenAuth", "write TokenAuth(Token, user=...), with all options by name")
    def __init__(self, resource: Any, **options: Any) -> None:
        super().__init__(resource, **options)
        cookie = APIKey.model_validate({"in": APIKeyIn.cookie, "name": self.settings.cookies.access})
        suffix = "" if self.settings.name == "rk" else f"-{self.settings.name}"
        self.schemes = (
            _Scheme(f"bearer{suffix}", HTTPBearer(bearerFormat="JWT")),
            _Scheme(f"cookie{suffix}", cookie),
        )
        self.__signature__ = _signature(self, SignedIn)

    async def __call__(self, connection: HTTPConnection, **schemes: None) -> SignedIn:
        """Return the user of a request or a websocket handshake. Raise Refused for one without a valid token."""
        return await super().__call__(connection)

    def add_route(self, app: Any, route: Route) -> None:
        """Add a route of the core to an app and to its OpenAPI document."""
        app.add_api_route(
            route.path,
            self._endpoint(route),
            methods=[route.method],
            name=route.name,
            response_class=Response,
            response_model=None,
            tags=["auth"] if route.path.startswith(self.settings.prefix) else ["service"],
        )
        if route.method == "GET":  # FastAPI, unlike Starlette, adds no HEAD; in the document it would be a second operation
            app.add_api_route(
                route.path, self._endpoint(route), methods=["HEAD"], name=f"{route.name}_head", include_in_schema=False
            )
