"""Sets of public keys as identity providers publish them (RFC 7517, 5): given as they are, or fetched and renewed. Open it to change how sets are read or fetched.

A key set never signs. Keys of it that are not for signatures, or of a kind that is unknown here, are passed over.
"""

from __future__ import annotations

import ipaddress
import json
import os
import threading
from collections.abc import Iterator, Mapping
from datetime import timedelta
from http.client import HTTPException
from itertools import islice
from typing import TYPE_CHECKING, Any, Final
from urllib.error import URLError
from urllib.parse import urlsplit

from resourcekit.errors import DeclarationError, Unavailable
from resourcekit.extending import CallMode, Clock, call_mode, current_clock, free_after_fork, logger, off_loop
from resourcekit_tokens.keys.key_formats import UnfitJWK, certificate_key, read_jwk
from resourcekit_tokens.keys.signing_key import ALGORITHMS_OF, SigningKey, certificate_in_pem

if TYPE_CHECKING:
    from resourcekit_tokens.keys.key_formats import PublicKey

__all__ = ["JWKSet", "RemoteKeys"]

_PRIVATE: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth"})

_RENEWAL_PAUSE: Final = 30.0
"""Seconds between two renewals that an unknown kid asks for, so that made-up kids do not cause a request each."""

_MOST_UNKNOWN: Final = 256
"""Unknown kids that are remembered, with the number of renewals when each was first seen. The oldest are forgotten."""

_MOST_KEYS: Final = 100
"""Entries of a set that are read. A token without a kid is verified with each key, so a set of thousands would delay each check."""


class JWKSet:
    """A set of public keys: a JWK Set as a mapping or as JSON text, or a mapping of kids to certificates in PEM.

    given: as the provider publishes it. Keys for other uses, symmetric keys and keys of unknown kinds are passed over. A key without
    ``alg`` serves the asymmetric algorithms of its ``kty``. One kid may serve several algorithms. Certificates are read for their
    key only; who has issued them, and until when they are valid, is not checked.
    Raises DeclarationError RK203 if it is no key set, RK205 if no key of it can verify signatures. ``JWKSet.from_url`` fetches one.
    """

    def __init__(self, given: Mapping[str, object] | str | bytes) -> None:
        published = _parsed(given)
        if published is None:
            hint = 'Give it as the provider publishes it: a mapping with "keys", its JSON text, or a mapping of kids to certificates.'
            raise DeclarationError("RK203", "this is no JWK Set", path=("jwt", "keys"), hint=hint)
        self._known = tuple(_keys_in(published))
        if not self._known:
            hint = "Give a set with an RSA, EC or OKP key whose use is sig, or SigningKey for a secret."
            raise DeclarationError("RK205", "no key of the set can verify signatures", path=("jwt", "keys"), hint=hint)

    @staticmethod
    def from_url(
        url: str,
        *,
        lifetime: timedelta = timedelta(minutes=15),
        timeout: timedelta = timedelta(seconds=5),
        max_stale: timedelta = timedelta(hours=24),
    ) -> RemoteKeys:
        """Return a set that is fetched at its first use in a process, and renewed in the background from then on.

        Args:
            url: of the set; https, or http on this machine. A redirect to another host is not followed, and 256 KiB are the most.
            lifetime: how long the set is used before it is renewed. An unknown kid renews it once, at most every 30 seconds.
            timeout: for one request.
            max_stale: how long the keys are used if no renewal succeeds.

        Raises:
            DeclarationError: RK212 for a URL or a time that cannot be.
        """
        return RemoteKeys(url, lifetime=lifetime, timeout=timeout, max_stale=max_stale)

    def keys_for(self, kid: str | None) -> tuple[SigningKey, ...]:
        """Return the keys that a token with this kid may be signed with; all, if it names none."""
        return tuple(key for key in self._known if kid is None or key.kid == kid)

    async def prepare(self, kid: str | None) -> None:
        """Fetch the set if a token with this kid needs that. Nothing is to be fetched here."""

    def __repr__(self) -> str:
        """How many keys there are."""
        return f"<JWKSet: {len(self._known)} keys>"


