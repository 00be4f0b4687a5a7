"""Verifiers that others wrote, against the key set that a real server publishes: ``jose`` on Node, PyJWT's ``PyJWKClient``."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import attrs
import jwt as pyjwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.support.databases import MISSING
from tests.support.web_hosts import Host, serving

ISSUER, AUDIENCE = "https://accounts.example", "shop"
ALGORITHMS = ("ES256", "RS256", "EdDSA", "PS384", "ES512")
VERIFIER = Path(__file__).parent / "verify.mjs"
JOSE = "jose@6"
"""The package and its major version."""


def pem(algorithm):
    """Return a new private key for an algorithm."""
    curves = {"ES256": ec.SECP256R1(), "ES512": ec.SECP521R1()}
    if algorithm in curves:
        key = ec.generate_private_key(curves[algorithm])
    else:
        key = ed25519.Ed25519PrivateKey.generate() if algorithm == "EdDSA" else rsa.generate_private_key(65537, 2048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """The address of a server with a key for each algorithm, and for each one a token resource that signs with it."""
    folder = tmp_path_factory.mktemp("jwks")
    keys = [(f"key-{algorithm}", algorithm, pem(algorithm)) for algorithm in ALGORITHMS]
    secret = ("a-secret", "HS256", "a-secret-that-no-key-set-may-show-0123456789")
    host = Host(url=f"sqlite:///{folder}/tokens.db", table="tokens", keys=[*keys, secret], issuer=ISSUER, audience=AUDIENCE)
    host.resource(storage=True)
    signers = {
        key[1]: attrs.evolve(host, keys=[key], table=f"by_{number}").resource(storage=True) for number, key in enumerate(keys)
    }
    with serving(folder, host) as (address,):
        yield f"{address}/.well-known/jwks.json", signers


@pytest.fixture(scope="module")
def tokens(published):
    """An access token by each key."""
    return {algorithm: signer.issue_pair("alice").access.token for algorithm, signer in published[1].items()}


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    """A function that verifies tokens by ``jose``, which is installed for this run."""
    npm, program = shutil.which("npm"), shutil.which("node")
    if npm is None or program is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"{MISSING}npm and Node")
    folder = tmp_path_factory.mktemp("jose")
    shutil.copy(VERIFIER, folder)
    words = [npm, "install", "--prefix", str(folder), "--no-audit", "--no-fund", "--silent", JOSE]
    done = subprocess.run(words, cwd=folder, check=False, capture_output=True, text=True, timeout=120)
    if done.returncode and not os.environ.get("CI"):
        pytest.skip(f"{MISSING}npm install {JOSE}")
    assert 0 == done.returncode, done.stderr

    def verify(address, *lines):
        command = [program, VERIFIER.name, address]
        text = "\n".join(" ".join(line) for line in lines)
        done = subprocess.run(command, cwd=folder, check=False, input=text, capture_output=True, text=True, timeout=60)
        assert 0 == done.returncode, done.stderr
        return done.stdout.splitlines()

    return verify


@pytest.mark.slow
def test_jose_verifies_by_the_key_set(published, tokens, node):
    """Each algorithm passes; a wrong audience or issuer, a forged token and one of an unknown key do not."""
    address, signers = published
    header, payload, signature = tokens["ES256"].split(".")
    forged = f"{header}.{payload}.{signature[::-1]}"
    unknown = pyjwt.encode({"sub": "eve"}, "a-secret-of-a-stranger-0123456789-0123456789", headers={"kid": "unknown"})
    secret = pyjwt.encode({"sub": "eve"}, "a-secret-that-no-key-set-may-show-0123456789", headers={"kid": "a-secret"})

    good = node(address, *((token, ISSUER, AUDIENCE) for token in tokens.values()))
    bad = node(
        address,
        (tokens["RS256"], ISSUER, "another"),
        (tokens["RS256"], "https://another.example", AUDIENCE),
        (forged, ISSUER, AUDIENCE),
        (unknown, ISSUER, AUDIENCE),
        (secret, ISSUER, AUDIENCE),
    )

    assert [f"alice key-{algorithm}" for algorithm in signers] == good
    no_key = ["ERR_JOSE_NOT_SUPPORTED", "ERR_JWKS_NO_MATCHING_KEY"]
    assert ["ERR_JWT_CLAIM_VALIDATION_FAILED"] * 2 == bad[:2]
    assert "ERR_JWS_SIGNATURE_VERIFICATION_FAILED" == bad[2]
    assert all(code in no_key for code in bad[3:]), bad


def test_pyjwt_verifies_by_the_key_set(published, tokens):
    """``PyJWKClient`` finds the key of each token by its kid; a token of an unknown key has none."""
    address, signers = published
    client = pyjwt.PyJWKClient(address)

    def subject(algorithm):
        key = client.get_signing_key_from_jwt(tokens[algorithm])
        return pyjwt.decode(tokens[algorithm], key, [algorithm], audience=AUDIENCE, issuer=ISSUER)["sub"]

    assert ["alice"] * len(signers) == [subject(algorithm) for algorithm in signers]
    assert {f"key-{algorithm}" for algorithm in signers} == {key.key_id for key in client.get_signing_keys()}
    unknown = pyjwt.encode({"sub": "eve"}, "a-secret-of-a-stranger-0123456789-0123456789", headers={"kid": "a-secret"})
    with pytest.raises(pyjwt.PyJWKClientError):
        client.get_signing_key_from_jwt(unknown)
