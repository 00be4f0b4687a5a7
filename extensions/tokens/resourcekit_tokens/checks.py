"""What ``doctor`` looks for on a token resource. It changes nothing."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from importlib.metadata import version
from typing import Any

from resourcekit import utc_now
from resourcekit.errors import DataLayerError, DeclarationError
from resourcekit.extending import Check, Finding, ResourceInfo, registered
from resourcekit_tokens.options import TokenOptions
from resourcekit_tokens.protection import needs_records
from resourcekit_tokens.sweeping import oldest_expiry
from resourcekit_tokens.tokens import tokens_of

__all__ = ["CHECKS"]

_LEAST_PYJWT = (2, 15, 1)


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


class SomebodySweeps(Check):
    """Expired records go, and by a clock that can be trusted."""

    async def check(self, info: ResourceInfo, options: TokenOptions) -> Iterable[Finding]:
        """Find records that should have gone two sweeps ago, and a store whose clock is not this system's."""
        tokens = tokens_of(_resource_of(info))
        try:
            apart = abs(await tokens.store.now() - utc_now())
            oldest = await oldest_expiry(tokens)
        except DataLayerError:
            return []  # what is wrong with a store is told by its own health
        findings: list[Finding] = []
        if apart > max(options.clock_skew, timedelta(seconds=1)):
            what = f"the clocks of the store and of this system are {apart.total_seconds():.0f} s apart"
            why = "Beyond clock_skew a token is accepted after its record was swept; beyond five minutes no sweep runs."
            findings.append(_finding("RK236", info, what, why, "Let both follow the same time server.", "error"))
        overdue = utc_now() - options.margin - 2 * options.expunge_interval
        if oldest is not None and oldest < overdue:
            what = f"records that expired on {oldest:%Y-%m-%d} are still there, although a sweep is due every {options.expunge_interval}"
            why = "Nobody sweeps this resource, or its sweeps fail: the table grows without end."
            cure = (
                "Run a Supervisor in your program, or resourcekit expunge from cron; resourcekit supervise shows why sweeps fail."
            )
            findings.append(_finding("RK235", info, what, why, cure, "warning"))
        return findings


class SweepsAtOnce(Check):
    """Expired records go in one statement a batch."""

    async def check(self, info: ResourceInfo, options: TokenOptions) -> Iterable[Finding]:
        """Find what needs each record that goes."""
        if not needs_records(info, options):
            return []
        what = "has notifiers or steps that see each record that expires, so a sweep reads and removes them one by one"
        why = "That takes many times as long as a sweep in the order of the store, which loads no record."
        cure = f"Take them off {options.expunge_expired_action_name}, or leave it so where few records expire."
        return [_finding("RK238", info, what, why, cure, "info")]


class LibraryIsSound(Check):
    """PyJWT reads tokens as strictly as the promises need."""

    async def check(self, info: ResourceInfo, options: TokenOptions) -> Iterable[Finding]:
        """Find a PyJWT that is too old; one with an open advisory in our range is excluded in pyproject.toml."""
        there = version("pyjwt")
        if tuple(int(part) for part in there.split(".")[:3] if part.isdigit()) >= _LEAST_PYJWT:
            return []
        what, why = f"PyJWT {there} is installed", "Versions before 2.15.1 have known advisories."
        return [_finding("RK237", info, what, why, "pip install 'pyjwt>=2.15.1'", "error")]


def _resource_of(info: ResourceInfo) -> Any:
    return next(resource for resource in registered() if resource.__info__ is info)


def _options_of(resource: Any) -> TokenOptions | None:
    return next((value for value in resource.__info__.extensions.values() if isinstance(value, TokenOptions)), None)


def _finding(code: str, info: ResourceInfo, what: str, why: str, cure: str, level: Any) -> Finding:
    return Finding(
        id=code, what=what, why=why, cure=cure, level=level, resource=info.qualified_name, path=("extensions", "TokenResource")
    )


CHECKS: tuple[type[Check], ...] = (
    KeysAreKnown,
    KeysAreItsOwn,
    MarginsAreSound,
    SomebodySweeps,
    SweepsAtOnce,
    LibraryIsSound,
)
