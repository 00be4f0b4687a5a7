"""Protection against requests that another site's page causes, without tokens in forms. Edit this module to change a rule.

The rules ask what browsers send by themselves: ``Sec-Fetch-Site`` and ``Origin``. ``X-Forwarded-*`` is never read.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from typing import Final, Literal
from urllib.parse import urlsplit

import attrs

from resourcekit.extending import logger
from resourcekit_web.core.incoming import Incoming

__all__ = ["Origins", "normal_origin"]

_log = logger("web")
_PORTS: Final = {"https": ":443", "http": ":80"}
_HOST: Final = re.compile(r"(?:\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::\d{1,5})?")


def normal_origin(text: str) -> str | None:
    """Return an origin in small letters without a default port, or None if the text is no origin of http or https."""
    lowered = text.strip().lower()
    scheme, separator, host = lowered.partition("://")
    if not separator or scheme not in _PORTS or not _HOST.fullmatch(host):
        return None
    return f"{scheme}://{host.removesuffix(_PORTS[scheme])}"


@attrs.frozen
class Origins:
    """The origins whose pages may write by cookie.

    own: of the app itself; empty: ``https://`` and the Host header, on a loopback address ``http://`` as well. trusted: other
    ones. is_strict: refuse an unsafe request that says nothing of its origin.
    """

    own: frozenset[str] = frozenset()
    trusted: frozenset[str] = frozenset()
    is_strict: bool = False
    _noted: set[tuple[str, str]] = attrs.field(factory=set[tuple[str, str]], eq=False, repr=False)

    @classmethod
    def read(cls, own: Iterable[str], trusted: Iterable[str], csrf: Literal["usual", "strict"]) -> Origins:
        """Return the rules for origins that were checked before."""
        return cls(
            frozenset(filter(None, map(normal_origin, own))),
            frozenset(filter(None, map(normal_origin, trusted))),
            csrf == "strict",
        )

    def lets_pass(self, incoming: Incoming) -> bool:
        """Return whether the request is not one that a foreign page caused. A refusal is logged once for each pair of origins."""
        origin = incoming.header("origin")
        given = None if origin is None else normal_origin(origin)
        if given is not None and given in self.trusted:
            return True
        site = incoming.header("sec-fetch-site")
        if site is not None and not incoming.is_websocket:
            passes = site.strip().lower() in {"same-origin", "none"}
        elif origin is not None:
            passes = given is not None and given in self.own_origins(incoming)
        else:
            passes = not self.is_strict
        if not passes:
            self._note(given or "(none)", incoming)
        return passes

    def own_origins(self, incoming: Incoming) -> frozenset[str]:
        """Return the origins of the app, as named or by the Host header."""
        if self.own:
            return self.own
        host = (incoming.header("host") or "").strip().lower()
        found = {f"https://{host}"}
        if incoming.scheme in {"http", "ws"} or _is_loopback(host):
            found.add(f"http://{host}")
        return frozenset(filter(None, map(normal_origin, found)))

    def _note(self, given: str, incoming: Incoming) -> None:
        own = ", ".join(sorted(self.own_origins(incoming))) or "(none)"
        if (given, own) in self._noted or len(self._noted) > 100:
            return
        self._noted.add((given, own))
        message = "a request of the origin %s was refused; own: %s. If that is an origin of yours, name it in origins=[...]"
        _log.warning(message, given, own)


def _is_loopback(host: str) -> bool:
    name = urlsplit(f"//{host}").hostname or "" if _HOST.fullmatch(host) else ""
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
