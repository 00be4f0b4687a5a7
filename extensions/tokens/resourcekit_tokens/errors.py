"""The errors of tokens, as one tree. A message never contains a token, a jti or the value of a claim.

::

    ResourcekitError
    ├── InvalidToken                     the token is not acceptable (a ValueError)
    │   ├── BadSignature                 no trusted key has signed it
    │   ├── TokenExpired
    │   ├── WrongPurpose
    │   └── TokenRevoked
    │       ├── TokenConsumed            a single-use token was already used
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
    """The token is not acceptable; a subclass names the reason. This class itself means that the text is no token, or breaks a rule.

    message: what is wrong and the next step, without any part of the token, so it may be logged: promise P9 (no secrets in logs).
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
    """The token was issued for another purpose than it is used for, or has no purpose if one is demanded."""


class TokenRevoked(InvalidToken):
    """The token was revoked: itself, with its family, or with everything its subject had been issued until then."""


class TokenConsumed(TokenRevoked):
    """The token is good for one use, and that use has been made."""


class ReuseDetected(TokenRevoked):
    """A refresh token was used again after its rotation; its whole family has been ended."""


class NotATokenResource(ResourcekitError, TypeError):
    """A token function was given a resource without the extension; add ``extensions=[TokenResource]``."""
