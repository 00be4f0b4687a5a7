"""What ``doctor`` looks for on a token resource. It changes nothing."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from importlib.metadata import version
from typing import Any

from resourcekit import utc_now
from resourcekit.errors import DataLayerError, DeclarationError
from resourcekit.extending import Aggregate, Check, Field, Finding, ResourceInfo, registered
from resourcekit_tokens.keyspace import FOR_EVER
from resourcekit_tokens.options import TokenOptions
from resourcekit_tokens.protection import needs_records
from resourcekit_tokens.sweeping import oldest_expiry
from resourcekit_tokens.tokens import tokens_of

__all__ = ["CHECKS"]

_LEAST_PYJWT = "2.15.1"
_ADVISORIES = (
    ("CVE-2022-29217", "1.5.0", "2.4.0"),
    ("CVE-2024-53861", "2.10.0", "2.10.1"),
    ("CVE-2026-32597", "0", "2.12.0"),
    ("GHSA-xgmm-8j9v-c9wx", "0", "2.13.0"),
    ("GHSA-jq35-7prp-9v3f", "0", "2.13.0"),
    ("GHSA-w7vc-732c-9m39", "0", "2.13.0"),
)
"""Published advisories about verifying tokens: name, first version, and the version that is free of it. None is known of 2.15.1
(looked up in November 2026); one that appears is added here, and excluded from the range in pyproject.toml."""


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
    """Records outlive their tokens."""

    async def check(self, info: ResourceInfo, options: TokenOptions) -> Iterable[Finding]:
        """Find a skew of zero, and a margin that does not cover the leeway."""
        findings: list[Finding] = []
        if not options.clock_skew:
            what, why = "clock_skew is 0", "A host whose clock is behind accepts a token whose record was swept."
            findings.append(
                _finding("RK233", info, what, why, "Leave clock_skew at 60 s, or say what your clocks keep.", "warning")
            )
        if options.leeway > options.margin:
            what = f"the sweep's margin is {options.margin}, less than the leeway of {options.leeway}"
            why = "Within its leeway a token is accepted after the record that revoked it was swept."
            cure = "Let margin be leeway + clock_skew, as TokenOptions has it, or more."
            findings.append(_finding("RK239", info, what, why, cure, "error"))
        return findings


class RecordsEnd(Check):
    """No record has to be kept for ever."""

    reads_all = True

    async def check(self, info: ResourceInfo, options: TokenOptions) -> Iterable[Finding]:
        """Find that nothing tells how long a token lives; it is graver where records are there that never go."""
        if options.longest_life is not None:
            return []
        tokens = tokens_of(_resource_of(info))
        endless = tokens.runtime.plan(("tokens", "endless"), lambda: Aggregate("exists", Field("expires_at") >= FOR_EVER))
        try:
            in_use = bool(await tokens.store.aggregate(endless, {}))
        except DataLayerError:
            in_use = False  # what is wrong with a store is told by its own health
        what = "max_lifetime is not set, and no keys tell it" + ("; records that never expire are there" if in_use else "")
        why = "Cut-offs, ended families and revocations by jti are kept for ever."
        cure = "Say max_lifetime=timedelta(...), the longest life of your tokens."
        return [_finding("RK234", info, what, why, cure, "warning" if in_use else "info")]


class ClocksAgree(Check):
    """Sweeps go by a clock that can be trusted."""

    async def check(self, info: ResourceInfo, options: TokenOptions) -> Iterable[Finding]:
        """Find a store whose clock is not this system's."""
        before = utc_now()
        try:
            there = await tokens_of(_resource_of(info)).store.now()
        except DataLayerError:
            return []  # what is wrong with a store is told by its own health
        # Its clock was read between the two moments, however long the answer took.
        apart = max(before - there, there - utc_now())
        if apart <= max(options.clock_skew, timedelta(seconds=1)):
            return []
        what = f"the clocks of the store and of this system are {apart.total_seconds():.0f} s apart"
        why = "Beyond clock_skew a token is accepted after its record was swept; beyond five minutes no sweep runs."
        return [_finding("RK236", info, what, why, "Let both follow the same time server.", "error")]


class SomebodySweeps(Check):
    """Expired records go."""

    reads_all = True

    async def check(self, info: ResourceInfo, options: TokenOptions) -> Iterable[Finding]:
        """Find records that should have gone two sweeps ago."""
        try:
            oldest = await oldest_expiry(tokens_of(_resource_of(info)))
        except DataLayerError:
            return []  # what is wrong with a store is told by its own health
        if oldest is None or oldest >= utc_now() - options.margin - 2 * options.expunge_interval:
            return []
        what = f"records that expired at {oldest:%Y-%m-%d %H:%M}Z are still there, although a sweep is due every {options.expunge_interval}"
        why = "Nobody sweeps this resource, or its sweeps fail: the table grows without end."
        cure = "Run a Supervisor in your program, or resourcekit expunge from cron; resourcekit supervise shows why sweeps fail."
        return [_finding("RK235", info, what, why, cure, "warning")]


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
        """Find a PyJWT that is too old, or that a published advisory is about."""
        there = version("pyjwt")
        number = _number(there)
        advisories = [name for name, first, fixed in _ADVISORIES if _number(first) <= number < _number(fixed)]
        if number >= _number(_LEAST_PYJWT) and not advisories:
            return []
        known = f"; known of it: {', '.join(advisories)}" if advisories else ""
        why = "Versions before 2.15.1 let through, or fall over, tokens that they should refuse."
        return [
            _finding(
                "RK237", info, f"PyJWT {there} is installed{known}", why, f"Run: pip install 'pyjwt>={_LEAST_PYJWT}'.", "error"
            )
        ]


def _number(text: str) -> tuple[int, ...]:
    """Return a version as numbers; what is no number ends it, so that a pre-release counts as less."""
    parts = [int(part) if part.isdigit() else -1 for part in text.split(".")]
    return tuple(parts[: parts.index(-1)] if -1 in parts else parts)


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
    RecordsEnd,
    ClocksAgree,
    SomebodySweeps,
    SweepsAtOnce,
    LibraryIsSound,
)
