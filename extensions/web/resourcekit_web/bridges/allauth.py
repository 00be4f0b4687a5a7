"""The bridge to django-allauth headless: its access and refresh tokens are those of a token resource.

::

    HEADLESS_TOKEN_STRATEGY = "resourcekit_web.bridges.allauth.TokenStrategy"
    RESOURCEKIT = {"TOKEN": "accounts.Token"}

The session of Django stays what allauth works with. A log-out of it, and its end for another reason, end the tokens. A store that does
not answer is a 503, by allauth's own middleware.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

from allauth.core.exceptions import ImmediateHttpResponse
from allauth.headless.tokens.strategies.sessions import SessionTokenStrategy
from cryptography.fernet import Fernet
from cryptography.fernet import InvalidToken as NotDecrypted
from django.conf import settings
from django.contrib.auth import get_user
from django.contrib.auth.signals import user_logged_out
from django.http import HttpRequest

from resourcekit import utc_now
from resourcekit.errors import DataLayerError
from resourcekit_tokens import Claims, TokenPair
from resourcekit_tokens.errors import InvalidToken
from resourcekit_web.core import Incoming, Refusal, refusal_of
from resourcekit_web.core.incoming import bearer_of
from resourcekit_web.django.auth import response_of, web

__all__ = ["TokenStrategy"]

_FAMILIES = "resourcekit_families"
_SESSION_CLAIM = "dj_session"


@contextmanager
def _store() -> Generator[None]:
    """Turn an error of the store into the 503 that the middleware of allauth sends."""
    try:
        yield
    except DataLayerError as error:
        raise ImmediateHttpResponse(response_of(refusal_of(error).answer())) from error


class TokenStrategy(SessionTokenStrategy):
    """Issues a pair of tokens at a sign-in, rotates it at a refresh, and ends it with the session of Django.

    ``get_claims`` may be overridden for further claims.
    """

    def get_claims(self, user: Any) -> dict[str, Any]:
        """Return further claims of the access token."""
        return {}

    def get_session_token(self, request: HttpRequest) -> str | None:
        """Return the key of the session of a request: its own header, else that of a valid access token."""
        given = super().get_session_token(request)
        if given:
            return given
        credential = bearer_of(Incoming.of_wsgi(request.META))
        if credential is None or isinstance(credential, Refusal):
            return None
        try:
            with _store():
                claims: Claims = web().settings.resource.verify(credential.token)
        except InvalidToken:
            return None
        return _session_key(claims)

    def create_access_token_payload(self, request: HttpRequest) -> dict[str, Any] | None:
        """Return the tokens of a new sign-in."""
        user, key = request.user, self.create_session_token(request)
        if not user.is_authenticated:
            return None
        claims = {**self.get_claims(user), _SESSION_CLAIM: _cipher().encrypt(key.encode()).decode()}
        with _store():
            pair: TokenPair = web().settings.resource.issue_pair(str(user.pk), claims=claims)
        # Not one only: a second sign-in of the session gets tokens of its own.
        request.session[_FAMILIES] = [*request.session.get(_FAMILIES, []), pair.refresh.claims.family]
        request.session.save()
        made: dict[str, Any] = {"access_token": pair.access.token, "refresh_token": pair.refresh.token}
        if (expires_at := pair.access.claims.expires_at) is not None:
            made["expires_in"] = max(0, int((expires_at - utc_now()).total_seconds()))
        return made

    def create_access_token(self, request: HttpRequest) -> str | None:
        """Return the access token of a new sign-in."""
        made = self.create_access_token_payload(request)
        return None if made is None else str(made["access_token"])

    def refresh_token(self, refresh_token: str) -> tuple[str, str] | None:
        """Return a new pair for a refresh token; None for one that is not valid, or whose session has ended.

        A session has also ended for a user who is not active any more, or whose password has changed.
        """
        resource = web().settings.resource
        try:
            with _store():
                pair: TokenPair = resource.rotate(refresh_token, claims=self._claims_after)
        except InvalidToken:
            return None
        user = self._user_of(pair.access.claims)
        if user is None or str(user.pk) != pair.access.claims.subject:
            with _store():
                resource.revoke(pair.refresh.token, reason="the session has ended")
            return None
        return pair.access.token, pair.refresh.token

    def _claims_after(self, old: Mapping[str, Any]) -> dict[str, Any]:
        """Return the claims of the next access token. Those of ``get_claims`` are asked for again, as the user may have changed."""
        user = self._user_of(old)
        return dict(old) if user is None else {**self.get_claims(user), _SESSION_CLAIM: old[_SESSION_CLAIM]}

    def _user_of(self, claims: Mapping[str, Any]) -> Any:
        """Return the user of the session that a token names; None if Django would not sign the user in by it."""
        key = _session_key(claims)
        session = None if key is None else self.lookup_session(key)
        if session is None:
            return None
        request = HttpRequest()
        request.session = session
        user = get_user(request)
        return user if user.is_authenticated else None


def _end_with_session(sender: Any, request: Any = None, **_: Any) -> None:
    """End the tokens of a session that is signed out, by allauth or by Django itself."""
    for family in getattr(request, "session", {}).get(_FAMILIES, []):
        with _store():
            web().settings.resource.end_session(family, reason="signed out")


user_logged_out.connect(_end_with_session, dispatch_uid="resourcekit_web.bridges.allauth")


def _cipher() -> Fernet:
    """Return the cipher of the session keys: an access token that leaks must not be a session cookie as well."""
    secret = hashlib.sha256(b"resourcekit allauth:" + settings.SECRET_KEY.encode()).digest()
    return Fernet(base64.urlsafe_b64encode(secret))


def _session_key(claims: Mapping[str, Any]) -> str | None:
    text = claims.get(_SESSION_CLAIM)
    try:
        return _cipher().decrypt(text).decode() if isinstance(text, str) else None
    except NotDecrypted:
        return None
