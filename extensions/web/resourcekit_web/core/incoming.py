"""A request as the core sees it, and the credential that it carries. Edit this module to change where a token is looked for."""

from __future__ import annotations

import re
from collections.abc import AsyncIterable, Iterable, Mapping
from typing import Any, Final, Literal
from urllib.parse import parse_qsl

import attrs

from resourcekit_web.core.answers import Refusal, invalid_request

__all__ = [
    "LONGEST_BODY",
    "Credential",
    "Incoming",
    "bearer_of",
    "cookie_of",
    "form_of",
    "has_two_authorizations",
    "is_form",
    "read_body",
]

_QUOTED: Final = re.compile(r'"(?:[^"\\]|\\.)*"')
_PARAMETER: Final = re.compile(r"\s*(?!bearer\s*=)[!#$%&'*+.^_`|~0-9a-z-]+\s*=(?!=*\s*$)", re.IGNORECASE)
"""A parameter of a scheme such as Digest; none is called Bearer. Anything else behind a comma is a second Authorization header, which WSGI servers join so."""

_SPACES: Final = re.compile(r"[ \t]+")  # str.split would also split at the byte A0, which is no space of HTTP
_FORM: Final = "application/x-www-form-urlencoded"
LONGEST_BODY: Final = 64 * 1024
"""Bytes of a form that are read at most: two tokens of 16 KiB, encoded. An adapter reads one byte more, and the form is refused."""


@attrs.frozen(kw_only=True)
class Incoming:
    """A request, without its body.

    method: in capitals. scheme: ``http``, ``https``, ``ws`` or ``wss``, as the server saw it. root_path: the path under which
    the server mounts the app. headers: pairs of a name in small letters and a value, in the order of the request; several
    headers of one name are several pairs, or are joined as WSGI servers do it.
    """

    method: str
    scheme: str = "https"
    root_path: str = ""
    headers: tuple[tuple[str, str], ...] = attrs.field(default=(), repr=False)
    is_websocket: bool = False

    @classmethod
    def of_asgi(cls, scope: Mapping[str, Any]) -> Incoming:
        """Return what the core sees of an ASGI scope. Some servers keep the subprotocols of a handshake out of the headers."""
        headers = [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in scope["headers"]]
        if (offered := scope.get("subprotocols")) and not any(name == "sec-websocket-protocol" for name, _ in headers):
            headers.append(("sec-websocket-protocol", ", ".join(offered)))
        return cls(
            method=scope.get("method", "GET"),
            scheme=scope.get("scheme", "http"),
            root_path=scope.get("root_path", ""),
            headers=tuple(headers),
            is_websocket=scope["type"] == "websocket",
        )

    @classmethod
    def of_wsgi(cls, environ: Mapping[str, Any], *, scheme: str | None = None) -> Incoming:
        """Return what the core sees of a WSGI environment. scheme: as the framework sees it."""
        headers = [(key[5:].replace("_", "-").lower(), value) for key, value in environ.items() if key.startswith("HTTP_")]
        return cls(
            method=environ["REQUEST_METHOD"],
            scheme=scheme or environ.get("wsgi.url_scheme", "http"),
            root_path=environ.get("SCRIPT_NAME", ""),
            headers=(*headers, ("content-type", environ.get("CONTENT_TYPE", ""))),
        )

    def header(self, name: str) -> str | None:
        """Return the header of this name, or None. Several are joined by a comma, as WSGI servers do it, and so fit nothing."""
        found = self.all(name)
        return ",".join(found) if found else None

    def all(self, name: str) -> list[str]:
        """Return all headers of this name."""
        return [value for key, value in self.headers if key == name]

    @property
    def is_unsafe(self) -> bool:
        """Whether the method may change something (RFC 9110, 9.2.1)."""
        return self.method not in {"GET", "HEAD", "OPTIONS", "TRACE"}

    @property
    def is_preflight(self) -> bool:
        """Whether a browser asks whether a cross-origin request is allowed (Fetch, 3.3.2)."""
        asked = self.header("access-control-request-method")
        return self.method == "OPTIONS" and self.header("origin") is not None and asked is not None


@attrs.frozen
class Credential:
    """The token of a request, and the way it came.

    token: the text, not checked. via: ``"bearer"``, ``"cookie"`` or ``"ticket"``.
    """

    token: str = attrs.field(repr=False)
    via: Literal["bearer", "cookie", "ticket"]


def bearer_of(incoming: Incoming) -> Credential | Refusal | None:
    """Return the token of the Authorization header (RFC 6750, 2.1), or None if the header is absent or has another scheme.

    More than one Authorization header, and the scheme without exactly one word behind it, are a malformed request.
    """
    given = incoming.all("authorization")
    if has_two_authorizations(incoming):
        return invalid_request("The request has more than one Authorization header; send one.")
    words = _SPACES.split(given[0].strip(" \t")) if given else [""]
    if words[0].lower() != "bearer":
        return None
    if len(words) != 2:
        return invalid_request("The Authorization header must be the word Bearer, a space and one token.")
    return Credential(words[1], "bearer")


def has_two_authorizations(incoming: Incoming) -> bool:
    """Return whether a request has more than one Authorization header, also if its server has joined them. A token has no comma."""
    given = incoming.all("authorization")
    if len(given) != 1:
        return bool(given)
    first, *more = _QUOTED.sub('""', given[0]).split(",")
    scheme, *content = _SPACES.split(first.strip(" \t"), 1)
    has_parameters = bool(content) and scheme.lower() != "bearer"
    return any(not has_parameters or not _PARAMETER.match(part) for part in more)


def cookie_of(incoming: Incoming, *names: str) -> dict[str, str] | Refusal:
    """Return the cookies of these names. A request with two cookies of one of the names is malformed.

    Two may come from a neighbour on another subdomain, and which of them is first does not show whose it is. Only a space and a tab
    are no part of a name: browsers let a subdomain set a cookie whose name begins with the byte A0 before ``__Host-``.
    """
    found: dict[str, str] = {}
    for line in incoming.all("cookie"):
        for part in line.split(";"):
            name, _, value = part.strip(" \t").partition("=")
            hidden = any(f",{known}=" in part.replace(" ", "") for known in names)
            if hidden or (name in names and name in found):
                return invalid_request("The request has two cookies of one name; delete the cookies of this site.")
            if name in names:
                found[name] = value
    return found


def is_form(incoming: Incoming) -> bool:
    """Return whether the body of a request is a form."""
    return (incoming.header("content-type") or "").partition(";")[0].strip().lower() == _FORM


async def read_body(chunks: AsyncIterable[bytes]) -> bytes:
    """Return a body, or its beginning if it is longer than a form may be. So a request without a credential cannot fill the memory."""
    body = b""
    async for chunk in chunks:
        body += chunk
        if len(body) > LONGEST_BODY:
            break
    return body


def form_of(incoming: Incoming, body: bytes) -> dict[str, str] | Refusal:
    """Return the fields of a form; an empty one for a body of another type. A field that is given twice is malformed."""
    if not is_form(incoming):
        return {}
    if len(body) > LONGEST_BODY:
        return invalid_request("The form is too long.")
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, strict_parsing=bool(body), errors="strict")
    except (UnicodeDecodeError, ValueError):
        return invalid_request("The form cannot be read.")
    if _has_twins(name for name, _ in pairs):
        return invalid_request("The form has a field twice.")
    return dict(pairs)


def _has_twins(names: Iterable[str]) -> bool:
    listed = list(names)
    return len(listed) != len(set(listed))
