"""Revocation (RFC 7009) and introspection (RFC 7662) for other programs, and the public keys (RFC 7517).

Edit this module to change what a client learns of a token.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
from collections.abc import Iterable, Sequence
from itertools import starmap
from urllib.parse import unquote_plus

import attrs

from resourcekit_tokens import Claims
from resourcekit_tokens.errors import InvalidToken, WrongPurpose
from resourcekit_tokens.signature import keys_ready, trusted_claims
from resourcekit_web.core.answers import Answer, Refusal
from resourcekit_web.core.gate import Gate
from resourcekit_web.core.incoming import Incoming, form_of, has_two_authorizations
from resourcekit_web.core.routes import Asked, Route
from resourcekit_web.core.settings import Client, Settings

__all__ = ["keys_route", "oauth_routes"]

_NO_STORE = (("Cache-Control", "no-store"),)
_SHOWN = ("iss", "aud", "exp", "iat", "nbf", "scope", "auth_time")
"""Claims that a client sees, besides the subject. The jti is left out: with it a token can be revoked."""


def oauth_routes(settings: Settings) -> Iterable[Route]:
    """Yield the routes for other programs. Without clients there are none."""
    if settings.clients:
        its, prefix = _Programs(settings), settings.prefix
        yield Route(method="POST", path=f"{prefix}/token/revoke", name="revoke", run=its.revoke, headers=_NO_STORE)
        yield Route(method="POST", path=f"{prefix}/token/introspect", name="introspect", run=its.introspect, headers=_NO_STORE)


def keys_route(every: Sequence[Settings]) -> Route:
    """Return the route of the public keys of all ``TokenAuth``s of an app."""

    async def jwks(asked: Asked) -> Answer:
        """Return the public keys. Secrets are never among them."""
        keys = {json.dumps(key, sort_keys=True): key for settings in every for key in settings.jwt.jwks()["keys"]}
        return Answer.of_json({"keys": list(keys.values())}, kind="application/jwk-set+json")

    cached = (("Cache-Control", "public, max-age=300"),)
    return Route(method="GET", path="/.well-known/jwks.json", name="jwks", run=jwks, headers=cached)


@attrs.frozen
class _Programs:
    """The functions of the routes for other programs."""

    settings: Settings

    async def revoke(self, asked: Asked) -> Answer | Refusal:
        """Revoke a token with its family. An unknown token, and one for another audience, change nothing: 200 as well."""
        found = self._asked_for(asked)
        if not isinstance(found, tuple):
            return found
        client, token = found
        await keys_ready(self.settings.token_options, token)
        try:
            if _is_for(client, trusted_claims(self.settings.token_options, token)):
                await self.settings.resource.revoke.aio(token, reason="revoked by client")
        except InvalidToken:
            pass
        return Answer(status=200)

    async def introspect(self, asked: Asked) -> Answer | Refusal:
        """Return the facts of a valid token, and exactly ``{"active": false}`` for any other one."""
        found = self._asked_for(asked)
        if not isinstance(found, tuple):
            return found
        client, token = found
        try:
            claims = await self._valid(token)
        except InvalidToken:
            return Answer.of_json({"active": False})
        if not _is_for(client, claims) or not await Gate(self.settings).accepts(claims):
            return Answer.of_json({"active": False})
        shown = {name: claims[name] for name in _SHOWN if name in claims}
        kind = {"token_type": "Bearer"} if claims.purpose == "user" else {}
        return Answer.of_json({"active": True, **({"sub": claims.subject} if claims.subject else {}), **shown, **kind})

    async def _valid(self, token: str) -> Claims:
        resource = self.settings.resource
        try:
            claims: Claims = await resource.verify.aio(token)
        except WrongPurpose:
            claims = await resource.verify.aio(token, purpose="refresh")
        return claims

    def _asked_for(self, asked: Asked) -> tuple[Client, str] | Answer | Refusal:
        """Return the client and the token of a request, or the answer to one without them."""
        form = form_of(asked.incoming, asked.body)
        if isinstance(form, Refusal):
            return _problem(400, "invalid_request")
        given = _credentials(asked.incoming, form)
        if given == "two":
            return _problem(400, "invalid_request")
        client = None if given is None or isinstance(given, str) else next(filter(None, starmap(self._client, given)), None)
        if client is None:
            return _problem(401, "invalid_client").with_headers(("WWW-Authenticate", 'Basic realm="token", charset="UTF-8"'))
        if not form.get("token"):
            return _problem(400, "invalid_request")
        return client, form["token"]

    def _client(self, name: str, secret: str) -> Client | None:
        client = self.settings.client(name)
        # Compared also for an unknown name, so that the time does not show which names exist.
        expected = client or Client("-" * 32)
        fits = hmac.compare_digest(expected.read_secret().encode(), secret.encode())
        return attrs.evolve(client, audience=client.audience or name) if client is not None and fits else None


def _credentials(incoming: Incoming, form: dict[str, str]) -> list[tuple[str, str]] | str | None:
    """Return name and secret, by ``client_secret_basic`` or ``client_secret_post``; ``"two"`` for both (RFC 6749, 2.3).

    RFC 6749 demands that both are encoded as a form before they are joined. Most clients do not, so both readings are returned.
    """
    if has_two_authorizations(incoming):
        return "two"
    posted = (form["client_id"], form["client_secret"]) if {"client_id", "client_secret"} <= form.keys() else None
    scheme, _, text = (incoming.header("authorization") or "").strip().partition(" ")
    if scheme.lower() != "basic":
        return [posted] if posted is not None else None
    if posted is not None:
        return "two"
    try:
        name, separator, secret = _text(base64.b64decode(text.strip(), validate=True)).partition(":")
    except (binascii.Error, ValueError):
        return None
    encoded, plain = (unquote_plus(name), unquote_plus(secret)), (name, secret)
    return list(dict.fromkeys((encoded, plain))) if separator else None


def _text(given: bytes) -> str:
    """Return the text of a Basic credential: of UTF-8, as the challenge demands, else of Latin-1, which requests and Authlib send."""
    try:
        return given.decode()
    except UnicodeDecodeError:
        return given.decode("latin-1")


def _is_for(client: Client, claims: Claims) -> bool:
    aud = claims.get("aud")
    return aud is None or client.audience in (aud if isinstance(aud, list) else [aud])


def _problem(status: int, error: str) -> Answer:
    return Answer.of_json({"error": error}, status=status)
