"""The ``TokenAuth``s of one app: their names differ, and they share the routes outside of their prefixes.

Edit this module to change what two of them may have in common.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable

import attrs

from resourcekit.errors import DeclarationError, DeclarationErrors
from resourcekit_web.core.health import health_routes
from resourcekit_web.core.oauth import keys_route, oauth_routes
from resourcekit_web.core.routes import Route, session_routes
from resourcekit_web.core.settings import Settings

__all__ = ["Installed"]


@attrs.define
class Installed:
    """The settings of each ``TokenAuth`` of one app, in the order in which they were added.

    The first one adds ``/.well-known/jwks.json``, which has the public keys of all, and the first one with ``health`` adds the health
    endpoints, of which ``/readyz`` asks the stores of all. Each adapter keeps one Installed for each app.
    """

    _settings: list[Settings] = attrs.field(factory=list[Settings], init=False)
    _shared: set[str] = attrs.field(factory=set[str], init=False)

    @property
    def is_empty(self) -> bool:
        """Whether no ``TokenAuth`` was added yet."""
        return not self._settings

    def add(self, settings: Settings, refuse_taken: Callable[[tuple[Route, ...]], None] | None = None) -> tuple[Route, ...]:
        """Add a ``TokenAuth``, and return the routes that the app gets for it.

        refuse_taken: raises RK303 if the app has a route of its own at one of the paths; nothing is added then. Raise DeclarationError
        RK301 for a resource that cannot have the routes, and RK302 for a name that another ``TokenAuth`` has.
        """
        if any(one.name == settings.name for one in self._settings):
            what = f"two of one app have the name {settings.name!r}, and would overwrite the cookies of each other"
            hint = 'Give each its own name and its own path: TokenAuth(Admin, name="admin", prefix="/admin/auth").'
            raise DeclarationError("RK302", what, path=("TokenAuth", "name"), hint=hint)
        made: list[Iterable[Route]] = [session_routes(settings), oauth_routes(settings)]
        own = [route for routes in made for route in routes]
        shared = [keys_route(self._settings), *health_routes(settings, self._settings)]
        routes = (*own, *(route for route in shared if route.path not in self._shared))
        if refuse_taken is not None:
            refuse_taken(routes)
        self._settings.append(settings)
        self._shared.update(route.path for route in shared)
        return routes

    def check_deployment(self, settings: Settings, *, is_async: bool, at_import: bool = False) -> None:
        """Raise DeclarationError for all that would break the first request of a ``TokenAuth``, at start.

        Besides the checks of its settings: two different public keys of one `kid` would be in one key set.
        """
        settings.check_deployment(is_async=is_async, at_import=at_import)
        own = {key["kid"]: key for key in settings.jwt.jwks()["keys"]}
        before = itertools.takewhile(lambda one: one.name != settings.name, self._settings)
        findings = [
            _two_keys(kid)
            for other in before
            for kid, key in ((key["kid"], key) for key in other.jwt.jwks()["keys"])
            if kid in own and own[kid] != key
        ]
        if findings:
            raise DeclarationErrors(findings) if len(findings) > 1 else findings[0]


def _two_keys(kid: str) -> DeclarationError:
    what = f"two of one app have different keys of the kid {kid!r}, and verifiers would take the wrong one"
    return DeclarationError("RK302", what, path=("TokenAuth", "name"), hint="Give one of the keys another kid.")
