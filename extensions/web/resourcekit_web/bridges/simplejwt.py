"""The bridge to Simple JWT of Django REST framework: its views and serializers stay, a token resource keeps the blacklist.

::

    SIMPLE_JWT = {
        "AUTH_TOKEN_CLASSES": ["resourcekit_web.bridges.simplejwt.AccessToken"],
        "TOKEN_OBTAIN_SERIALIZER": "resourcekit_web.bridges.simplejwt.TokenObtainPairSerializer",
        "TOKEN_REFRESH_SERIALIZER": "resourcekit_web.bridges.simplejwt.TokenRefreshSerializer",
        "TOKEN_VERIFY_SERIALIZER": "resourcekit_web.bridges.simplejwt.TokenVerifySerializer",
        "TOKEN_BLACKLIST_SERIALIZER": "resourcekit_web.bridges.simplejwt.TokenBlacklistSerializer",
        "ROTATE_REFRESH_TOKENS": True,
        "BLACKLIST_AFTER_ROTATION": True,
    }
    RESOURCEKIT = {"TOKEN": "accounts.Token"}

The app ``rest_framework_simplejwt.token_blacklist`` is not needed any more.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from django.utils.translation import gettext_lazy as _
from rest_framework.exceptions import APIException
from rest_framework_simplejwt import serializers, tokens
from rest_framework_simplejwt.exceptions import TokenError
from rest_framework_simplejwt.settings import api_settings

from resourcekit.errors import DataLayerError
from resourcekit_web.bridges.claims import Bridge
from resourcekit_web.core.answers import RETRY_AFTER
from resourcekit_web.django.auth import web

__all__ = [
    "AccessToken",
    "RefreshToken",
    "SlidingToken",
    "StoreUnavailable",
    "TokenBlacklistSerializer",
    "TokenObtainPairSerializer",
    "TokenObtainSlidingSerializer",
    "TokenRefreshSerializer",
    "TokenRefreshSlidingSerializer",
    "TokenVerifySerializer",
    "UntypedToken",
    "bridge",
]


def bridge() -> Bridge:
    """Return the bridge to the token resource of ``RESOURCEKIT["TOKEN"]``."""
    return Bridge(resource=web().settings.resource, subject_claim=_name("USER_ID_CLAIM"), jti_claim=_name("JTI_CLAIM"))


def _name(setting: str) -> str:
    """Return a setting of Simple JWT that is the name of a claim."""
    return str(getattr(api_settings, setting))


class StoreUnavailable(APIException):
    """The store did not answer: 503 with Retry-After, which REST framework makes of ``wait``."""

    status_code = 503
    default_detail = _("The service cannot check the token now. Try again.")
    default_code = "unavailable"
    wait = RETRY_AFTER


@contextmanager
def _store() -> Generator[None]:
    """Turn an error of the store into one that the views of REST framework answer."""
    try:
        yield
    except DataLayerError as error:
        raise StoreUnavailable from error


class _Checked(tokens.Token):
    """A token of Simple JWT that asks the token resource whether it is revoked."""

    @property
    def _claims(self) -> dict[str, Any]:
        claims: Any = self.payload  # the names of its claims are settings, whose type the checkers do not know
        return dict(claims)

    def verify(self) -> None:
        """Raise TokenError for a token that is not valid, or that is revoked."""
        tokens.Token.verify(self)
        self.check_blacklist()

    def check_blacklist(self) -> None:
        """Raise TokenError for a revoked token, and if the store fails."""
        if bridge().is_revoked(self._claims):
            raise TokenError(_("Token is blacklisted"))

    def blacklist(self) -> tuple[Any, bool]:
        """Revoke the token; return its record, and whether it was not revoked before, as the blacklist of Simple JWT does."""
        its = bridge()
        is_new = not its.is_revoked({its.jti_claim: self._claims[its.jti_claim]})
        # Only this token: a rotation revokes the old one, and the new one is of the same sign-in.
        single = {name: value for name, value in self._claims.items() if name != its.family_claim}
        return its.revoke(single, reason="blacklisted"), is_new

    def end_session(self) -> None:
        """Revoke all tokens of the sign-in of this one."""
        bridge().revoke(self._claims, reason="signed out")

    def outstand(self) -> None:
        """Do nothing: issued tokens need no record."""

    @classmethod
    def for_user(cls, user: Any) -> Any:
        """Return a new token of a user. ``log_out_everywhere`` ends it."""
        made = tokens.Token.for_user.__func__(cls, user)  # type: ignore[attr-defined]  # without the rows of the mixin
        its = bridge()
        subject = made[its.subject_claim]
        # A user whose USER_ID_FIELD is empty has no subject that a log-out everywhere could name.
        for name, value in {**(its.issued(subject) if subject != "" else {}), **its.new_family()}.items():
            made[name] = value
        return made


class AccessToken(_Checked, tokens.AccessToken):
    """An access token that can be revoked."""


class RefreshToken(_Checked, tokens.RefreshToken):  # type: ignore[misc]  # its blacklist returns a row of its own
    """A refresh token that can be revoked."""

    access_token_class = AccessToken


class SlidingToken(_Checked, tokens.SlidingToken):  # type: ignore[misc]  # its blacklist returns a row of its own
    """A sliding token that can be revoked."""


class UntypedToken(_Checked, tokens.UntypedToken):
    """A token of any type, for verification."""


class TokenObtainPairSerializer(serializers.TokenObtainPairSerializer):
    """Issues tokens that can be revoked."""

    token_class = RefreshToken

    @classmethod
    def get_token(cls, user: Any) -> Any:
        """Return a new token of a user."""
        with _store():
            return super().get_token(user)


class TokenObtainSlidingSerializer(serializers.TokenObtainSlidingSerializer):
    """Issues tokens that can be revoked."""

    token_class = SlidingToken

    @classmethod
    def get_token(cls, user: Any) -> Any:
        """Return a new token of a user."""
        with _store():
            return super().get_token(user)


class TokenRefreshSerializer(serializers.TokenRefreshSerializer):
    """Refuses revoked refresh tokens, and with ``BLACKLIST_AFTER_ROTATION`` those that were used."""

    token_class = RefreshToken

    def validate(self, attrs: dict[str, Any]) -> dict[str, str]:
        """Return the next tokens. Raise TokenError for a token that is not valid, or that is revoked."""
        with _store():
            return super().validate(attrs)


class TokenRefreshSlidingSerializer(serializers.TokenRefreshSlidingSerializer):
    """Refuses revoked sliding tokens."""

    token_class = SlidingToken


class TokenBlacklistSerializer(serializers.TokenBlacklistSerializer):
    """Ends the sign-in of a refresh token: its access tokens too."""

    token_class = RefreshToken

    def validate(self, attrs: dict[str, Any]) -> dict[Any, Any]:
        """Revoke the token with its family."""
        with _store():
            self.token_class(attrs["refresh"]).end_session()
        return {}


class TokenVerifySerializer(serializers.TokenVerifySerializer):
    """Refuses revoked tokens of any type."""

    def validate(self, attrs: dict[str, Any]) -> dict[Any, Any]:
        """Raise TokenError for a token that is not valid, or that is revoked."""
        UntypedToken(attrs["token"])
        return {}
