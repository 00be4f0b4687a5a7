"""What can be wrong with a token, as one small tree; it must never know a token, a jti or the value of a claim.

::

    ResourcekitError
    ├── InvalidToken                     not acceptable, whatever the reason (a ValueError)
    │   ├── BadSignature                 nobody whom we trust has signed it
    │   ├── TokenExpired
    │   ├── WrongPurpose
    │   └── TokenRevoked
    │       ├── TokenConsumed            good for one use, and used
    │       └── ReuseDetected            a refresh token came back after its rotation
    └── NotATokenResource                the resource lacks ``extensions=[TokenResource]`` (a TypeError)
"""

from __future__ import annotations

from resourcekit.errors import ResourcekitError

__all__ = [
    "BadSignature",
    "InvalidToken",
    "NotATokenResource",
    "ReuseDetected",
    "TokenConsumed",
    "TokenExpired",
    "TokenRevoked",
    "WrongPurpose",
]


class InvalidToken(ResourcekitError, ValueError):
    """The token is not acceptable; the subclass says why, this class itself means garbage or a broken rule.

    message: what is wrong and the next step, without any part of the token (P9), so it may be logged.
    claim: name of the claim or header parameter that is to blame (``"exp"``, ``"kid"``), ``None`` for the token as a
        whole. Only names that we look for are given; a name that the token made up never is.
    """

    def __init__(self, message: str, *, claim: str | None = None) -> None:
        super().__init__(message)
        self.claim = claim


class BadSignature(InvalidToken):
    """No key that we trust has signed this token: forged, altered, unsigned, or its key is unknown here."""


class TokenExpired(InvalidToken):
    """The time in ``exp`` has come (RFC 7519, 4.1.4: "on or after"), tolerance included."""


class WrongPurpose(InvalidToken):
    """The token was issued for something else than it is used for, or says no purpose where one is demanded."""


class TokenRevoked(InvalidToken):
    """The token was revoked: itself, with its family, or with everything its subject had been issued until then."""


class TokenConsumed(TokenRevoked):
    """The token is good for one use, and that use has been made."""


class ReuseDetected(TokenRevoked):
    """A refresh token was used again after its rotation; its whole family has been ended."""


class NotATokenResource(ResourcekitError, TypeError):
    """A token function was given a resource without the extension; add ``extensions=[TokenResource]``."""
