"""The keys that JWT and SigningKey take, in every form, those that they refuse, and what they never show."""

from __future__ import annotations

import base64
import contextlib
import json
import threading

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa, x25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from forge import (
    ALGORITHMS,
    CURVES,
    SECRET,
    START,
    algorithm_of,
    claims,
    header,
    private_key,
    private_pem,
    public_pem,
    rsa_key,
    signed,
)
from jwk_forms import private_jwk, public_jwk

from resourcekit import env
from resourcekit.errors import DeclarationError
from resourcekit.testing import ManualClock
from resourcekit_tokens import JWT, SigningKey
from resourcekit_tokens.errors import BadSignature
from resourcekit_tokens.pairs import new_claims, sign
from resourcekit_tokens.signature import verify_signature

ASYMMETRIC = [name for name in ALGORITHMS if not name.startswith("HS")]
HMACS = {"HS256": 32, "HS384": 48, "HS512": 64}
named = pytest.mark.parametrize


def key(name, material, **more):
    """A signing key of one of ALGORITHMS."""
    return SigningKey(kid=name, algorithm=algorithm_of(name), key=material, **more)


def round_trip(options):
    """Sign by these options and verify by them again."""
    token, said = sign(options, new_claims(options, subject="alice", moment=START))
    assert dict(verify_signature(options, token)) == dict(said)
    return token


def refusal(*args, **options):
    """The code of the error that a key is refused with."""
    with pytest.raises(DeclarationError) as caught:
        JWT(*args, **options) if args else SigningKey(**{"kid": "k", **options})
    return caught.value.code


class TestForms:
    """A key may be given in whatever form its owner keeps it."""

    @named("name", ASYMMETRIC)
    @named("form", ["PEM text", "PEM bytes", "object", "JWK", "JWK text", "JWK bytes", "env PEM", "env JWK", "callable"])
    def test_private_keys(self, name, form, monkeypatch):
        """Each form signs, and verifies what it signed and what others signed with the same key."""
        pem, jwk = private_pem(name), private_jwk(name)
        monkeypatch.setenv("HOSTILE_PEM", pem.decode())
        monkeypatch.setenv("HOSTILE_JWK", json.dumps(jwk))
        forms = {"PEM text": pem.decode(), "PEM bytes": pem, "object": private_key(name), "JWK": jwk}
        forms |= {"JWK text": json.dumps(jwk), "JWK bytes": json.dumps(jwk).encode(), "callable": lambda: pem}
        forms |= {"env PEM": env("HOSTILE_PEM"), "env JWK": env("HOSTILE_JWK")}
        options = JWT(key(name, forms[form]))

        assert round_trip(options).count(".") == 2
        assert "alice" == verify_signature(options, signed(claims(), name)).subject

    @named("name", ASYMMETRIC)
    @named("form", ["PEM", "object", "JWK", "JWK text"])
    def test_public_keys(self, name, form):
        """The public half verifies, and is refused unless it is said that it never signs."""
        jwk = public_jwk(name)
        forms = {"PEM": public_pem(name), "object": private_key(name).public_key(), "JWK": jwk, "JWK text": json.dumps(jwk)}
        options = JWT(key(name, forms[form], verify_only=True))

        assert "alice" == verify_signature(options, signed(claims(), name)).subject
        assert "RK211" == refusal(algorithm=algorithm_of(name), key=forms[form])

    @named("name", HMACS)
    @named("form", ["text", "bytes", "JWK", "JWK text", "callable"])
    def test_secrets(self, name, form):
        """A secret is text, bytes, or a JWK of the type oct."""
        jwk = private_jwk(name)
        forms = {"text": SECRET.decode(), "bytes": SECRET, "JWK": jwk, "JWK text": json.dumps(jwk), "callable": lambda: SECRET}
        options = JWT(key(name, forms[form]))

        assert round_trip(options)
        assert "alice" == verify_signature(options, signed(claims(), name)).subject

    def test_a_secret_alone_is_for_hs256(self):
        """Without a SigningKey there is no kid, and the tokens name none."""
        token = round_trip(JWT(SECRET))

        assert '{"alg":"HS256","typ":"JWT"}' == base64.urlsafe_b64decode(token.partition(".")[0] + "==").decode()

    def test_what_openssl_writes_before_a_curve_key(self):
        """`openssl ecparam -genkey` puts a block with the curve's parameters in front of the key."""
        parameters = b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
        pem = private_key("ES256").private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())

        assert round_trip(JWT(key("ES256", parameters + pem)))

    def test_traditional_pem(self):
        """PKCS #1 for RSA, private and public."""
        pem = rsa_key().private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
        public = rsa_key().public_key().public_bytes(Encoding.PEM, PublicFormat.PKCS1)

        assert round_trip(JWT(key("RS256", pem)))
        assert "alice" == verify_signature(JWT(key("RS256", public, verify_only=True)), signed(claims(), "RS256")).subject


