"""Key sets of identity providers: what is taken of them, and how they are fetched and renewed."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import jwt as pyjwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from resourcekit import Domain
from resourcekit.data_layers import Memory
from resourcekit.errors import DeclarationError, Unavailable
from resourcekit.testing import ManualClock
from resourcekit_tokens import JWT, JWKSet, SigningKey, TokenRecord, TokenResource
from resourcekit_tokens.errors import BadSignature

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
FIRST, SECOND = (rsa.generate_private_key(65537, 2048) for _ in range(2))


@pytest.fixture
def clock() -> Iterator[ManualClock]:
    """A clock that the test moves by hand."""
    with ManualClock(NOON) as moved:
        yield moved


def declare(jwt: JWT, **options: Any) -> Any:
    """Declare a token resource in memory."""
    domain = Domain("key sets")

    class Token(TokenRecord, domain=domain, data_layer=Memory(), extensions=[TokenResource(jwt=jwt, **options)]):
        """Tokens of a provider."""

    Token.__kept__ = domain  # type: ignore[attr-defined]  # the registry holds it weakly
    return Token


def public(key: Any, **more: Any) -> dict[str, Any]:
    """Return the public half as a JWK."""
    kinds = {rsa.RSAPrivateKey: RSAAlgorithm, ec.EllipticCurvePrivateKey: ECAlgorithm, ed25519.Ed25519PrivateKey: OKPAlgorithm}
    algorithm = next(algorithm for kind, algorithm in kinds.items() if isinstance(key, kind))
    return {**json.loads(algorithm.to_jwk(key.public_key())), **more}


def signed(key: Any, algorithm: str = "RS256", *, kid: str | None = "k", **claims: Any) -> str:
    """Return a token as a provider issues it."""
    facts = {"sub": "alice", "jti": "j", "iat": int(NOON.timestamp()), "exp": int(NOON.timestamp()) + 900 * 1000, **claims}
    return pyjwt.encode(facts, key, algorithm=algorithm, headers={} if kid is None else {"kid": kid})


def certificate() -> bytes:
    """Return a certificate in DER."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "idp.example")])
    made = x509.CertificateBuilder(name, name, FIRST.public_key(), 7, NOON, NOON + timedelta(days=1))
    return made.sign(FIRST, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


class TestGivenSets:
    @pytest.mark.parametrize("form", ["mapping", "text", "bytes", "key of JWT", "one JWK"])
    def test_a_set_is_taken_as_it_is_published(self, clock, form):
        """As a mapping, as text, or the mapping alone as the key."""
        published = {"keys": [public(FIRST, kid="k", alg="RS256", use="sig")]}
        forms = {
            "mapping": lambda: JWT(keys=JWKSet(published)),
            "text": lambda: JWT(keys=JWKSet(json.dumps(published))),
            "bytes": lambda: JWT(keys=JWKSet(json.dumps(published).encode())),
            "key of JWT": lambda: JWT(published),
            "one JWK": lambda: JWT(keys=JWKSet(published["keys"][0])),
        }

        assert "alice" == declare(forms[form]()).verify(signed(FIRST)).subject

    @pytest.mark.parametrize("algorithm", ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"])
    def test_a_key_without_alg_serves_those_of_its_kind(self, clock, algorithm):
        """RFC 7517, 4.4: alg may be left out."""
        token = declare(JWT(keys=JWKSet({"keys": [public(FIRST, kid="k")]})))

        assert "alice" == token.verify(signed(FIRST, algorithm)).subject

    @pytest.mark.parametrize("wrong", ["n of 16384 bits", "n of 2 million bits", "e as long as n"])
    def test_a_key_that_makes_each_check_slow_is_passed_over(self, clock, wrong):
        """A check with such a key takes seconds, and a provider that was taken over could publish it."""
        numbers = FIRST.public_key().public_numbers()
        n, e = {
            "n of 16384 bits": ((1 << 16383) + 1, 65537),
            "n of 2 million bits": ((1 << 1_999_999) + 1, 65537),
            "e as long as n": (numbers.n, numbers.n - 2),
        }[wrong]
        raw = [
            base64.urlsafe_b64encode(each.to_bytes((each.bit_length() + 7) // 8, "big")).rstrip(b"=").decode() for each in (n, e)
        ]
        key = {"kty": "RSA", "kid": "k", "n": raw[0], "e": raw[1]}

        assert not any(JWKSet({"keys": [key, public(FIRST, kid="fit")]}).keys_for("k"))
        with pytest.raises(DeclarationError, match="RK210"):
            SigningKey(kid="k", algorithm="RS256", key=key, verify_only=True)

    def test_of_a_set_with_thousands_of_keys_the_first_hundred_are_read(self):
        """A token without a kid is verified with each key."""
        keys = [
            public(ed25519.Ed25519PrivateKey.from_private_bytes(number.to_bytes(32, "big")), kid=str(number))
            for number in range(1, 300)
        ]

        assert 100 == len(JWKSet({"keys": keys}).keys_for(None))

    def test_a_public_key_is_never_a_secret(self, clock):
        """A key without alg serves no HS, even for a token that is signed with its text; symmetric keys of a set are passed over."""
        secret = base64.urlsafe_b64encode(b"0" * 48).decode()
        published = {"keys": [public(FIRST, kid="k"), {"kty": "oct", "kid": "s", "k": secret, "alg": "HS256"}]}
        token = declare(JWT(keys=JWKSet(published)))
        for kid in ("k", "s"):
            with pytest.raises(BadSignature):
                token.verify(signed(b"0" * 48, "HS256", kid=kid))

    def test_keys_that_are_not_for_us_are_passed_over(self, clock):
        """Unknown kinds, other uses, small keys, broken ones: the rest of the set serves."""
        published = {
            "keys": [
                {"kty": "AKP", "alg": "ML-DSA-65", "pub": "AAAA", "kid": "pq"},
                public(SECOND, use="enc", alg="RSA-OAEP", kid="enc"),
                public(SECOND, key_ops=["encrypt"], kid="ops"),
                {"kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": "small"},
                {"kty": "EC", "crv": "P-256", "x": "!", "y": "?", "kid": "broken"},
                "nonsense",
                public(FIRST, kid="k", alg="RS256", x5t="x", x5c=["MIIC"]),
            ]
        }

        assert "alice" == declare(JWT(keys=JWKSet(published))).verify(signed(FIRST)).subject

    @pytest.mark.parametrize("form", ["x5c", "PEM"])
    def test_a_certificate_of_an_unknown_version_is_passed_over(self, clock, form):
        """Its error is no ValueError, and the other keys of the set serve."""
        der = certificate().replace(bytes.fromhex("a003020102"), bytes.fromhex("a003020105"), 1)
        if form == "PEM":
            with pytest.raises(DeclarationError, match="RK205"):
                JWKSet({"x": f"-----BEGIN CERTIFICATE-----\n{base64.encodebytes(der).decode()}-----END CERTIFICATE-----\n"})
            return
        broken = {"kty": "RSA", "kid": "x", "x5c": [base64.b64encode(der).decode()]}

        assert "alice" == declare(JWT(keys=JWKSet({"keys": [broken, public(FIRST, kid="k")]}))).verify(signed(FIRST)).subject

    @pytest.mark.parametrize(("given", "code"), [("[]", "RK203"), ({}, "RK203"), ("nonsense", "RK203"), ({"keys": []}, "RK205")])
    def test_what_is_no_set_is_refused(self, given, code):
        """When it is declared."""
        with pytest.raises(DeclarationError) as caught:
            JWKSet(given)

        assert code == caught.value.code

    @pytest.mark.parametrize("named", ["EdDSA", "Ed25519"])
    @pytest.mark.parametrize("written", ["EdDSA", "Ed25519"])
    def test_ed25519_has_two_names(self, clock, named, written):
        """RFC 9864 names the curve; older issuers and sets say EdDSA."""
        key = ed25519.Ed25519PrivateKey.generate()
        header = base64.urlsafe_b64encode(json.dumps({"alg": written, "kid": "k"}).encode()).rstrip(b"=")
        payload = signed(key, "EdDSA").split(".")[1].encode()
        seal = base64.urlsafe_b64encode(key.sign(header + b"." + payload)).rstrip(b"=")
        text = b".".join((header, payload, seal)).decode()

        assert "alice" == declare(JWT(keys=JWKSet({"keys": [public(key, kid="k", alg=named)]}))).verify(text).subject
        assert "alice" == declare(JWT(SigningKey(kid="k", algorithm="EdDSA", key=key))).verify(text).subject

    def test_key_signs_and_keys_verify(self, clock):
        """Both kinds of tokens are accepted; the claim rk_gen of the provider counts for nothing."""
        token = declare(JWT("a-secret-for-sets-that-is-long-enough-0123456789", keys=JWKSet({"keys": [public(FIRST, kid="k")]})))
        token.log_out_everywhere("alice")
        current = token.generation("alice")
        own, foreign = token.issue("alice").token, signed(FIRST, rk_gen=current)

        assert "alice" == token.verify(own).subject
        assert [False, True] == [token.token_revoked(text) for text in (own, foreign)]
        assert not token.issue("alice").claims.is_foreign

    def test_without_a_signing_key_nothing_is_issued(self):
        """And the message says what to add."""
        with pytest.raises(DeclarationError, match="RK211"):
            declare(JWT(keys=JWKSet({"keys": [public(FIRST, kid="k")]}))).issue("alice")


class Provider:
    """Serves a key set on this machine, as its attributes say."""

    def __init__(self) -> None:
        self.keys: list[dict[str, Any]] = [public(FIRST, kid="k")]
        self.status, self.location, self.body = 200, "", b""
        self.asked, self.is_slow, self.stopped = 0, False, threading.Event()
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                provider.asked += 1
                self.send_response(provider.status)
                if provider.location:
                    self.send_header("Location", provider.location)
                self.end_headers()
                with contextlib.suppress(OSError):  # the client has hung up
                    while provider.is_slow and not provider.stopped.wait(0.02):
                        self.wfile.write(b" ")
                    self.wfile.write(provider.body or json.dumps({"keys": provider.keys}).encode())

            def log_message(self, *args: Any) -> None:
                """Say nothing."""

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/keys"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Answer no request any more."""
        self.stopped.set()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def provider() -> Iterator[Provider]:
    """An identity provider."""
    made = Provider()
    yield made
    made.stop()


@pytest.fixture
def fetched(provider: Provider) -> Any:
    """A resource that verifies with the provider's set."""
    return declare(JWT(keys=JWKSet.from_url(provider.url, lifetime=timedelta(minutes=10), max_stale=timedelta(hours=2))))


def settle() -> None:
    """Wait for a renewal in the background."""
    for thread in threading.enumerate():
        if thread.name == "resourcekit-key-set":
            thread.join(10)


class TestFetchedSets:
    def test_the_set_is_fetched_once_by_its_first_use(self, clock, provider, fetched):
        """Neither the declaration nor a start asks for it; an async check does not block its loop."""
        fetched.__kept__.seal()
        before = provider.asked
        for _ in range(3):
            fetched.verify(signed(FIRST))
        asyncio.run(fetched.verify.aio(signed(FIRST)))

        assert (0, 1) == (before, provider.asked)

    def test_an_async_program_fetches_it_too(self, clock, provider, fetched):
        """Off the loop."""

        async def verify() -> Any:
            return await fetched.verify.aio(signed(FIRST))

        assert "alice" == asyncio.run(verify()).subject

    def test_an_unknown_kid_renews_the_set_once(self, clock, provider, fetched):
        """A new key works at once; a made-up kid does not make us ask for each token."""
        fetched.verify(signed(FIRST))
        clock.advance(seconds=31)
        provider.keys.append(public(SECOND, kid="new"))
        known = fetched.verify(signed(SECOND, kid="new")).subject
        for _ in range(3):
            with pytest.raises(Unavailable):
                fetched.verify(signed(SECOND, kid="made up"))
        asked = provider.asked
        clock.advance(seconds=31)
        for _ in range(3):
            with pytest.raises(BadSignature):
                fetched.verify(signed(SECOND, kid="made up"))

        assert ("alice", 2, 3) == (known, asked, provider.asked)

    def test_a_key_that_was_rotated_between_two_renewals_is_not_called_invalid(self, clock, provider, fetched):
        """A renewal has just run, so the next one has to wait: the token is Unavailable (503) until then, and never a 401."""
        fetched.verify(signed(FIRST))
        provider.keys.append(public(SECOND, kid="new"))
        clock.advance(seconds=5)
        text = signed(SECOND, kid="new")
        with pytest.raises(Unavailable):
            fetched.verify(text)
        with pytest.raises(Unavailable):
            asyncio.run(fetched.verify.aio(text))
        closed = fetched.token_revoked(text)
        clock.advance(seconds=26)

        assert (True, "alice") == (closed, fetched.verify(text).subject)

    def test_many_made_up_kids_fill_no_memory(self, clock, provider):
        """The kids that are remembered have a limit."""
        keys = JWKSet.from_url(provider.url)
        keys.fetch()
        for number in range(2000):
            with pytest.raises(Unavailable):
                keys.keys_for(f"made up {number}")

        assert len(keys._unknown) <= 256

    def test_a_removed_key_stops_at_the_next_fetch(self, clock, provider, fetched):
        """Which comes in the background once the lifetime has passed; the answer of that moment is by the former keys."""
        fetched.verify(signed(FIRST))
        provider.keys = [public(SECOND, kid="new")]
        clock.advance(minutes=10, seconds=1)
        fetched.verify(signed(FIRST))
        settle()

        with pytest.raises(BadSignature):
            fetched.verify(signed(FIRST))
        assert "alice" == fetched.verify(signed(SECOND, kid="new")).subject

    def test_former_keys_serve_for_max_stale(self, clock, provider, fetched):
        """Then the answer is unknown: Unavailable for ``verify``, revoked for a check."""
        fetched.verify(signed(FIRST))
        provider.status = 500
        clock.advance(hours=1)
        still = fetched.verify(signed(FIRST)).subject
        settle()
        with pytest.raises(Unavailable):
            fetched.verify(signed(SECOND, kid="unknown"))
        clock.advance(hours=1, seconds=1)

        assert "alice" == still
        with pytest.raises(Unavailable):
            fetched.verify(signed(FIRST))
        assert fetched.token_revoked(signed(FIRST)) is True

    @pytest.mark.parametrize("wrong", ["status", "html", "large", "redirect", "away"])
    def test_a_set_that_cannot_be_fetched_is_unavailable_and_no_more(self, clock, provider, fetched, wrong):
        """It stops no start; nothing but a key set of this host is taken; the next call tries again."""
        match wrong:
            case "status":
                provider.status = 503
            case "html":
                provider.body = b"<html>"
            case "large":
                provider.body = b" " * (256 * 1024) + json.dumps({"keys": provider.keys}).encode()
            case "redirect":
                provider.status, provider.location = 302, provider.url.replace("127.0.0.1", "localhost")
            case _:
                provider.status, provider.location = 302, "file:///etc/passwd"
        fetched.__kept__.seal()
        with pytest.raises(Unavailable):
            fetched.verify(signed(FIRST))
        provider.status, provider.location, provider.body = 200, "", b""

        assert "alice" == fetched.verify(signed(FIRST)).subject

    def test_a_set_that_comes_byte_by_byte_is_given_up(self, clock, provider):
        """The time is for the whole body, and not for each byte: every check waits for it."""
        provider.is_slow = True
        token = declare(JWT(keys=JWKSet.from_url(provider.url, timeout=timedelta(seconds=0.1))))

        with pytest.raises(Unavailable, match="TimeoutError"):
            token.verify(signed(FIRST))

    @pytest.mark.parametrize(
        "url",
        ["http://idp.example/keys", "ftp://idp.example", "https://", "idp.example", "https://a b", 7, "https://u:p@idp.example"],
    )
    def test_a_url_that_is_not_safe_is_refused(self, url):
        """When it is declared."""
        with pytest.raises(DeclarationError, match="RK212"):
            JWKSet.from_url(url)

    @pytest.mark.parametrize("name", ["lifetime", "timeout", "max_stale"])
    def test_times_are_above_zero(self, name):
        """When it is declared."""
        with pytest.raises(DeclarationError, match=name):
            JWKSet.from_url("https://idp.example/keys", **{name: timedelta(0)})
