"""What ``doctor`` looks for on a token resource. It knows keys, and asks no store."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from resourcekit.errors import DeclarationError
from resourcekit.extending import Check, Finding, ResourceInfo, registered
from resourcekit_tokens.options import TokenOptions

__all__ = ["CHECKS"]


class KeysAreKnown(Check):
    """Keys are there, can be read, and are strong."""

    async def check(self, info: ResourceInfo, options: TokenOptions) -> Iterable[Finding]:
        """Find missing, unreadable and guessable keys."""
        if options.jwt is None:
            return [
                _finding(
                    "RK230",
                    info,
                    "knows no keys, so tokens are not verified before they are written",
                    "Whoever reaches revoke or store_token can write records of tokens that nobody issued.",
                    "Say TokenResource(jwt=JWT(env('TOKEN_SECRET'))).",
                    "warning",
                )
            ]
        findings = [
            _finding(error.code, info, error.what, "No token can be issued or verified.", error.hint, "error")
            for error in options.jwt.check_keys()
        ]
        if findings:
            return findings
        return [
            _finding(
                "RK231",
                info,
                f"the secret {label} looks typed rather than drawn",
                "It can be guessed off line from any token.",
                "Draw one: python -c 'import secrets; print(secrets.token_urlsafe(48))'.",
                "error",
            )
            for label in options.jwt.guessable_keys()
        ]


class KeysAreItsOwn(Check):
    """No other token resource accepts the same tokens."""

    async def check(self, info: ResourceInfo, options: TokenOptions) -> Iterable[Finding]:
        """Find resources that share a key, issuer and audience with this one."""
        if options.jwt is None:
            return []
        findings: list[Finding] = []
        for resource in registered():
            other = _options_of(resource)
            if resource.__info__ is info or other is None or other.jwt is None:
                continue
            try:
                shared = options.jwt.shares_audience_with(other.jwt) and options.jwt.shares_key_with(other.jwt)
            except DeclarationError:
                continue  # an unreadable key is told by KeysAreKnown
            if shared:
                what = f"shares keys, issuer and audience with {resource.__info__.qualified_name}"
                why = "A token that was revoked in one of the two is accepted by the other."
                findings.append(_finding("RK232", info, what, why, "Give each its own secret, or its own audience.", "warning"))
        return findings


class MarginsAreSound(Check):
    """Clock skew and lifetimes leave nothing to chance."""

    async def check(self, info: ResourceInfo, options: TokenOptions) -> Iterable[Finding]:
        """Find a skew of zero, and records that would be kept for ever."""
        findings: list[Finding] = []
        if not options.clock_skew:
            what, why = "clock_skew is 0", "A host whose clock is behind accepts a token whose record was swept."
            findings.append(
                _finding("RK233", info, what, why, "Leave clock_skew at 60 s, or say what your clocks keep.", "warning")
            )
        if options.longest_life is None:
            what = "max_lifetime is not set, and no keys tell it"
            why = "Cut-offs, ended families and revocations by jti are kept for ever."
            findings.append(
                _finding("RK234", info, what, why, "Say max_lifetime=timedelta(...), the longest life of your tokens.", "info")
            )
        return findings


def _options_of(resource: Any) -> TokenOptions | None:
    return next((value for value in resource.__info__.extensions.values() if isinstance(value, TokenOptions)), None)


def _finding(code: str, info: ResourceInfo, what: str, why: str, cure: str, level: Any) -> Finding:
    return Finding(
        id=code, what=what, why=why, cure=cure, level=level, resource=info.qualified_name, path=("extensions", "TokenResource")
    )


CHECKS: tuple[type[Check], ...] = (KeysAreKnown, KeysAreItsOwn, MarginsAreSound)
