"""The two cookies of a sign-in: names, attributes, and when they are too large. Edit this module to change an attribute."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final
from urllib.parse import quote

import attrs

from resourcekit import utc_now
from resourcekit.errors import FieldFinding, InvalidArgument
from resourcekit_tokens import TokenPair

__all__ = ["LARGEST", "Cookies"]

LARGEST: Final = 4096
"""Bytes of name and value together that a browser keeps (RFC 6265bis, 5.6)."""

_UNTIL_CLOSED: Final = "~"
"""Begins a refresh cookie without Max-Age. A browser does not send attributes back, and a refresh must not prolong the cookie."""

_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_PATH: Final = re.compile(r"/[!-:<-~]*")


@attrs.frozen
class Cookies:
    """The cookies of one ``TokenAuth``.

    name: the part of both names. prefix: the path of the routes. path: of the refresh cookie; None: root path and prefix.
    Browsers accept ``Secure`` cookies from http on a loopback address, so development needs no other form.
    """

    name: str = "rk"
    prefix: str = "/auth"
    path: str | None = None

    @property
    def access(self) -> str:
        """The name of the access cookie. ``__Host-`` makes browsers refuse one from another subdomain."""
        return f"__Host-{self.name}-access"

    @property
    def refresh(self) -> str:
        """The name of the refresh cookie. ``__Host-`` would demand the path ``/``, and send it with each request."""
        return f"__Secure-{self.name}-refresh"

    def problem(self) -> str | None:
        """Return what browsers would refuse, or None."""
        if not _NAME.fullmatch(self.name):
            return f"name={self.name!r} cannot be a part of a cookie's name; use up to 64 letters, digits, dots, - and _"
        if self.path is not None and not _PATH.fullmatch(self.path):
            return f"cookie_path={self.path!r} is not a path; begin it with / and leave out spaces and semicolons"
        return None

    def read_refresh(self, value: str) -> tuple[str, bool]:
        """Return the token of a refresh cookie, and whether the cookie outlives the browser's run."""
        return value.removeprefix(_UNTIL_CLOSED), not value.startswith(_UNTIL_CLOSED)

    def set_both(self, pair: TokenPair, root_path: str, *, persistent: bool) -> list[str]:
        """Return the two ``Set-Cookie`` values. Raise InvalidArgument if a browser would drop one of them as too large."""
        expires_at = pair.refresh.claims.expires_at
        age = _age(expires_at) if persistent and expires_at is not None else ""
        mark = "" if persistent else _UNTIL_CLOSED
        tokens = {self.access: pair.access.token, self.refresh: mark + pair.refresh.token}
        for name, token in tokens.items():
            if len(name) + len(token) > LARGEST:
                what = f"makes a cookie of {len(name) + len(token)} bytes, and browsers keep {LARGEST}; put less into its claims"
                raise InvalidArgument(FieldFinding(name, what), action="remember")
        return [
            f"{self.access}={tokens[self.access]}; Path=/{age}; {self._kind('Lax')}",
            f"{self.refresh}={tokens[self.refresh]}; Path={self._refresh_path(root_path)}{age}; {self._kind('Strict')}",
        ]

    def clear_both(self, root_path: str) -> list[str]:
        """Return the two ``Set-Cookie`` values that make a browser forget."""
        return [
            f"{self.access}=; Path=/; Max-Age=0; {self._kind('Lax')}",
            f"{self.refresh}=; Path={self._refresh_path(root_path)}; Max-Age=0; {self._kind('Strict')}",
        ]

    def _refresh_path(self, root_path: str) -> str:
        # Browsers compare the path as it was sent. A semicolon of it would begin an attribute of the cookie.
        return self.path or (quote(root_path.rstrip("/"), safe="/%!$&'()*+,=:@~") + self.prefix) or "/"

    def _kind(self, same_site: str) -> str:
        return f"HttpOnly; Secure; SameSite={same_site}"


def _age(expires_at: datetime) -> str:
    return f"; Max-Age={max(0, int((expires_at - utc_now()).total_seconds()))}"
