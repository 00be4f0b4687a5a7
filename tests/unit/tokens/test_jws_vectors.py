"""Signatures of every algorithm as a foreign suite of vectors would test them: keys as JWKs, valid and invalid messages.

The invalid ones are those of ``hostile_signatures``; here they meet a resource that knows the one key of their group. The
messages of the RFCs are no claims, so of a right signature all that can be seen is that it is not what is refused.
"""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from forge import (
    ALGORITHMS,
    CURVES,
    SECRET,
    START,
    algorithm_of,
    claims,
    header,
    private_key,
    raw_signature,
    sha,
    signed,
    with_signature,
)
from hostile_signatures import ORDERS, wrongly_signed
from jwk_forms import private_jwk, public_jwk

from resourcekit.testing import ManualClock
from resourcekit_tokens import JWT, SigningKey
from resourcekit_tokens.errors import BadSignature, InvalidToken
from resourcekit_tokens.signature import verify_signature

named = pytest.mark.parametrize


def verifier(name):
    """What a harness makes of the key of a group: the public JWK, or the secret one."""
    jwk = private_jwk(name) if name.startswith("HS") else public_jwk(name)
    jwk |= {"kid": name, "alg": algorithm_of(name), "use": "sig"}
    return JWT(SigningKey(kid=jwk["kid"], algorithm=jwk["alg"], key=jwk, verify_only=True))


HEADERS = {
    "the least": lambda name: header(name, typ="JWT"),
    "with its kid": lambda name: header(name, kid=name),
    "white space": lambda name: f'{{ "kid" : "{name}",\r\n\t"alg":\n"{algorithm_of(name)}" }}',
    "white space around": lambda name: f' \n{{"alg":"{algorithm_of(name)}"}}\t\n',
    "escapes": lambda name: f'{{"\\u0061lg":"{algorithm_of(name)}","x":"\\ud83d\\udd11"}}',
    "unknown parameters": lambda name: header(name, x=[{"y": None}], cty="json", zip="no"),
    "addresses of keys": lambda name: header(name, jku="https://a.example", x5u="https://b.example", x5t="x"),
    "its own public key": lambda name: header(name, jwk={"kty": "EC"}),
    "an access token": lambda name: header(name, typ="at+jwt"),
    "an unusual type": lambda name: header(name, typ="application/jwt; v=1"),
    "long": lambda name: header(name, x="x" * 3000),
}
PAYLOADS = {
    "white space": '{ "jti" : "j" ,\r\n "sub":"alice" }\n',
    "escapes": '{"\\u006ati":"j","sub":"\\u0061lice","n":"\\ud83d\\udd11\\u0000"}',
    "code points": '{"jti":"\U0001f511é","sub":"alice"}',
    "nested": '{"jti":"j","sub":"alice","n":{"jti":{"jti":[{"jti":1}]}}}',
    "64 levels": '{"jti":"j","sub":"alice","n":' + "[" * 63 + "]" * 63 + "}",
    "brackets in text": '{"jti":"j","sub":"alice","n":"' + "[{" * 500 + '\\""}',
    "colons and commas in text": '{"jti":"j","sub":"alice","n":"::,,\\":,","m":[1,2]}',
    "numbers": '{"jti":"j","sub":"alice","n":[0,-0,0.5,1e3,1E+2,-1.5e-7,123456789012345678901234567890]}',
    "the longest jti": '{"jti":"' + "j" * 255 + '","sub":"alice"}',
    "the longest jti, beyond 16 bits": '{"jti":"' + "\U0001f511" * 255 + '","sub":"alice"}',
    "names that look like ours": '{"jti":"j","sub":"alice","JTI":"x","jti ":"x","":"x","__proto__":{"sub":"x"}}',
}


