"""Keys of key pairs that are given as an HMAC secret are refused in every form: a reader of a public key could sign with it."""

from __future__ import annotations

import base64
import datetime as dt
import json
import secrets

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import dsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import NameOID
from forge import private_key, public_pem
from jwk_forms import public_jwk

from resourcekit import env
from resourcekit.errors import DeclarationError
from resourcekit_tokens import JWT, SigningKey
from resourcekit_tokens.keys.key_formats import format_of

KINDS = ("RS256", "ES256", "ES384", "ES512", "ES256K", "EdDSA", "Ed448")
HMACS = ("HS256", "HS384", "HS512")


def certificate(name):
    """Return a certificate for a key of ``forge``, signed by itself."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "keys.example.org")])
    key = private_key(name)
    made = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key()).serial_number(7)
    made = made.not_valid_before(dt.datetime(2020, 1, 1)).not_valid_after(dt.datetime(2040, 1, 1))  # noqa: DTZ001  # as the builder wants it
    return made.sign(key, None if name.startswith("Ed") else SHA256())


def der(name):
    """Return the public key in DER."""
    return private_key(name).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def rfc_4716(name):
    """Return the public key as ssh-keygen -e writes it."""
    blob = private_key(name).public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).split()[1].decode()
    lines = "\n".join(blob[start : start + 70] for start in range(0, len(blob), 70))
    return f'---- BEGIN SSH2 PUBLIC KEY ----\nComment: "a key"\n{lines}\n---- END SSH2 PUBLIC KEY ----\n'


def texts():
    """Yield names and keys of key pairs in PEM, as files, variables and web pages hold it."""
    pem = public_pem("RS256")
    text = pem.decode() if isinstance(pem, bytes) else pem
    yield "PEM", text
    yield "PEM, CRLF", text.replace("\n", "\r\n")
    yield "PEM, one line", text.replace("\n", "\\n")
    yield "PEM behind a byte order mark", "\ufeff" + text
    yield "PEM, indented", "\n\t " + text.replace("\n", "\n    ")
    yield "PEM, wide dashes", text.replace("-----BEGIN PUBLIC", "-----  Begin  PUBLIC")
    yield "PEM in UTF-16", text.encode("utf-16")
    yield "PEM in UTF-16, bare", text.encode("utf-16-le")
    yield "PEM in base64", base64.b64encode(text.encode()).decode()
    yield "PEM in a data URL", "data:application/x-pem-file;base64," + base64.b64encode(text.encode()).decode()
    yield "PEM in quotes", json.dumps(text)
    yield "PEM without its lines", "".join(text.split("\n")[1:-2])
    yield "PEM with comments before", f"subject=/CN=keys\n{text}"


def encodings():
    """Yield keys in DER, as certificates, as JWKs, and as points."""
    for name in KINDS:
        yield f"{name} certificate in PEM", certificate(name).public_bytes(Encoding.PEM)
        yield f"{name} certificate in DER", certificate(name).public_bytes(Encoding.DER)
        yield f"{name} x5c", base64.b64encode(certificate(name).public_bytes(Encoding.DER)).decode()
        yield f"{name} DER", der(name)
        yield f"{name} DER with a line end", der(name) + b"\n"
        yield f"{name} DER in base64", base64.b64encode(der(name)).decode()
        yield f"{name} DER in lines", base64.encodebytes(der(name)).decode()
        yield f"{name} DER, URL-safe", base64.urlsafe_b64encode(der(name)).rstrip(b"=").decode()
        yield f"{name} DER in hex", der(name).hex()
        yield f"{name} private DER", private_key(name).private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        # As texts of a length that would do for each hash.
        yield f"{name} JWK Set", json.dumps({"keys": [public_jwk(name)]}, indent=2)
        yield f"{name} list of JWKs", json.dumps([public_jwk(name), public_jwk(name)])
        yield f"{name} JWK behind a byte order mark", "\ufeff" + json.dumps(public_jwk(name) | {"kid": "a" * 60})
        yield f"{name} JWK in base64", base64.b64encode(json.dumps(public_jwk(name) | {"kid": "a" * 60}).encode()).decode()
    for name in ("ES256", "ES384", "ES512", "ES256K"):
        point = private_key(name).public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        yield f"{name} point", point
        yield f"{name} point in base64", base64.b64encode(point).decode()
        yield (
            f"{name} traditional DER",
            private_key(name).private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption()),
        )
    yield "PKCS #1 in DER", private_key("RS256").public_key().public_bytes(Encoding.DER, PublicFormat.PKCS1)
    yield "PKCS #1 private", private_key("RS256").private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    yield "DSA", dsa.generate_private_key(2048).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def others():
    """Yield keys in the forms of SSH, PuTTY, XML and PGP."""
    for name in ("RS256", "ES256", "EdDSA"):
        line = private_key(name).public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
        yield f"{name} SSH", line + " alice@example.org"
        yield f"{name} SSH, indented", f"\n  {line}\n"
        yield f"{name} authorized_keys", f'command="/bin/true",no-pty {line} alice'
        yield f"{name} known_hosts", f"git.example.org,192.0.2.7 {line}"
        yield f"{name} SSH blob", line.split()[1]
        yield f"{name} SSH blob, binary", base64.b64decode(line.split()[1])
        yield f"{name} RFC 4716", rfc_4716(name)
        yield f"{name} PuTTY", f"PuTTY-User-Key-File-3: {line.split()[0]}\nEncryption: none\nPublic-Lines: 2\n{line.split()[1]}"
    yield (
        "security key",
        "sk-ssh-ed25519@openssh.com " + base64.b64encode(b"\0\0\0\x1ask-ssh-ed25519@openssh.com" + bytes(40)).decode(),
    )
    yield "XML", "<RSAKeyValue><Modulus>" + "A" * 80 + "</Modulus><Exponent>AQAB</Exponent></RSAKeyValue>"
    yield "PGP", "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n" + "m" * 80 + "\n-----END PGP PUBLIC KEY BLOCK-----"


FORMS = dict([*texts(), *encodings(), *others()])


@pytest.mark.parametrize("form", FORMS)
def test_a_key_of_a_key_pair_is_no_secret(form):
    """RK210 for each hash, for text and bytes, without any part of the key."""
    key = FORMS[form]
    for algorithm in HMACS:
        with pytest.raises(DeclarationError) as caught:
            SigningKey(kid="a", algorithm=algorithm, key=key)

        assert "RK210" == caught.value.code
        assert "SigningKey" in caught.value.hint or "JWK" in str(caught.value)
    plain = key if isinstance(key, bytes) else key.encode()
    assert plain[8:24].decode("latin-1") not in str(caught.value)


@pytest.mark.parametrize("form", ["RS256 certificate in PEM", "RS256 JWK Set", "ES256 SSH", "EdDSA DER in base64"])
def test_a_key_from_outside_is_no_secret_either(form, monkeypatch):
    """What a variable holds, or a function returns, is looked at in the same way."""
    key = FORMS[form]
    monkeypatch.setenv("PUBLISHED", key if isinstance(key, str) else key.decode())
    for source in (env("PUBLISHED"), lambda: key):
        (error,) = JWT(source).check_keys()

        assert "RK210" == error.code


def test_a_jwk_that_wraps_a_public_key_is_no_secret():
    """An octet key whose octets are a public key signs no better."""
    wrapped = {"kty": "oct", "k": base64.urlsafe_b64encode(der("ES256")).rstrip(b"=").decode()}
    with pytest.raises(DeclarationError) as caught:
        SigningKey(kid="a", algorithm="HS256", key=wrapped)

    assert "RK210" == caught.value.code


def test_what_is_drawn_is_taken():
    """Random secrets in the usual forms are never taken for a key."""
    for size in (32, 48, 64, 65, 97, 133):
        for _ in range(300):
            drawn = secrets.token_bytes(size)
            for secret in (drawn, b"\x30" + drawn, b"\x04" + drawn, drawn.hex().encode(), base64.b64encode(drawn)):
                assert "" == format_of(secret)


@pytest.mark.parametrize(
    "secret",
    [
        "{not JSON, but a secret that begins with a brace}",
        "[and one that begins with a bracket",
        "begin-------private-------key-of-mine",
        "a sentence about ssh keys and rsa keys that is long enough",
    ],
)
def test_what_looks_a_little_like_a_key_is_taken(secret):
    """A secret is refused for what it is, not for a character in it."""
    assert "" == format_of(secret.encode())
