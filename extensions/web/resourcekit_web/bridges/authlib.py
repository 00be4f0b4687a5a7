"""The bridge to Authlib's servers of OAuth 2.0: a token resource issues, checks, introspects and revokes the tokens.

::

    server.register_token_generator("default", TokenGenerator(Token))
    server.register_grant(refresh_grant(Token, user_of=User.get))
    server.register_endpoint(RevocationEndpoint(Token))
    server.register_endpoint(IntrospectionEndpoint(Token))
    require_oauth.register_token_validator(TokenValidator(Token))

Authlib's own grants and clients stay as they are; the table of tokens is not needed any more. A store that does not answer is a 503 with
Retry-After, as RFC 7009, 2.2.1 asks for.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import attrs
from authlib.oauth2.rfc6749 import InvalidGrantError, OAuth2Error, TokenMixin
from authlib.oauth2.rfc6749.grants import RefreshTokenGrant
from authlib.oauth2.rfc6750 import BearerTokenValidator
from authlib.oauth2.rfc7009 import RevocationEndpoint as _RevocationEndpoint
from authlib.oauth2.rfc7662 import IntrospectionEndpoint as _IntrospectionEndpoint

from resourcekit import utc_now
from resourcekit.errors import DataLayerError
from resourcekit_tokens import Claims, TokenResource
from resourcekit_tokens.errors import InvalidToken, TokenConsumed, WrongPurpose
from resourcekit_tokens.signature import trusted_claims

__all__ = [
    "IntrospectionEndpoint",
    "OAuthToken",
    "RevocationEndpoint",
    "StoreUnavailable",
    "TokenGenerator",
    "TokenValidator",
    "refresh_grant",
]

_CLIENT = "client_id"


class StoreUnavailable(OAuth2Error):  # type: ignore[misc]  # Authlib has no types
    """The store did not answer: 503 with Retry-After. Authlib's servers and protectors turn it into the response."""

    error = "temporarily_unavailable"
    description = "The service cannot check the token now. Try again."
    status_code = 503

    def get_headers(self) -> list[tuple[str, str]]:
        """Return the headers of the response."""
        headers: list[tuple[str, str]] = super().get_headers()
        return [*headers, ("Retry-After", "5")]


@contextmanager
def _store() -> Generator[None]:
    """Turn an error of the store into one that Authlib answers."""
    try:
        yield
    except DataLayerError as error:
        raise StoreUnavailable from error


@attrs.frozen
class OAuthToken(TokenMixin):  # type: ignore[misc]  # Authlib has no types
    """A valid token as Authlib sees it.

    token: its text. claims: verified.
    """

    token: str = attrs.field(repr=False)
    claims: Claims = attrs.field(repr=False)

    @property
    def facts(self) -> Mapping[str, Any]:
        """The claims; for a refresh token with those of its access tokens, which it carries for the next rotation."""
        carried = self.claims.get("rk_claims")
        return {**carried, **self.claims} if isinstance(carried, Mapping) else self.claims

    def check_client(self, client: Any) -> bool:
        """Return whether the token was issued to a client."""
        name: object = client.get_client_id()
        return self.facts.get(_CLIENT) == name

    def get_scope(self) -> str:
        """Return the scopes of the token, as one text."""
        scope = self.facts.get("scope")
        return scope if isinstance(scope, str) else ""

    def get_expires_in(self) -> int:
        """Return the seconds until the token expires."""
        ends = self.claims.expires_at
        return 0 if ends is None else max(0, int((ends - utc_now()).total_seconds()))

    def is_expired(self) -> bool:
        """Return whether the token has expired. It had not when it was verified."""
        return self.claims.expires_at is None or self.claims.expires_at <= utc_now()

    def is_revoked(self) -> bool:
        """Return False: a revoked token is not found."""
        return False

    def get_user(self) -> str | None:
        """Return the subject of the token."""
        return self.claims.subject

    def get_client(self) -> str | None:  # pyright: ignore[reportIncompatibleMethodOverride]  # Authlib has no types
        """Return the name of the client to which the token was issued."""
        client = self.facts.get(_CLIENT)
        return client if isinstance(client, str) else None


def find_token(resource: Any, text: str) -> OAuthToken | None:
    """Return a valid access or refresh token, else None. Raises StoreUnavailable if the store fails."""
    with _store():
        try:
            try:
                return OAuthToken(text, resource.verify(text))
            except WrongPurpose:
                return OAuthToken(text, resource.verify(text, purpose="refresh"))
        except InvalidToken:
            return None


@attrs.frozen
class TokenGenerator:
    """Makes the tokens of a grant: ``register_token_generator("default", TokenGenerator(Token))``.

    resource: a token resource with keys. lifetime: of access tokens. subject_of: a function of Authlib's user that returns the
    subject; its ``get_user_id`` unless given. Where no user takes part, the client is the subject (RFC 9068, 2.2).
    """

    resource: Any
    lifetime: timedelta = timedelta(minutes=15)
    subject_of: Any = None

    def __call__(
        self,
        grant_type: str,
        client: Any,
        user: Any = None,
        scope: str | None = None,
        expires_in: int | None = None,
        include_refresh_token: bool = True,  # noqa: FBT002  # the signature is Authlib's
        **_: Any,
    ) -> dict[str, Any]:
        """Return the body of a token response (RFC 6749, 5.1)."""
        name = client.get_client_id()
        subject = name if user is None else str((self.subject_of or _user_id)(user))
        life = self.lifetime if expires_in is None else timedelta(seconds=expires_in)
        allowed = client.get_allowed_scope(scope) if scope else scope
        claims = {_CLIENT: name, **({"scope": allowed} if allowed else {})}
        made: dict[str, Any] = {"token_type": "Bearer", "expires_in": int(life.total_seconds())}
        with _store():
            if include_refresh_token:
                pair = self.resource.issue_pair(subject, access_lifetime=life, claims=claims)
                made |= {"access_token": pair.access.token, "refresh_token": pair.refresh.token}
            else:
                made["access_token"] = self.resource.issue(subject, lifetime=life, claims=claims).token
        return {**made, "scope": allowed} if allowed else made