class TestValid:
    """Right signatures verify, however the parts are written."""

    @named("name", ALGORITHMS)
    @named("kind", HEADERS)
    def test_headers(self, name, kind):
        """Any JSON object that names the key's algorithm, and asks for nothing that must be understood."""
        token = signed(claims(), name, head=HEADERS[kind](name))

        assert "alice" == verify_signature(verifier(name), token).subject

    @named("kind", PAYLOADS)
    def test_payloads(self, kind):
        """Any JSON object, read unchanged."""
        assert "alice" == verify_signature(JWT(SECRET), signed(PAYLOADS[kind])).subject

    def test_sizes_up_to_the_limit(self):
        """16 KiB, to the character."""
        tokens = {len(token): token for token in (signed(claims(n="n" * length)) for length in range(12_050, 12_250))}
        fitting = max(length for length in tokens if length <= 16 * 1024)

        assert 16 * 1024 - 3 < fitting
        assert "alice" == verify_signature(JWT(SECRET), tokens[fitting]).subject
        with pytest.raises(InvalidToken, match="16 KiB"):
            verify_signature(JWT(SECRET), tokens[min(length for length in tokens if length > 16 * 1024)])

    @named("first", [0, 255])
    def test_macs_with_an_unusual_beginning(self, first):
        """Sixteen bits of zeros or ones are a matter of chance; some readers trip over them."""
        tokens = (signed(claims(n=n)) for n in range(2_000_000))
        token = next(t for t in tokens if base64.urlsafe_b64decode(t.rpartition(".")[2] + "=")[:1] == bytes([first]))

        assert "alice" == verify_signature(JWT(SECRET), token).subject

    @named("name", CURVES)
    def test_the_other_signature_of_a_curve(self, name):
        """(r, n - s) is as right as (r, s): a fact of ECDSA, so no token may be known by its text."""
        token = signed(claims(), name)
        message = token.rpartition(".")[0].encode()
        r, s = decode_dss_signature(private_key(name).sign(message, ec.ECDSA(sha(name))))
        for number in (s, ORDERS[name] - s):
            twin = with_signature(token, raw_signature(name, r, number))

            assert "alice" == verify_signature(verifier(name), twin).subject

    @named("name", ["ES256", "ES512"])
    def test_numbers_with_leading_zeros(self, name):
        """R and s keep their length (RFC 7518, 3.4)."""
        size = (CURVES[name].key_size + 7) // 8
        tokens = (signed(claims(n=n), name) for n in range(5000))
        signatures = ((token, base64.urlsafe_b64decode(token.rpartition(".")[2] + "==")) for token in tokens)
        token = next(token for token, raw in signatures if 0 in (raw[0], raw[size]))

        assert "alice" == verify_signature(verifier(name), token).subject

    def test_verifying_twice_tells_the_same(self):
        """Nothing of a token is kept."""
        options, token = JWT(SECRET), signed(claims())

        assert dict(verify_signature(options, token)) == dict(verify_signature(options, token)) == claims()


