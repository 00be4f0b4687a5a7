"""Answers and refusals as plain values, in the forms of RFC 6750, RFC 9457 and RFC 9470. Edit this module to change an error."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import attrs

__all__ = [
    "Answer",
    "Refusal",
    "Refused",
    "cross_origin",
    "insufficient_scope",
    "invalid_request",
    "invalid_token",
    "missing_token",
    "not_fresh",
    "session_mismatch",
    "token_expired",
    "unavailable",
]

_TITLES: Final = {
    400: "Bad request",
    401: "Not signed in",
    403: "Forbidden",
    404: "Not found",
    413: "Too large",
    503: "Try again later",
}
RETRY_AFTER: Final = 5  # seconds


@attrs.frozen(kw_only=True)
class Answer:
    """An HTTP response.

    status: the code. headers: pairs; each ``Set-Cookie`` is one of them. body: bytes, empty for none.
    """

    status: int
    headers: tuple[tuple[str, str], ...] = attrs.field(default=(), repr=False)
    body: bytes = attrs.field(default=b"", repr=False)

    def with_headers(self, *headers: tuple[str, str]) -> Answer:
        """Return the answer with further headers."""
        return attrs.evolve(self, headers=(*self.headers, *headers))

    @classmethod
    def of_json(cls, value: object, *, status: int = 200, kind: str = "application/json") -> Answer:
        """Return an answer with a JSON body."""
        body = json.dumps(value, separators=(",", ":"), default=str).encode()
        return cls(status=status, headers=(("Content-Type", kind),), body=body)


@attrs.frozen(kw_only=True)
class Refusal:
    """The reason why a request is not let through, as every adapter answers it.

    status: the code of HTTP. code: the word of the body, for programs. detail: a sentence, for people, without any part of the
    token. challenge: parameters of ``WWW-Authenticate: Bearer``; None: the header is not sent. headers: further ones.
    """

    status: int
    code: str
    detail: str
    challenge: Mapping[str, str] | None = None
    headers: tuple[tuple[str, str], ...] = ()

    def answer(self) -> Answer:
        """Return the response: a problem in JSON (RFC 9457) that no cache keeps, with the challenge (RFC 6750, 3)."""
        body: dict[str, Any] = {
            "type": "about:blank",
            "title": _TITLES.get(self.status, "Error"),
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
        }
        made = Answer.of_json(body, status=self.status, kind="application/problem+json")
        made = made.with_headers(("Cache-Control", "no-store"), *self.headers)
        if self.challenge is None:
            return made
        said = ", ".join(f'{name}="{value}"' for name, value in self.challenge.items())
        return made.with_headers(("WWW-Authenticate", f"Bearer {said}" if said else "Bearer"))

    @property
    def close_code(self) -> int:
        """The code with which a websocket is closed: 1013 (try again later), 4401, 4403 or 4400."""
        return 1013 if self.status == 503 else 4000 + self.status


class Refused(Exception):
    """Raised by the functions of an adapter instead of running a view; the adapter's error handler sends the answer.

    outcome: the refusal, or the answer to a preflight.
    """

    def __init__(self, outcome: Refusal | Answer) -> None:
        super().__init__(outcome.code if isinstance(outcome, Refusal) else str(outcome.status))
        self.outcome = outcome

    @property
    def answer(self) -> Answer:
        """The response."""
        return self.outcome.answer() if isinstance(self.outcome, Refusal) else self.outcome


def missing_token() -> Refusal:
    """Return the refusal of a request without a credential: a challenge without an error (RFC 6750, 3.1)."""
    return Refusal(status=401, code="missing_token", detail="Sign in first.", challenge={})


def invalid_token(detail: str = "The token is not valid. Sign in again.") -> Refusal:
    """Return the refusal of a token that is malformed, forged, revoked, or for something else."""
    return Refusal(status=401, code="invalid_token", detail=detail, challenge={"error": "invalid_token"})


def token_expired() -> Refusal:
    """Return the refusal of a token past its expiry; the client refreshes it."""
    challenge = {"error": "invalid_token", "error_description": "The token has expired"}
    return Refusal(status=401, code="token_expired", detail="The token has expired. Refresh it.", challenge=challenge)


def session_mismatch() -> Refusal:
    """Return the refusal of a refresh cookie that is not of the sign-in of the access cookie."""
    detail = "The two cookies are not of one sign-in. Sign in again."
    return Refusal(status=401, code="session_mismatch", detail=detail, challenge={"error": "invalid_token"})


def not_fresh(seconds: int) -> Refusal:
    """Return the refusal of a sign-in that is too long ago (RFC 9470)."""
    challenge = {"error": "insufficient_user_authentication", "max_age": str(seconds)}
    detail = "Enter your password again."
    return Refusal(status=401, code="insufficient_user_authentication", detail=detail, challenge=challenge)


def insufficient_scope(*scopes: str) -> Refusal:
    """Return the refusal of a token without the scopes of a view."""
    challenge = {"error": "insufficient_scope", "scope": " ".join(scopes)}
    return Refusal(status=403, code="insufficient_scope", detail="The token does not allow this.", challenge=challenge)


def cross_origin() -> Refusal:
    """Return the refusal of a write that a page of another site has caused."""
    return Refusal(status=403, code="cross_origin", detail="The request came from a page of another site.")


def invalid_request(detail: str) -> Refusal:
    """Return the refusal of a malformed request."""
    return Refusal(status=400, code="invalid_request", detail=detail, challenge={"error": "invalid_request"})


def unavailable() -> Refusal:
    """Return the refusal of a request for which the store did not answer."""
    detail = "The service cannot check the token now. Try again."
    return Refusal(status=503, code="unavailable", detail=detail, headers=(("Retry-After", str(RETRY_AFTER)),))
