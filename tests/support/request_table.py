"""The table of requests: every adapter answers each of them with the same status, challenge and code, under every server."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from resourcekit import utc_now
from resourcekit.data_layers import Memory
from resourcekit.testing import ManualClock
from resourcekit_tokens import JWT
from tests.support.setups import declare_tokens
from tests.support.web_requests import Sent

__all__ = ["SECRET", "TABLE", "Row", "Tokens", "bearer", "cookie"]

SECRET = "a-secret-for-web-tests-that-is-long-enough-0123456789"
ACCESS, REFRESH = b"__Host-rk-access=", b"__Secure-rk-refresh="
OWN = ("origin", b"https://app.example")
FOREIGN = ("origin", b"https://evil.example")


class Tokens:
    """The tokens of the table, made for one token resource."""

    def __init__(self, token: Any) -> None:
        pair = token.issue_pair("alice")
        self.good, self.refresh = pair.access.token.encode(), pair.refresh.token.encode()
        self.scoped = token.issue("alice", claims={"scope": "a:read a:write"}).token.encode()
        self.revoked = token.issue("alice").token.encode()
        token.revoke(self.revoked.decode())
        stranger = declare_tokens(Memory(), jwt=JWT(secrets.token_urlsafe(48)))
        self.forged = stranger.issue("alice").token.encode()
        other = declare_tokens(Memory(), jwt=JWT(SECRET, audience="https://other.example"))
        self.other_audience = other.issue("alice").token.encode()
        self.other_purpose = token.issue("alice", purpose="reset").token.encode()
        self.without_subject = token.issue(None).token.encode()
        with ManualClock(utc_now() - timedelta(days=2)):
            self.expired = token.issue("alice", lifetime=timedelta(hours=1)).token.encode()


def bearer(token: bytes, word: bytes = b"Bearer ") -> tuple[str, bytes]:
    """Return the header of a token."""
    return ("authorization", word + token)


def cookie(value: bytes) -> tuple[str, bytes]:
    """Return the header of cookies."""
    return ("cookie", value)


Row = tuple[Callable[[Tokens], Sent], int, str | None, str | None]
INVALID = 'Bearer error="invalid_token"'
MALFORMED = 'Bearer error="invalid_request"'
EXPIRED = 'Bearer error="invalid_token", error_description="The token has expired"'

TABLE: dict[str, Row] = {
    "no credential": (lambda t: Sent(), 401, "Bearer", "missing_token"),
    "empty header": (lambda t: Sent(headers=(bearer(b"", b""),)), 401, "Bearer", "missing_token"),
    "good header": (lambda t: Sent(headers=(bearer(t.good),)), 200, None, None),
    "small letters": (lambda t: Sent(headers=(bearer(t.good, b"bearer "),)), 200, None, None),
    "two spaces": (lambda t: Sent(headers=(bearer(t.good, b"Bearer  "),)), 200, None, None),
    "good cookie": (lambda t: Sent(headers=(cookie(ACCESS + t.good),)), 200, None, None),
    "cookie among others": (lambda t: Sent(headers=(cookie(b"a=1; " + ACCESS + t.good + b"; b=2"),)), 200, None, None),
    "cookie with another name": (lambda t: Sent(headers=(cookie(b"access=" + t.good),)), 401, "Bearer", "missing_token"),
    "empty cookie": (lambda t: Sent(headers=(cookie(ACCESS),)), 401, "Bearer", "missing_token"),
    "query string": (lambda t: Sent(query=b"access_token=" + t.good), 401, "Bearer", "missing_token"),
    "byte FF in the query": (lambda t: Sent(query=b"\xff=\xff", headers=(bearer(t.good),)), 200, None, None),
    "form field": (
        lambda t: Sent(method="POST", body=b"access_token=x", headers=(("content-type", b"application/x-www-form-urlencoded"),)),
        401,
        "Bearer",
        "missing_token",
    ),
    "wrong scheme": (lambda t: Sent(headers=(bearer(t.good, b"Token "),)), 401, "Bearer", "missing_token"),
    "wrong scheme and cookie": (lambda t: Sent(headers=(bearer(b"x", b"Basic "), cookie(ACCESS + t.good))), 200, None, None),
    "scheme alone": (lambda t: Sent(headers=(bearer(b"", b"Bearer"),)), 400, MALFORMED, "invalid_request"),
    "two words": (lambda t: Sent(headers=(bearer(t.good + b" x"),)), 400, MALFORMED, "invalid_request"),
    "two headers": (lambda t: Sent(headers=(bearer(t.good), bearer(t.good))), 400, MALFORMED, "invalid_request"),
    "two schemes": (lambda t: Sent(headers=(bearer(b"x", b"Basic "), bearer(t.good))), 400, MALFORMED, "invalid_request"),
    "two cookies": (
        lambda t: Sent(headers=(cookie(ACCESS + t.good + b"; " + ACCESS + t.good),)),
        400,
        MALFORMED,
        "invalid_request",
    ),
    "two cookie headers": (
        lambda t: Sent(headers=(cookie(ACCESS + t.good), cookie(ACCESS + t.good))),
        400,
        MALFORMED,
        "invalid_request",
    ),
    "bad header and good cookie": (
        lambda t: Sent(headers=(bearer(b"x.y.z"), cookie(ACCESS + t.good))),
        401,
        INVALID,
        "invalid_token",
    ),
    "good header and bad cookie": (lambda t: Sent(headers=(bearer(t.good), cookie(ACCESS + b"x"))), 200, None, None),
    "torn": (lambda t: Sent(headers=(bearer(t.good[:-7]),)), 401, INVALID, "invalid_token"),
    "torn cookie": (lambda t: Sent(headers=(cookie(ACCESS + t.good[:40]),)), 401, INVALID, "invalid_token"),
    "not a token": (lambda t: Sent(headers=(bearer(b"hello"),)), 401, INVALID, "invalid_token"),
    "forged": (lambda t: Sent(headers=(bearer(t.forged),)), 401, INVALID, "invalid_token"),
    "unsigned": (lambda t: Sent(headers=(bearer(b"eyJhbGciOiJub25lIn0.eyJqdGkiOiJ4In0."),)), 401, INVALID, "invalid_token"),
    "expired": (lambda t: Sent(headers=(bearer(t.expired),)), 401, EXPIRED, "token_expired"),
    "expired cookie": (lambda t: Sent(headers=(cookie(ACCESS + t.expired),)), 401, EXPIRED, "token_expired"),
    "revoked": (lambda t: Sent(headers=(bearer(t.revoked),)), 401, INVALID, "invalid_token"),
    "wrong purpose": (lambda t: Sent(headers=(bearer(t.other_purpose),)), 401, INVALID, "invalid_token"),
    "a refresh token": (lambda t: Sent(headers=(bearer(t.refresh),)), 401, INVALID, "invalid_token"),
    "wrong audience": (lambda t: Sent(headers=(bearer(t.other_audience),)), 401, INVALID, "invalid_token"),
    "no subject": (lambda t: Sent(headers=(bearer(t.without_subject),)), 401, INVALID, "invalid_token"),
    "too long": (lambda t: Sent(headers=(bearer(b"a" * 20_000),)), 401, INVALID, "invalid_token"),
    "bad UTF-8": (lambda t: Sent(headers=(bearer(b"\xff\xfe\xa0\x85"),)), 401, INVALID, "invalid_token"),
    "bad UTF-8 in a cookie": (lambda t: Sent(headers=(cookie(ACCESS + b"\xff\xfe"),)), 401, INVALID, "invalid_token"),
    "HEAD without": (lambda t: Sent(method="HEAD"), 401, "Bearer", None),
    "HEAD with": (lambda t: Sent(method="HEAD", headers=(bearer(t.good),)), 200, None, None),
    "OPTIONS": (lambda t: Sent(method="OPTIONS"), 401, "Bearer", "missing_token"),
    "preflight": (
        lambda t: Sent(method="OPTIONS", headers=(FOREIGN, ("access-control-request-method", b"POST"))),
        204,
        None,
        None,
    ),
    "cookie write, own origin": (lambda t: Sent(method="POST", headers=(cookie(ACCESS + t.good), OWN)), 200, None, None),
    "cookie write, foreign origin": (
        lambda t: Sent(method="POST", headers=(cookie(ACCESS + t.good), FOREIGN)),
        403,
        None,
        "cross_origin",
    ),
    "cookie write, null origin": (
        lambda t: Sent(method="POST", headers=(cookie(ACCESS + t.good), ("origin", b"null"))),
        403,
        None,
        "cross_origin",
    ),
    "cookie write, same site": (
        lambda t: Sent(method="POST", headers=(cookie(ACCESS + t.good), OWN, ("sec-fetch-site", b"same-site"))),
        403,
        None,
        "cross_origin",
    ),
    "cookie read, foreign origin": (lambda t: Sent(headers=(cookie(ACCESS + t.good), FOREIGN)), 200, None, None),
    "header write, foreign origin": (lambda t: Sent(method="POST", headers=(bearer(t.good), FOREIGN)), 200, None, None),
    "scope there": (lambda t: Sent(path="/scoped", headers=(bearer(t.scoped),)), 200, None, None),
    "scope missing": (
        lambda t: Sent(path="/scoped", headers=(bearer(t.good),)),
        403,
        'Bearer error="insufficient_scope", scope="a:write"',
        "insufficient_scope",
    ),
    "optional without": (lambda t: Sent(path="/optional"), 200, None, None),
    "optional, bad header": (lambda t: Sent(path="/optional", headers=(bearer(b"x.y.z"),)), 401, INVALID, "invalid_token"),
    "optional, old cookie": (lambda t: Sent(path="/optional", headers=(cookie(ACCESS + t.expired),)), 200, None, None),
    "refresh without": (lambda t: Sent(method="POST", path="/auth/refresh"), 401, "Bearer", "missing_token"),
    "refresh from elsewhere": (
        lambda t: Sent(method="POST", path="/auth/refresh", headers=(FOREIGN, cookie(REFRESH + t.refresh))),
        403,
        None,
        "cross_origin",
    ),
    "refresh of another sign-in": (
        lambda t: Sent(method="POST", path="/auth/refresh", headers=(cookie(REFRESH + t.refresh + b"; " + ACCESS + t.scoped),)),
        401,
        INVALID,
        "session_mismatch",
    ),
    "refresh, two cookies": (
        lambda t: Sent(method="POST", path="/auth/refresh", headers=(cookie(REFRESH + b"x; " + REFRESH + t.refresh),)),
        400,
        MALFORMED,
        "invalid_request",
    ),
    "logout without": (lambda t: Sent(method="POST", path="/auth/logout"), 204, None, None),
    "login from elsewhere": (lambda t: Sent(method="POST", path="/login", headers=(FOREIGN,)), 403, None, "cross_origin"),
    "ticket without": (lambda t: Sent(method="POST", path="/auth/ticket"), 401, "Bearer", "missing_token"),
    "OPTIONS of a route": (lambda t: Sent(method="OPTIONS", path="/auth/refresh"), 405, None, None),
    "OPTIONS of a probe": (lambda t: Sent(method="OPTIONS", path="/livez"), 405, None, None),
    "joined headers without a token": (
        lambda t: Sent(headers=(bearer(b"=x", b"Bearer"), bearer(b'="x"', b"Bearer"))),
        400,
        MALFORMED,
        "invalid_request",
    ),
    "wrong method": (lambda t: Sent(method="GET", path="/auth/refresh"), 405, None, None),
}