class RemoteKeys(JWKSet):
    """A key set that is fetched from a URL; see ``JWKSet.from_url``."""

    def __init__(self, url: str, *, lifetime: timedelta, timeout: timedelta, max_stale: timedelta) -> None:
        check_url(url)
        times: dict[str, object] = {"lifetime": lifetime, "timeout": timeout, "max_stale": max_stale}
        for name, value in times.items():
            if not isinstance(value, timedelta) or value <= timedelta(0):
                what = f"{name} of a key set must be a timedelta above zero"
                raise DeclarationError(
                    "RK212", what, path=("jwt", "keys", name), hint=f"For example {name}=timedelta(minutes=15)."
                )
        self.url = url
        self._lifetime, self._timeout = lifetime.total_seconds(), timeout.total_seconds()
        self._max_stale = max(max_stale, lifetime).total_seconds()
        self._known: tuple[SigningKey, ...] = ()
        self._renewed_at: float | None = None
        self._tried_at: float | None = None
        self._failure = ""
        self._attempts, self._renewals = 0, 0
        self._unknown: dict[str, int] = {}
        self._forget_threads()

    def _forget_threads(self) -> None:
        self._pid, self._lock, self._is_renewing = os.getpid(), free_after_fork(threading.Lock()), False

    def keys_for(self, kid: str | None) -> tuple[SigningKey, ...]:
        """Return the keys that a token with this kid may be signed with.

        Raises Unavailable if the set could not be fetched, and for an unknown kid until the set has been renewed after the kid was first
        seen: the provider may have published the key since the last renewal.
        """
        if call_mode.get() is CallMode.SYNC and self._needs_fetch(kid):
            self.fetch()
        age = self._age()
        if age is None or age > self._max_stale:
            raise Unavailable(f"the key set could not be fetched ({self._failure}); try again")
        found = super().keys_for(kid)  # before a renewal begins, so that its speed does not decide this answer
        if age > self._lifetime:
            self._renew_in_background()
        if not found and self._failure:
            raise Unavailable(f"the token names a key that is not known, and the key set could not be renewed ({self._failure})")
        if not found and kid is not None and self._note_unknown(kid):
            raise Unavailable("the token names a key that is not known yet; the key set is renewed soon, try again")
        return found

    def _note_unknown(self, kid: str) -> bool:
        """Remember a kid that is not in the set, and return whether the set was not renewed since it was first seen."""
        seen = self._unknown.setdefault(kid, self._renewals)
        if len(self._unknown) > _MOST_UNKNOWN:
            self._unknown = dict(list(self._unknown.items())[-_MOST_UNKNOWN // 2 :])
        return seen == self._renewals

    async def prepare(self, kid: str | None) -> None:
        """Fetch the set, off the loop, if it was never fetched, is too old, or does not have this kid."""
        if self._needs_fetch(kid):
            await off_loop(self.fetch)

    def _age(self) -> float | None:
        return None if self._renewed_at is None else current_clock().monotonic() - self._renewed_at

    def _needs_fetch(self, kid: str | None) -> bool:
        age = self._age()
        if age is None or age > self._max_stale:
            if kid is not None:
                self._note_unknown(kid)
            return True
        if kid is None or any(key.kid == kid for key in self._known):
            return False
        self._note_unknown(kid)
        tried = self._tried_at
        return tried is None or current_clock().monotonic() - tried >= _RENEWAL_PAUSE

    def fetch(self) -> str:
        """Fetch the set now, and return why that failed, or ``""``. Threads that ask at once share one request.

        A failure leaves the keys as they are.
        """
        if self._pid != os.getpid():  # a fork: the threads of the parent, and what they held, are gone
            self._forget_threads()
        before = self._attempts
        with self._lock:
            if self._attempts != before:
                return self._failure
            try:
                published = _parsed(download(self.url, self._timeout))
                if published is None:
                    raise ValueError("no JWK Set")
                self._known, self._renewed_at, self._failure = tuple(_keys_in(published)), current_clock().monotonic(), ""
                self._renewals += 1
            except (OSError, ValueError) as error:  # URLError and HTTPException of the client among them
                self._failure = type(error).__name__
                logger("tokens").warning("a key set could not be fetched: %s", self._failure)
            self._tried_at, self._attempts = current_clock().monotonic(), self._attempts + 1
            return self._failure

    def _renew_in_background(self) -> None:
        """Start one thread that renews the set, unless one is at work or has just tried."""
        if self._pid != os.getpid():
            self._forget_threads()
        tried = self._tried_at
        if self._is_renewing or (self._failure and tried is not None and current_clock().monotonic() - tried < _RENEWAL_PAUSE):
            return
        self._is_renewing = True

        def renew() -> None:
            try:
                self.fetch()
            finally:
                self._is_renewing = False

        threading.Thread(target=renew, name="resourcekit-key-set", daemon=True).start()

    def __repr__(self) -> str:
        """Where the set is, and how many keys are known."""
        return f"<JWKSet from {self.url}: {len(self._known)} keys>"


def _parsed(given: object) -> Mapping[str, Any] | None:
    if isinstance(given, str | bytes):
        try:
            given = json.loads(given)
        except (ValueError, RecursionError):
            return None
    if not isinstance(given, Mapping):
        return None
    is_set = isinstance(given.get("keys"), list) or "kty" in given
    return given if is_set or (given and all(map(certificate_in_pem, given.values()))) else None


def _keys_in(published: Mapping[str, Any]) -> Iterator[SigningKey]:
    if isinstance(published.get("keys"), list) or "kty" in published:
        for entry in islice(published.get("keys", [published]), _MOST_KEYS):
            if isinstance(entry, Mapping):
                yield from _of_jwk(entry)
        return
    for kid, pem in islice(published.items(), _MOST_KEYS):
        for algorithm in ALGORITHMS_OF["RSA"] + ALGORITHMS_OF["EC"] + ALGORITHMS_OF["OKP"]:
            yield from _made(kid, algorithm, pem)


def _of_jwk(entry: Mapping[str, Any]) -> Iterator[SigningKey]:
    """Yield the keys of one JWK: one for each algorithm that it serves."""
    serving = ALGORITHMS_OF.get(str(entry.get("kty")), ())
    named, operations = entry.get("alg"), entry.get("key_ops", ["verify"])
    if named in ("Ed25519", "Ed448"):  # RFC 9864 names EdDSA by its curve
        named = "EdDSA" if entry.get("crv") == named else "none"
    if entry.get("use", "sig") != "sig" or not isinstance(operations, list) or "verify" not in operations:
        return
    public = {name: value for name, value in entry.items() if name not in _PRIVATE | {"alg", "key_ops"}}
    for algorithm in serving if named is None else [each for each in serving if each == named]:
        key: PublicKey | None = None
        try:
            key = read_jwk(algorithm, public)  # type: ignore[assignment]  # public, because the private members are gone
        except UnfitJWK:
            key = certificate_key(entry.get("x5c"))
        if key is not None:
            yield from _made(entry.get("kid"), algorithm, key)


def _made(kid: object, algorithm: str, key: Any) -> Iterator[SigningKey]:
    """Yield the key if it is one for this algorithm, strong enough, with a kid that tokens can carry."""
    try:
        yield SigningKey(kid=kid, algorithm=algorithm, key=key, verify_only=True)  # type: ignore[arg-type]  # checked there
    except DeclarationError:
        return


_MOST_BYTES: Final = 256 * 1024

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})

