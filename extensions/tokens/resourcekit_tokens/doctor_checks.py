"""The checks of ``doctor`` for a token resource. Open it to add a check. A check changes nothing."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from importlib.metadata import version
from typing import Any, ClassVar

from resourcekit import utc_now
from resourcekit.errors import DataLayerError, DeclarationError
from resourcekit.extending import Aggregate, Check, Field, Finding, ResourceInfo, Verifier, off_loop, registered
from resourcekit_tokens.clocks import distance_of_clocks, moved_since_boot, trusted_distance
from resourcekit_tokens.keys.key_sets import RemoteKeys
from resourcekit_tokens.options import TokenOptions
from resourcekit_tokens.revocation_rules import NEVER_EXPIRES
from resourcekit_tokens.sweep import declared, kept_beyond_expiry, needs_records, oldest_expiry, recorded_settings
from resourcekit_tokens.tokens import tokens_of

__all__ = ["CHECKS", "KeysCanBeRead"]


class KeysCanBeRead(Verifier):
    """A program without its secret stops when it starts, not at the first sign-in. A key set that is fetched is not asked for."""

    at_start: ClassVar[bool] = True

    def verify(self, info: ResourceInfo, options: TokenOptions) -> Iterable[Finding]:
        """Return a finding for each key that cannot be read."""
        cure, path = "Give the key before the program starts.", ("extensions", "TokenResource", "jwt", "key")
        for key in options.jwt.keys if options.jwt is not None else ():
            try:
                key.material()
            except DeclarationError as error:
                yield Finding(id=error.code, what=error.what, cure=error.hint or cure, path=path, origin=options.origin)
            except Exception as error:  # of a callable, for example of the client of a vault
                what = f"the function that returns the key {key.label} raised {type(error).__name__}"
                yield Finding(id="RK203", what=what, cure=cure, path=path, origin=options.origin)


_LEAST_PYJWT = "2.15.1"

_ADVISORIES = (
    ("CVE-2022-29217", "1.5.0", "2.4.0"),
    ("CVE-2024-53861", "2.10.0", "2.10.1"),
    ("CVE-2026-32597", "0", "2.12.0"),
    ("GHSA-xgmm-8j9v-c9wx", "0", "2.13.0"),
    ("GHSA-jq35-7prp-9v3f", "0", "2.13.0"),
    ("GHSA-w7vc-732c-9m39", "0", "2.13.0"),
)
"""Published advisories about verifying tokens: name, first affected version, and first fixed version. None is known for 2.15.1
(looked up in November 2026). Add a new one here, and exclude its versions from the range in pyproject.toml."""


class KeysAreKnown(Check):
    """Checks that keys exist, can be read, and are strong."""

    async def check(self, info: ResourceInfo, options: TokenOptions) -> Iterable[Finding]:
        """Return findings for missing, unreadable and guessable keys."""
        if options.keys is None:
            return [
                _finding(
                    "RK230",
                    info,
                    "has no keys, so tokens are not verified before they are written",
                    "Code that can call revoke or store_token can write records of tokens that were never issued.",
                    "Say TokenResource(jwt=JWT(env('TOKEN_SECRET'))).",
                    "warning",
                )
            ]
        findings = [
            _finding(error.code, info, error.what, "No token can be issued or verified.", error.hint, "error")
            for error in options.keys.check_keys()
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
            for label in options.keys.guessable_keys()
        ]


class KeySetsAnswer(Check):
    """Checks that the key sets of providers can be fetched."""

    async def check(self, info: ResourceInfo, options: TokenOptions) -> Iterable[Finding]:
        """Return a finding for each set that cannot be fetched now."""
        findings: list[Finding] = []
        for key_set in options.keys.key_sets if options.keys is not None else ():
            if isinstance(key_set, RemoteKeys) and (problem := await off_loop(key_set.fetch)):
                what = f"the key set at {key_set.url} cannot be fetched: {problem}"
                why = "Tokens of this provider verify as long as the former keys are kept, then checks are Unavailable."
                cure = "Compare the URL with jwks_uri of the provider, and let this host reach it."
                findings.append(_finding("RK240", info, what, why, cure, "warning"))
        return findings


class KeysAreNotShared(Check):
    """Checks that no other token resource accepts the same tokens."""

    async def check(self, info: ResourceInfo, options: TokenOptions) -> Iterable[Finding]:
        """Return a finding for each resource that shares a key, issuer and audience with this one."""
        if options.keys is None:
            return []
        findings: list[Finding] = []
        for resource in registered():
            other = _options_of(resource)
            if resource.__info__ is info or other is None or other.keys is None:
                continue
            try:
                shared = options.keys.shares_audience_with(other.keys) and options.keys.shares_key_with(other.keys)
            except DeclarationError:
                continue  # KeysAreKnown reports an unreadable key
            if shared:
                what = f"shares keys, issuer and audience with {resource.__info__.qualified_name}"
                why = "A token that was revoked in one of the two is accepted by the other."
                findings.append(_finding("RK232", info, what, why, "Give each its own secret, or its own audience.", "warning"))
        return findings


class MarginsAreSound(Check):
    """Checks that records outlive their tokens."""

    async def check(self, info: ResourceInfo, options: TokenOptions) -> Iterable[Finding]:
        """Return findings for a clock skew of zero, and for a margin that does not cover the leeway."""
        findings: list[Finding] = []
        if not options.clock_skew:
            what, why = "clock_skew is 0", "A host whose clock is behind accepts a token whose record was swept."
            findings.append(
                _finding("RK233", info, what, why, "Leave clock_skew at 60 s, or say what your clocks keep.", "warning")
            )
        if options.leeway > options.margin:
            what = f"the sweep's margin is {options.margin}, less than the leeway of {options.leeway}"
            why = "Within its leeway a token is accepted after the record that revoked it was swept."
            cure = "Let margin be leeway + 5 * clock_skew, as TokenOptions has it, or more."
            findings.append(_finding("RK239", info, what, why, cure, "error"))
        return findings


class RecordsEnd(Check):
    """Checks that every record can expire."""

    reads_all = True

    async def check(self, info: ResourceInfo, options: TokenOptions) -> Iterable[Finding]:
        """Return a finding if the lifetime of tokens has no limit. It is a warning if records without an expiry exist."""
        if options.longest_life is not None:
            return []
        tokens = tokens_of(_resource_of(info))
        endless = tokens.runtime.plan(("tokens", "endless"), lambda: Aggregate("exists", Field("expires_at") >= NEVER_EXPIRES))
        try:
            in_use = bool(await tokens.store.aggregate(endless, {}))
        except DataLayerError:
            in_use = False  # the store's own health check reports this
        what = "max_lifetime is not set, and no keys limit it" + ("; records that never expire are there" if in_use else "")
        why = "Cut-offs, ended families and revocations by jti are kept without end."
        cure = "Say max_lifetime=timedelta(...), the longest life of your tokens."
        return [_finding("RK234", info, what, why, cure, "warning" if in_use else "info")]


class ClocksAgree(Check):
    """Checks that sweeps use a correct clock."""

    async def check(self, info: ResourceInfo, options: TokenOptions) -> Iterable[Finding]:
        """Return a finding if the store's clock differs from this system's."""
        try:
            tokens = tokens_of(_resource_of(info))
            apart, moved = await distance_of_clocks(tokens), await moved_since_boot(tokens) or timedelta(0)
        except DataLayerError:
            return []  # the store's own health check reports this
        if apart <= trusted_distance(options) and moved > trusted_distance(options):
            what = f"this system's clock was moved by {moved.total_seconds():.0f} s since the last sweep"
            why = "Beyond clock_skew no sweep runs: it could remove the record of a token that another host still accepts."
            return [
                _finding("RK236", info, what, why, "Set it right, or run resourcekit expunge with --accept-clock once.", "error")
            ]
        if apart <= trusted_distance(options):
            return []
        what = f"the clocks of the store and of this system are {apart.total_seconds():.0f} s apart"
        why = "Beyond clock_skew no sweep runs: it could remove the record of a token that another host still accepts."
        return [_finding("RK236", info, what, why, "Let both follow the same time server.", "error")]


class ExpiredRecordsAreRemoved(Check):
    """Checks that expired records are removed."""

    reads_all = True

    async def check(self, info: ResourceInfo, options: TokenOptions) -> Iterable[Finding]:
        """Return a finding if a record should have been removed two sweep intervals ago."""
        try:
            tokens = tokens_of(_resource_of(info))
            oldest, kept = await oldest_expiry(tokens), await kept_beyond_expiry(tokens)
        except DataLayerError:
            return []  # the store's own health reports its problems
        if oldest is None or oldest >= utc_now() - kept.time - 2 * options.expunge_interval:
            return []
        what = f"records that expired at {oldest:%Y-%m-%d %H:%M}Z are still there, although a sweep is due every {options.expunge_interval}"
        why = "This resource is not swept, or its sweeps fail: the table grows without end."
        cure = "Run a Supervisor in your program, or resourcekit expunge from cron; resourcekit supervise shows why sweeps fail."
        return [_finding("RK235", info, what, why, cure, "warning")]


class ProcessesAgree(Check):
    """All processes that sweep declare the same lives and tolerances."""

    async def check(self, info: ResourceInfo, options: TokenOptions) -> Iterable[Finding]:
        """Find values in the store that are not the declared ones."""
        try:
            kept, own = await recorded_settings(tokens_of(_resource_of(info))), declared(options)
        except DataLayerError:
            return []  # the store's own health reports its problems
        if kept is None or kept == own:
            return []
        margins = f"a margin of {kept.margin_time} recorded, {own.margin_time} declared"
        lives = f"a longest life of {kept.lives} recorded, {own.lives} declared"
        what = f"processes that sweep have recorded other settings than this one declares: {margins}; {lives}"
        why = "Sweeps keep to the largest recorded values, so records stay longer; a process of another version may still run."
        cure = "Deploy one version to every process; what was recorded before is replaced once its longest life has passed."
        return [_finding("RK227", info, what, why, cure, "warning")]


class SweepsAtOnce(Check):
    """Checks that a sweep removes each batch in one statement."""

    async def check(self, info: ResourceInfo, options: TokenOptions) -> Iterable[Finding]:
        """Return a finding if notifiers or steps need each removed record."""
        if not needs_records(info, options):
            return []
        what = "has notifiers or steps that see each record that expires, so a sweep reads and removes them one by one"
        why = "That takes many times as long as a sweep in the order of the store, which loads no record."
        cure = f"Take them off {options.expunge_expired_action_name}, or leave it so where few records expire."
        return [_finding("RK238", info, what, why, cure, "info")]


class LibraryIsSound(Check):
    """Checks that the installed PyJWT has no known weakness."""

    async def check(self, info: ResourceInfo, options: TokenOptions) -> Iterable[Finding]:
        """Return a finding if PyJWT is too old, or if a published advisory affects it."""
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
    """Return a version as numbers. The first part that is not a number ends it, so that a pre-release counts as less."""
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
    KeySetsAnswer,
    KeysAreNotShared,
    MarginsAreSound,
    RecordsEnd,
    ClocksAgree,
    ExpiredRecordsAreRemoved,
    ProcessesAgree,
    SweepsAtOnce,
    LibraryIsSound,
)
