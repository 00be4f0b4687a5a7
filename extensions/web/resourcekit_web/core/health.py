"""The health endpoints: is the process alive, and does the store answer? Edit this module to change what is asked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta

import attrs

from resourcekit_web.core.answers import Answer
from resourcekit_web.core.routes import Asked, Route
from resourcekit_web.core.settings import Settings

__all__ = ["health_routes"]

_NO_STORE = (("Cache-Control", "no-store"),)
_DEADLINE = timedelta(seconds=2)
_UNKNOWN_JTI = "resourcekit-web-readyz"


def health_routes(settings: Settings, every: Sequence[Settings]) -> Iterable[Route]:
    """Yield ``/livez`` and ``/healthz`` (the process answers) and ``/readyz`` (its stores do too).

    settings: of the ``TokenAuth`` that adds them. every: those of all of the app.
    """
    if settings.health:
        its = _Health(every)
        for name in ("livez", "healthz"):
            yield Route(method="GET", path=f"/{name}", name=name, run=its.is_alive, headers=_NO_STORE)
        yield Route(method="GET", path="/readyz", name="readyz", run=its.is_ready, headers=_NO_STORE)


@attrs.frozen
class _Health:
    """The functions of the health endpoints."""

    every: Sequence[Settings]

    async def is_alive(self, asked: Asked) -> Answer:
        """Return 200: a process that cannot answer is restarted, and a store that is away is no reason for that."""
        return Answer.of_json({"status": "ok"})

    async def is_ready(self, asked: Asked) -> Answer:
        """Return 200 if each store answers within two seconds; its errors become a 503."""
        for settings in self.every:
            await settings.resource.get_token.using(deadline=_DEADLINE).aio(jti=_UNKNOWN_JTI)
        return Answer.of_json({"status": "ok"})