_MOST_REDIRECTS: Final = 5


def check_url(url: object) -> None:
    """Raise DeclarationError RK212 unless this is the URL of a key set."""
    if not _is_fit(url):
        what = "the URL of a key set must begin with https:// (http:// on this machine only)"
        raise DeclarationError(
            "RK212", what, path=("jwt", "keys"), hint='Copy "jwks_uri" from the configuration of the provider.'
        )


def _is_fit(url: object) -> bool:
    try:
        parts = urlsplit(url) if isinstance(url, str) and url.isascii() and url.isprintable() and " " not in url else None
        host = None if parts is None else parts.hostname
        _ = None if parts is None else parts.port
    except ValueError:
        return False
    if parts is None or not host or parts.username is not None:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and _is_this_machine(host))


def _is_this_machine(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def download(url: str, seconds: float) -> bytes:
    """Return what the URL serves. Raises OSError or ValueError; neither names what was served.

    seconds: for each step of a request, and for the whole body: a server that sends byte after byte does not delay the call.
    """
    from urllib.request import HTTPRedirectHandler, Request, build_opener

    class OneHost(HTTPRedirectHandler):
        """Follows redirects within one host only."""

        max_redirections = _MOST_REDIRECTS

        def redirect_request(self, req: Request, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Request | None:
            """Return the next request; an error if it would leave the host."""
            if code not in _REDIRECTS or not _is_fit(newurl) or urlsplit(newurl).hostname != urlsplit(url).hostname:
                raise URLError("a redirect to another host")
            return super().redirect_request(req, fp, code, msg, headers, newurl)

    request = Request(url, headers={"Accept": "application/jwk-set+json, application/json", "User-Agent": "resourcekit"})  # noqa: S310  # checked: https, or this machine
    try:
        with build_opener(OneHost()).open(request, timeout=seconds) as answer:
            served = _body(answer, Clock().monotonic() + seconds)
    except HTTPException as error:
        raise URLError(type(error).__name__) from None
    if len(served) > _MOST_BYTES:
        msg = "a key set of more than 256 KiB"
        raise ValueError(msg)
    return served


def _body(answer: Any, ends: float) -> bytes:
    """Return the body, or one byte more than a key set may have. Raises TimeoutError at the end of the time."""
    served = b""
    while len(served) <= _MOST_BYTES and (part := answer.read1(_MOST_BYTES + 1 - len(served))):
        served += part
        if Clock().monotonic() > ends:
            raise TimeoutError
    return served
