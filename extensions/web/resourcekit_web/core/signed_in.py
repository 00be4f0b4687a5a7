"""The user of a request, and the conditions that a view may set. Edit this module to change what a view sees."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import attrs

from resourcekit import utc_now
from resourcekit.errors import FieldFinding, InvalidArgument
from resourcekit_tokens import Claims
from resourcekit_web.core.answers import Refusal, insufficient_scope, not_fresh

__all__ = ["Demand", "SignedIn", "Via", "signed_in_by"]

Via = Literal["bearer", "cookie", "ticket"]


@attrs.frozen(kw_only=True)
class SignedIn:
    """Who makes the request.

    subject: of the token; of one of several providers (``issuers``), issuer and subject as one text of JSON. user: the result of ``user=``; None without it. claims: of the token. scopes: of the claim ``scope``.
    family: the sign-in. auth_time: when the password was entered, if the token has it. via: the way the token came.
    """

    subject: str
    user: Any = attrs.field(default=None, repr=False)
    claims: Claims = attrs.field(repr=False)
    scopes: frozenset[str] = frozenset()
    family: str | None = attrs.field(default=None, repr=False)
    auth_time: datetime | None = None
    via: Via = "bearer"

    @property
    def is_authenticated(self) -> bool:
        """True, for frameworks whose permissions ask the user for it."""
        return True


@attrs.frozen
class Demand:
    """The conditions of a view.

    scopes: all of them must be in the token. fresh: the longest time since the password was entered.
    """

    scopes: tuple[str, ...] = ()
    fresh: timedelta | None = None

    @classmethod
    def of(cls, scopes: object, fresh: object, *, by: str) -> Demand:
        """Return the conditions that a developer has written: one scope or several, and an age. by: where, for the error.

        Raise InvalidArgument for anything else.
        """
        demanded = tuple(scopes) if isinstance(scopes, Iterable) and not isinstance(scopes, str) else (scopes,)
        if not all(isinstance(scope, str) and scope for scope in demanded):
            raise InvalidArgument(FieldFinding("scopes", 'takes texts, as ["a:write", "b:read"]'), resource=by)
        if fresh is not None and not isinstance(fresh, timedelta):
            raise InvalidArgument(FieldFinding("fresh", "takes a timedelta: timedelta(minutes=5)"), resource=by)
        return cls(tuple(map(str, demanded)), fresh)

    def refusal(self, who: SignedIn) -> Refusal | None:
        """Return the refusal of a user who does not fulfil the conditions, or None."""
        if not who.scopes.issuperset(self.scopes):
            return insufficient_scope(*self.scopes)
        if self.fresh is not None and (who.auth_time is None or utc_now() - who.auth_time > self.fresh):
            return not_fresh(int(self.fresh.total_seconds()))
        return None


def signed_in_by(claims: Claims, subject: str, user: object, via: Via, *, clock_skew: timedelta) -> SignedIn:
    """Return the user of verified claims. A ticket carries the facts of the token with which it was bought.

    clock_skew: an ``auth_time`` further in the future counts as unknown, because it would stay fresh.
    """
    facts: Mapping[str, object] = claims
    family = claims.family
    if via == "ticket" and isinstance(bought := claims.get("rk_ticket"), Mapping):
        facts = bought
        family = bought["family"] if isinstance(bought.get("family"), str) else None
    auth_time = _moment(facts.get("auth_time"))
    if auth_time is not None and auth_time - utc_now() > clock_skew:
        auth_time = None
    return SignedIn(
        subject=subject,
        user=user,
        claims=claims,
        scopes=frozenset(_words(facts.get("scope"))),
        family=family,
        auth_time=auth_time,
        via=via,
    )


def _words(scope: object) -> list[str]:
    if isinstance(scope, str):
        return scope.split()
    return [word for word in scope if isinstance(word, str)] if isinstance(scope, list) else []


def _moment(seconds: object) -> datetime | None:
    is_number = type(seconds) in (int, float)
    if not is_number or not math.isfinite(seconds):  # type: ignore[arg-type]  # a number, by the line above
        return None
    try:
        return datetime.fromtimestamp(seconds, UTC)  # type: ignore[arg-type]  # as above
    except (OverflowError, ValueError, OSError):
        return None