class TestInvalid:
    """Against the one key of their group, as against many: never verified."""

    @named("name", ALGORITHMS)
    def test_signatures_of_a_group(self, name):
        """Every hostile signature, whatever it was made for."""
        options = verifier(name)
        for hostile in wrongly_signed():
            with pytest.raises(InvalidToken):
                verify_signature(options, hostile.token)

    @named("name", ALGORITHMS)
    @named("other", ALGORITHMS)
    def test_tokens_of_other_groups(self, name, other):
        """A key verifies what was signed with it by its algorithm, and nothing else."""
        token = signed(claims(), other)
        if name == other:
            assert "alice" == verify_signature(verifier(name), token).subject
        else:
            with pytest.raises(BadSignature):
                verify_signature(verifier(name), token)

    @named("name", ALGORITHMS)
    def test_the_algorithm_is_the_keys(self, name):
        """A header that names another algorithm is refused before any computation, even over a right signature."""
        for said in ALGORITHMS:
            if algorithm_of(said) != algorithm_of(name):
                with pytest.raises(BadSignature) as caught:
                    verify_signature(verifier(name), signed(claims(), name, head=header(said)))

                assert "alg" == caught.value.claim

    @named("name", ["HS256", "ES256", "EdDSA", "RS256"])
    def test_no_single_character_can_be_changed(self, name):
        """Every other character at every place: the token never verifies."""
        options, token = verifier(name), signed(claims(), name)
        alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/ \n"
        step = 1 if name == "HS256" else 7
        for place in range(len(token)):
            for letter in alphabet[place % step :: step]:
                if letter != token[place]:
                    with pytest.raises(InvalidToken):
                        verify_signature(options, token[:place] + letter + token[place + 1 :])

    @named("name", ["HS256", "ES256"])
    def test_no_character_can_be_left_out_or_doubled(self, name):
        """At every place."""
        options, token = verifier(name), signed(claims(), name)
        for place in range(len(token)):
            for changed in (token[:place] + token[place + 1 :], token[:place] + token[place] + token[place:]):
                if changed != token:
                    with pytest.raises(InvalidToken):
                        verify_signature(options, changed)

    def test_parts_of_two_tokens(self):
        """Each part comes from a right token, and the whole is wrong."""
        options = JWT(SECRET)
        one = signed(claims(jti="one"), head=header(kid=None) | {"kid": "a"}).split(".")
        two = signed(claims(jti="two", sub="root")).split(".")
        mixed = [[(one, two)[(which >> part) & 1][part] for part in range(3)] for which in range(1, 7)]
        for parts in mixed:
            with pytest.raises(BadSignature):
                verify_signature(options, ".".join(parts))

    def test_the_payload_is_looked_at_last(self):
        """A token that no trusted key has signed is not parsed: the error blames the signature, not the payload."""
        with pytest.raises(BadSignature):
            verify_signature(JWT(SECRET), signed("not JSON at all", number=1))
        with pytest.raises(InvalidToken) as caught:
            verify_signature(JWT(SECRET), signed("not JSON at all"))

        assert InvalidToken is type(caught.value)


RFC_VECTORS = {
    "RFC 7515, A.1": (
        "HS256",
        {"kty": "oct", "k": "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"},
        (
            "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9"
            ".eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
            ".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
        ),
    ),
    "RFC 7515, A.3": (
        "ES256",
        {
            "kty": "EC",
            "crv": "P-256",
            "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
            "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
        },
        (
            "eyJhbGciOiJFUzI1NiJ9"
            ".eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
            ".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
        ),
    ),
    "RFC 8037, A.4": (
        "EdDSA",
        {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},
        (
            "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc"
            ".hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
        ),
    ),
}


@named("name", RFC_VECTORS)
def test_the_examples_of_the_rfcs(name):
    """Their signatures are right: what is refused is that they lack a jti, or are no claims at all."""
    algorithm, jwk, token = RFC_VECTORS[name]
    options = JWT(SigningKey(kid="rfc", algorithm=algorithm, key=jwk, verify_only=True))
    head, body, signature = token.split(".")
    damaged = f"{head}.{body}.{'A' if signature[0] != 'A' else 'B'}{signature[1:]}"

    with pytest.raises(InvalidToken) as caught:
        verify_signature(options, token)
    assert InvalidToken is type(caught.value)
    with pytest.raises(BadSignature):
        verify_signature(options, damaged)


def test_verify_itself_on_each_algorithm(declare):
    """The whole way of a user: sign here, verify there, with the public half only."""
    with ManualClock(START):
        for name in ALGORITHMS:
            issuer = declare(jwt=JWT(SigningKey(kid=name, algorithm=algorithm_of(name), key=private_key(name))))
            other = declare(jwt=verifier(name))
            token = issuer.issue("alice").token

            assert "alice" == other.verify(token).subject
            assert other.token_revoked(token) is False
            other.revoke(token)
            assert other.token_revoked(token) is True