class TestRefused:
    """A key that is weak, or no key for its algorithm, is refused where it is declared."""

    @named(("name", "length"), HMACS.items())
    def test_secrets_shorter_than_the_hash(self, name, length):
        """RFC 7518, 3.2: at least as many bytes as the hash has; bytes count, not characters."""
        assert "RK209" == refusal(algorithm=name, key=b"k" * (length - 1))
        assert "RK209" == refusal(algorithm=name, key="k" * (length - 1))
        assert round_trip(JWT(key(name, b"k" * length)))
        assert round_trip(JWT(key(name, "é" * (length // 2))))

    @named("secret", ["", b"", "secret", b"\0" * 31, "       "])
    def test_no_secret_to_speak_of(self, secret):
        """Neither alone nor in a SigningKey nor in a list."""
        assert ["RK209"] * 2 == [refusal(secret), refusal([SECRET, secret])]

    def test_small_rsa_keys(self):
        """RFC 7518, 3.3: 2048 bits at least."""
        weak = rsa.generate_private_key(65537, 1024)

        assert ["RK210"] * 2 == [refusal(algorithm=name, key=weak) for name in ("RS256", "PS256")]
        assert "RK210" == refusal(algorithm="RS256", key=weak.public_key(), verify_only=True)

    @named("name", ["RS256", "PS512", "ES256", "ES384", "ES512", "ES256K", "EdDSA"])
    def test_keys_of_another_kind(self, name):
        """An algorithm takes keys of one type, and on one curve (RFC 7518, 3.4), in any form."""
        fitting = {"RS256": "RSA", "PS512": "RSA", "EdDSA": "Ed"}.get(name, name)
        others = {"RSA": rsa_key(), "Ed": private_key("EdDSA"), **{curve: private_key(curve) for curve in CURVES}}
        for kind, other in others.items():
            if kind != fitting:
                assert "RK210" == refusal(algorithm=name, key=other)
                assert "RK210" == refusal(algorithm=name, key=public_pem({"RSA": "RS256", "Ed": "EdDSA"}.get(kind, kind)))

    def test_curves_that_jwa_does_not_know(self):
        """P-224 and the like have no algorithm."""
        assert "RK210" == refusal(algorithm="ES256", key=ec.generate_private_key(ec.SECP224R1()))

    @named("name", ["RS256", "ES256", "EdDSA"])
    @named("algorithm", HMACS)
    def test_public_keys_as_secrets(self, name, algorithm):
        """Every client that knows the public key could sign with it."""
        pem = public_pem(name)
        der = private_key(name).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        ssh = private_key(name).public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
        forms = [pem, pem.decode(), b"\n" + pem, private_pem(name), ssh, public_jwk(name), json.dumps(public_jwk(name))]
        forms += [lambda: pem, *([der] if len(der) >= HMACS[algorithm] else [])]
        codes = []
        for form in forms:
            with pytest.raises(DeclarationError) as caught:
                SigningKey(kid="k", algorithm=algorithm, key=form).material()
            codes.append(caught.value.code)

        assert {"RK210"} == set(codes)

    @named("given", [None, 7, 1.5, True, object(), (), ["x"], bytearray(64), x25519.X25519PrivateKey.generate(), {"kty"}])
    @named("algorithm", ["HS256", "RS256", "EdDSA"])
    def test_what_is_no_key(self, algorithm, given):
        """Neither text nor a key object that signs."""
        assert "RK203" == refusal(algorithm=algorithm, key=given)

    def test_keys_that_do_not_sign(self):
        """DSA has no algorithm in JOSE."""
        assert "RK203" == refusal(algorithm="RS256", key=dsa.generate_private_key(1024))

    @named("given", [None, 7, object(), {"kty": "oct"}, bytearray(64), [None], [[SECRET]]])
    def test_what_jwt_cannot_take(self, given):
        """A SigningKey says what a key is for."""
        assert "RK203" == refusal(given)

    def test_no_keys(self):
        """An empty list would verify nothing."""
        assert ["RK205", "RK205"] == [refusal([]), refusal(())]

    @named("pem", ["not a key", "", b"\xff\xfe", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"])
    def test_broken_pem(self, pem):
        """The parser's own words are not passed on."""
        assert "RK210" == refusal(algorithm="RS256", key=pem)

    def test_encrypted_pem(self):
        """There is no place for its password; the callable may decrypt it."""
        locked = rsa_key().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"password"))

        assert "RK210" == refusal(algorithm="RS256", key=locked)

    @named("algorithm", ["none", "NONE", "", "hs256", "HS257", "RSA", "Ed25519", "ES521", "A128KW", None, 7])
    def test_unknown_algorithms(self, algorithm):
        """None of them is a supported algorithm, and `none` least of all."""
        assert "RK202" == refusal(algorithm=algorithm, key=SECRET)

    @named("kid", ["", "k" * 256, "k\0", "\ud800", 7, b"k", True])
    def test_kids_that_no_reader_takes_back(self, kid):
        """Text of 1 to 255 characters."""
        assert "RK201" == refusal(kid=kid, algorithm="HS256", key=SECRET)

    def test_a_kid_twice(self):
        """Two keys of one name are a mistake; none is tried for the other."""
        one, two = key("HS256", SECRET), SigningKey(kid="HS256", algorithm="HS512", key=SECRET)

        assert "RK204" == refusal([one, two])
        assert ["a", "b", None, None] == [
            each.kid for each in JWT([SigningKey(kid=kid, algorithm="HS256", key=SECRET) for kid in ("a", "b", None, None)]).keys
        ]

    def test_keys_that_never_sign(self):
        """Who only verifies cannot issue, and hears so at the first try."""
        options = JWT([key(name, private_key(name), verify_only=True) for name in ("HS256", "EdDSA")])
        with pytest.raises(DeclarationError) as caught:
            sign(options, claims())

        assert "RK211" == caught.value.code
        assert "alice" == verify_signature(options, signed(claims(), "EdDSA")).subject


class TestFromOutside:
    """Keys that come from the environment or a callable are read at first use, once."""

    def test_nothing_is_read_at_declaration(self):
        """Importing a module must not need its secrets."""
        calls = []
        options = JWT([env("NOT_SET_ANYWHERE"), lambda: calls.append(1) or SECRET])

        assert ([], 2) == (calls, len(options.keys))

    def test_it_is_read_once(self):
        """Eight threads that begin together ask the callable once, though it takes its time."""
        calls, start, met = [], threading.Barrier(8), threading.Barrier(2)

        def ask():
            calls.append(1)
            with contextlib.suppress(threading.BrokenBarrierError):
                met.wait(0.2)  # seconds; a second caller would end it at once
            return SECRET

        signing = key("HS256", ask)

        def use():
            start.wait()
            signing.material()

        threads = [threading.Thread(target=use) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert [1] == calls

    def test_a_failed_reading_is_tried_again(self):
        """The vault was sealed at the first try."""
        answers = iter([ConnectionError("sealed"), SECRET])

        def ask():
            answer = next(answers)
            if isinstance(answer, Exception):
                raise answer
            return answer

        options = JWT(ask)
        with pytest.raises(ConnectionError):
            round_trip(options)

        assert round_trip(options)

    @named(("answer", "code"), [(None, "RK203"), ("", "RK209"), ("short", "RK209"), (7, "RK203"), (public_pem("ES256"), "RK210")])
    def test_what_they_answer_is_checked(self, answer, code):
        """As strictly as a key that is at hand."""
        with pytest.raises(DeclarationError) as caught:
            round_trip(JWT(lambda: answer))

        assert code == caught.value.code

    @named("value", [None, ""])
    def test_a_variable_that_is_not_set(self, declare, monkeypatch, value):
        """Verifying raises an error with the cure; the check fails closed."""
        monkeypatch.delenv("HOSTILE_SECRET", raising=False)
        if value is not None:
            monkeypatch.setenv("HOSTILE_SECRET", value)
        resource = declare(jwt=JWT(env("HOSTILE_SECRET")))
        token = signed(claims())
        with ManualClock(START):
            with pytest.raises(DeclarationError, match="HOSTILE_SECRET"):
                resource.verify(token)
            with pytest.raises(DeclarationError, match="HOSTILE_SECRET"):
                resource.revoke(token)

            assert resource.token_revoked(token) is True


class TestNothingIsShown:
    """No secret in a repr, an error, or what led to an error."""

    MARKED = "xyzzy-" * 12

    @named("given", [MARKED, MARKED.encode(), {"kty": "oct", "k": "xyzzyxyz" * 8}])
    def test_in_a_repr(self, given):
        """Of the key, the material, and JWT."""
        signing = key("HS256", given)
        shown = f"{signing!r} {signing} {signing.material()!r} {JWT([signing])!r} {JWT(signing)!s} {signing.label}"

        assert "xyzzy" not in shown
        assert "HS256" in shown

    @named("algorithm", ["HS256", "HS512", "RS256", "ES256", "EdDSA", "nonsense", MARKED])
    def test_in_an_error(self, algorithm):
        """Whatever is wrong with it, and wherever it was put by mistake."""
        wrong = ["xyzzy", b"xyzzy", f"-----BEGIN PRIVATE KEY-----\n{self.MARKED}\n-----END PRIVATE KEY-----", self.MARKED]
        wrong += [{"kty": "xyzzy"}, {"kty": "RSA", "n": "xyzzy!"}, {"kty": "oct", "k": "xyzzy"}, ["xyzzy"], '{"kty":"xyzzy"}']
        wrong += [{"kty": "OKP", "crv": "Ed25519", "x": "xyzz"}, {"kty": "EC", "crv": "xyzzy"}, {"kty": "oct", "use": "xyzzy"}]
        for given in wrong:
            for source in (given, lambda given=given: given):
                shown: list[str] = []
                try:
                    SigningKey(kid="k", algorithm=algorithm, key=source).material()
                except DeclarationError as error:
                    shown += [str(error), repr(error), repr(vars(error)), repr(error.__cause__), repr(error.__context__)]

                assert "xyzzy" not in "".join(shown)

    def test_a_jwk_that_is_guarded_by_mistake(self):
        """A private JWK given for another algorithm is not shown either."""
        jwk = private_jwk("RS256")
        with pytest.raises(DeclarationError) as caught:
            SigningKey(kid="k", algorithm="ES256", key=jwk)

        assert not [value for value in jwk.values() if len(value) > 8 and value in str(caught.value)]


class TestRotation:
    """Several keys: the first signs, all verify."""

    def test_the_first_that_may_signs(self):
        """A key that only verifies is passed over, at each place of the list."""
        options = JWT([key("HS256", SECRET, verify_only=True), key("ES256", private_key("ES256")), key("HS512", SECRET)])

        assert ("ES256", "ES256") == (options.signing_key.kid, options.signing_key.algorithm)

    def test_a_token_without_kid_is_tried_with_every_key_of_its_algorithm(self):
        """Tokens from before the keys had names still verify."""
        old, new = bytes(byte ^ 1 for byte in SECRET), SECRET
        options = JWT([SigningKey(kid="new", algorithm="HS256", key=new), SigningKey(kid="old", algorithm="HS256", key=old)])

        assert ["alice", "alice"] == [verify_signature(options, signed(claims(), number=n)).subject for n in (0, 1)]
        with pytest.raises(BadSignature):
            verify_signature(options, signed(claims(), number=2))

    def test_a_token_with_a_kid_is_tried_with_that_key_only(self):
        """A valid signature by another of the own keys is a wrong one."""
        options = JWT([SigningKey(kid=f"k{n}", algorithm="HS256", key=private_key("HS256", n)) for n in (0, 1)])

        assert "alice" == verify_signature(options, signed(claims(), head=header(kid="k1"), number=1)).subject
        with pytest.raises(BadSignature):
            verify_signature(options, signed(claims(), head=header(kid="k0"), number=1))

    def test_a_key_that_left_verifies_no_more(self, declare):
        """Leaving out a key ends all its tokens, whatever the store says."""
        before = declare(jwt=JWT([key("HS256", SECRET), key("ES256", private_key("ES256"))]))
        after = declare(jwt=JWT([key("ES256", private_key("ES256"))]))
        token = before.issue("alice").token

        assert before.token_revoked(token) is False
        assert after.token_revoked(token) is True