def _user_id(user: Any) -> object:
    return user.get_user_id()


def refresh_grant(resource: Any, *, user_of: Callable[[str], Any]) -> type[RefreshTokenGrant]:
    """Return the grant ``refresh_token``: each refresh token is used once, and a second use ends its sign-in.

    Args:
        resource: a token resource with keys.
        user_of: a function of a subject that returns the user, or None for one who may not sign in.
    """

    class RotatingGrant(RefreshTokenGrant):  # type: ignore[misc]  # Authlib has no types
        """Rotates refresh tokens. A scope that is narrower than the one before stays so."""

        INCLUDE_NEW_REFRESH_TOKEN = True

        def authenticate_refresh_token(self, refresh_token: str) -> OAuthToken | None:  # pyright: ignore[reportIncompatibleMethodOverride]  # Authlib has no types
            """Return the token. A used one is returned as well, so that ``rotate`` decides about it."""
            with _store():
                try:
                    return OAuthToken(refresh_token, resource.verify(refresh_token, purpose="refresh"))
                except TokenConsumed:
                    return OAuthToken(refresh_token, trusted_claims(TokenResource.of(resource), refresh_token))
                except InvalidToken:
                    return None

        def authenticate_user(self, refresh_token: OAuthToken) -> Any:
            """Return the user of a token."""
            subject = refresh_token.get_user()
            return None if subject is None else user_of(subject)

        def issue_token(self, user: Any, refresh_token: OAuthToken) -> dict[str, Any]:  # pyright: ignore[reportIncompatibleMethodOverride]  # Authlib has no types
            """Return the next tokens of the sign-in."""
            asked: Any = self.request.payload
            scope = asked.scope or refresh_token.get_scope()
            claims = {_CLIENT: refresh_token.get_client(), **({"scope": scope} if scope else {})}
            try:
                with _store():
                    pair = resource.rotate(refresh_token.token, claims=claims)
            except InvalidToken:
                raise InvalidGrantError from None
            made = {"token_type": "Bearer", "access_token": pair.access.token, "refresh_token": pair.refresh.token}
            made["expires_in"] = OAuthToken(pair.access.token, pair.access.claims).get_expires_in()
            return {**made, "scope": scope} if scope else made

        def revoke_old_credential(self, refresh_token: OAuthToken) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]  # Authlib has no types
            """Do nothing: the rotation has used the token up."""

    return RotatingGrant


class TokenValidator(BearerTokenValidator):  # type: ignore[misc]  # Authlib has no types
    """Lets ``ResourceProtector`` accept the access tokens of a token resource that are not revoked."""

    def __init__(self, resource: Any, realm: str | None = None, **extra_attributes: Any) -> None:
        super().__init__(realm, **extra_attributes)
        self.resource = resource

    def authenticate_token(self, token_string: str) -> OAuthToken | None:
        """Return the token; None for one that is not valid. Raises StoreUnavailable if the store fails."""
        with _store():
            try:
                return OAuthToken(token_string, self.resource.verify(token_string))
            except InvalidToken:
                return None


class RevocationEndpoint(_RevocationEndpoint):  # type: ignore[misc]  # Authlib has no types
    """The endpoint of RFC 7009. A revoked token ends its sign-in."""

    def __init__(self, resource: Any, server: Any = None) -> None:
        super().__init__(server)
        self.resource = resource

    def query_token(self, token_string: str, token_type_hint: str | None) -> OAuthToken | None:
        """Return a valid token, whatever the hint says."""
        return find_token(self.resource, token_string)

    def revoke_token(self, token: OAuthToken, request: Any) -> None:
        """Revoke a token with its family. Returns when the record is durable."""
        with _store():
            self.resource.revoke(token.token, reason="revoked by client")


class IntrospectionEndpoint(_IntrospectionEndpoint):  # type: ignore[misc]  # Authlib has no types
    """The endpoint of RFC 7662. A client sees the tokens that were issued to it; override ``check_permission`` for others."""

    def __init__(self, resource: Any, server: Any = None) -> None:
        super().__init__(server)
        self.resource = resource

    def query_token(self, token_string: str, token_type_hint: str | None) -> OAuthToken | None:
        """Return a valid token, whatever the hint says."""
        return find_token(self.resource, token_string)

    def check_permission(self, token: OAuthToken, client: Any, request: Any) -> bool:
        """Return whether a client may see a token."""
        return token.check_client(client)

    def introspect_token(self, token: OAuthToken) -> Mapping[str, Any]:
        """Return what a client sees of a token."""
        names = ("iss", "aud", "exp", "iat", "sub", "scope", _CLIENT, "auth_time")
        shown = {name: token.facts[name] for name in names if name in token.facts}
        kind = {"token_type": "Bearer"} if token.claims.purpose == "user" else {}
        return {"active": True, **kind, **shown}
