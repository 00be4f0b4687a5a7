"""Well-formed tokens that no trusted key has signed, each with its reason: only a resource with keys can refuse them.

The resource knows one key of each algorithm, and the algorithm's name is its kid.
"""

from __future__ import annotations

import functools
import hashlib
import json
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from forge import (
    ALGORITHMS,
    SECRET,
    as_json,
    b64,
    header,
    hs256,
    private_key,
    public_pem,
    raw_signature,
    rsa_key,
    seal,
    sha,
    signed,
    with_signature,
)
from hostile_corpus import MARK, Hostile, said

ORDERS = {
    "ES256": 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    "ES384": 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973,
    "ES512": int("01" + "FF" * 32 + "FA51868783BF2F966B7FCC0148F709A5D03BB5C9B8899C47AEBB6FB71E91386409", 16),
    "ES256K": 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141,
}
"""How many points the curves have; r and s lie between 1 and one less (SEC 1, 4.1.4)."""

EDWARDS_ORDER = 2**252 + 27742317777372353535851937790883648493
"""The order of Ed25519's group: s must be below it (RFC 8032, 5.1.7)."""


def _octets(number: int, length: int) -> bytes:
    """Return a number in so many bytes; in one more where it does not fit."""
    return number.to_bytes(length + (number >= 256**length), "big")


def of(name: str, **more: object) -> str:
    """A rightly signed token of this algorithm, under its kid."""
    return signed(said(), name, head=header(name, kid=name, **more))


def forged(head: dict[str, object], name: str, number: int = 0) -> str:
    """A token with this header, signed by the key of an algorithm."""
    return signed(said(), name, head=head, number=number)


def _changed(raw: bytes, place: int, bit: int = 1) -> bytes:
    changed = bytearray(raw)
    changed[place] ^= bit
    return bytes(changed)


def of_every_algorithm() -> list[Hostile]:
    """What can be done to any token, whatever its algorithm."""
    made: list[Hostile] = []
    for name in ALGORITHMS:
        token = of(name)
        message, _, _ = token.rpartition(".")
        head, body = message.split(".")
        right = seal(name, message.encode())
        others = b64(as_json({**said(), "sub": f"{MARK}-admin"}))
        variants: dict[str, tuple[str, str]] = {
            "first bit flipped": (with_signature(token, _changed(right, 0, 128)), "a damaged signature"),
            "last bit flipped": (with_signature(token, _changed(right, -1)), "a damaged signature"),
            "a byte short": (with_signature(token, right[:-1]), "cut off"),
            "half of it": (with_signature(token, right[: len(right) // 2]), "cut off; HMACs must not be truncated"),
            "a byte too long": (with_signature(token, right + b"\0"), "padded"),
            "a byte before it": (with_signature(token, b"\0" + right), "padded"),
            "twice": (with_signature(token, right + right), "the right one is in it"),
            "all zero": (with_signature(token, bytes(len(right))), "no signature"),
            "all ones": (with_signature(token, b"\xff" * len(right)), "no signature"),
            "one byte": (with_signature(token, b"\0"), "no signature"),
            "in hexadecimal": (with_signature(token, right.hex().encode()), "another spelling"),
            "other payload": (f"{head}.{others}.{b64(right)}", "the signature of another payload"),
            "other header": (f"{b64(as_json(header(name, kid=name, x=1)))}.{body}.{b64(right)}", "of another header"),
            "of the payload alone": (with_signature(token, seal(name, body.encode())), "not over the whole message"),
            "of the decoded parts": (with_signature(token, seal(name, as_json(said()))), "not over the encoded form"),
            "of a message with a dot": (with_signature(token, seal(name, f"{message}.".encode())), "a dot too many"),
            "of nothing": (with_signature(token, seal(name, b"")), "the signature of an empty message"),
            "by another key": (forged(header(name, kid=name), name, 1), "a key of the same kind, not the resource's"),
            "by another key, no kid": (forged(header(name), name, 1), "all keys of the algorithm are tried"),
        }
        made += [Hostile(f"{name}: {what}", token, why) for what, (token, why) in variants.items()]
    return made


def of_names() -> list[Hostile]:
    """What a header may say about algorithms and keys."""
    made = [
        Hostile(f"alg: {word}", forged(header(alg=word), "HS256"), "no supported algorithm", "alg")
        for word in ("hs256", "HS256 ", " HS256", "HS-256", "HS257", "HS1", "", "RSA", "A256GCMKW", MARK, "HS256\0", "ES521")
    ]
    made += [
        Hostile(f"kid: {kid}", forged(header(kid=kid), "HS256"), "no key of the resource", "kid")
        for kid in (MARK, "hs256", "HS256 ", "../../../../dev/null", "file:///dev/null", "' OR '1'='1", "x' UNION SELECT 'xyzzy'")
    ]
    made += [
        Hostile(f"{name} under the kid of {kid}", forged(header(name, kid=kid), name), "RFC 8725, 3.1: the key fixes it", "alg")
        for name, kid in (
            *(("HS256", kid) for kid in ALGORITHMS if kid != "HS256"),
            *(("RS256", "PS256"), ("PS256", "RS256"), ("RS256", "RS512"), ("ES256", "ES384"), ("ES256K", "ES256")),
            *(("EdDSA", "ES256"), ("ES256", "EdDSA"), ("HS512", "HS256")),
        )
    ]
    made += [
        Hostile(f"{name} said, {by} signed", forged(header(name, kid=name), by), "the signature of another algorithm")
        for name, by in (
            *(("HS256", "HS512"), ("HS512", "HS256"), ("RS256", "PS256"), ("PS256", "RS256"), ("RS256", "RS512")),
            *(("ES256", "ES256K"), ("ES384", "ES256"), ("EdDSA", "Ed448"), ("EdDSA", "HS256"), ("ES256", "RS256")),
        )
    ]
    jwk = {"kty": "oct", "k": b64(MARK * 10)}
    embedded: dict[str, Any] = {
        "jwk": jwk,
        "jku": "https://xyzzy.example/keys.json",
        "x5u": "https://xyzzy.example/cert.pem",
        "x5c": ["xyzzy"],
        "x5t": "xyzzy",
    }
    made += [
        Hostile(f"{name} in the header", hs256((MARK * 10).encode(), header(**{name: value}), said()), "a key of their own")
        for name, value in embedded.items()
    ]
    return made


def of_confusion() -> list[Hostile]:
    """Public keys taken for secrets, and secrets that are known to all."""
    made: list[Hostile] = []
    for name in ("RS256", "ES256", "EdDSA"):
        public = private_key(name).public_key()
        forms = {
            "PEM": public_pem(name),
            "PEM without its last newline": public_pem(name).rstrip(),
            "DER": public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
            "one line": b"".join(public_pem(name).splitlines()[1:-1]),
        }
        for form, secret in forms.items():
            for kid in (None, name):
                head = header(**({} if kid is None else {"kid": kid}))
                what = f"HS256 with {name}'s public key as {form}, kid {kid}"
                made.append(Hostile(what, hs256(secret, head, said()), "it is known to all", "alg" if kid else None))
    known = {"empty": b"", "a NUL": b"\0", "secret": b"secret", "None": b"None", "null": b"null", "its kid": b"HS256"}
    known |= {"in other letters": SECRET.swapcase(), "its first half": SECRET[:32], "with a newline": SECRET + b"\n"}
    known |= {"as JSON": json.dumps(SECRET.decode()).encode(), "in base64": b64(SECRET).encode()}
    return made + [
        Hostile(f"secret: {what}", hs256(secret, header(kid="HS256"), said()), "not our secret") for what, secret in known.items()
    ]


def of_curves() -> list[Hostile]:
    """Numbers that are none on the curve, and other spellings of right ones (CVE-2022-21449 and its like)."""
    made: list[Hostile] = []
    for name, order in ORDERS.items():
        token = of(name)
        message = token.rpartition(".")[0].encode()
        r, s = decode_dss_signature(private_key(name).sign(message, _ecdsa(name)))
        size = (order.bit_length() + 7) // 8
        edges = {"0": 0, "1": 1, "n - 1": order - 1, "n": order, "n + 1": order + 1, "the greatest": 256**size - 1}
        pairs = {f"r = {a}, s = {b}": (edges[a], edges[b]) for a in edges for b in edges}
        pairs |= {"r + n": (r + order, s), "s + n": (r, s + order), "s = 0": (r, 0), "r = 0": (0, s), "swapped": (s, r)}
        pairs |= {"n - r": (order - r, s), "r of another": (r ^ 1, s)}
        made += [
            Hostile(f"{name}: {what}", with_signature(token, raw_signature(name, *pair)), "out of range, or another point")
            for what, pair in pairs.items()
            if max(pair) < 256**size
        ]
        der = encode_dss_signature(r, s)
        long = (b"\0" * 8 + r.to_bytes(size, "big")) + (b"\0" * 8 + s.to_bytes(size, "big"))
        made.append(Hostile(f"{name}: DER", with_signature(token, der), "RFC 7518, 3.4: two numbers of fixed length"))
        made.append(Hostile(f"{name}: longer numbers", with_signature(token, long), "RFC 7518, 3.4: fixed length"))
        little = r.to_bytes(size, "little") + s.to_bytes(size, "little")
        made.append(Hostile(f"{name}: little-endian", with_signature(token, little), "RFC 7518, 3.4: big-endian"))
    return made


def _ecdsa(name: str) -> ec.ECDSA:
    return ec.ECDSA(sha(name))


def of_edwards() -> list[Hostile]:
    """Ed25519: a second form of a signature, and points of small order."""
    token = of("EdDSA")
    right = seal("EdDSA", token.rpartition(".")[0].encode())
    s = int.from_bytes(right[32:], "little") + EDWARDS_ORDER
    neutral = (1).to_bytes(32, "little")
    return [
        Hostile("EdDSA: s + L", with_signature(token, right[:32] + s.to_bytes(32, "little")), "RFC 8032, 5.1.7"),
        Hostile("EdDSA: neutral R, s = 0", with_signature(token, neutral + bytes(32)), "a point of small order"),
        Hostile("EdDSA: R not canonical", with_signature(token, b"\xff" * 31 + b"\x7f" + right[32:]), "RFC 8032, 5.1.3"),
        Hostile("EdDSA: halves swapped", with_signature(token, right[32:] + right[:32]), "s before R"),
    ]


def of_rsa() -> list[Hostile]:
    """Other paddings, other salts, other hashes, and numbers that are no signature."""
    made: list[Hostile] = []
    key, digest = rsa_key(), hashes.SHA256()
    for name in ("RS256", "PS256"):
        token = of(name)
        message = token.rpartition(".")[0].encode()
        length, modulus = key.key_size // 8, key.public_key().public_numbers().n
        right = int.from_bytes(seal(name, message), "big")
        schemes: dict[str, tuple[Any, Any]] = {
            "PKCS1 with SHA-1": (padding.PKCS1v15(), hashes.SHA1()),
            "PKCS1 with SHA-512": (padding.PKCS1v15(), hashes.SHA512()),
            "PSS with no salt": (padding.PSS(padding.MGF1(digest), 0), digest),
            "PSS with the longest salt": (padding.PSS(padding.MGF1(digest), padding.PSS.MAX_LENGTH), digest),
            "PSS with MGF1 over SHA-1": (padding.PSS(padding.MGF1(hashes.SHA1()), 32), digest),
            "PSS with SHA-384": (padding.PSS(padding.MGF1(hashes.SHA384()), 48), hashes.SHA384()),
        }
        made += [
            Hostile(f"{name}: {what}", with_signature(token, key.sign(message, *scheme)), "another scheme than the key's")
            for what, scheme in schemes.items()
        ]
        numbers = {"0": 0, "1": 1, "n - 1": modulus - 1, "n": modulus, "n - right": modulus - right, "right + n": right + modulus}
        made += [
            Hostile(f"{name}: the number {what}", with_signature(token, _octets(number, length)), "no signature")
            for what, number in numbers.items()
        ]
    return made + [
        Hostile(f"RS256: {what}", with_signature(of("RS256"), raw_rsa(block)), "PKCS #1, 8.2.2: the padding is fixed")
        for what, block in padded_blocks(of("RS256").rpartition(".")[0].encode()).items()
    ]


def raw_rsa(block: bytes) -> bytes:
    """What RSA makes of a block without looking at it."""
    numbers = rsa_key().private_numbers()
    number = pow(int.from_bytes(block, "big"), numbers.d, numbers.public_numbers.n)
    return number.to_bytes(rsa_key().key_size // 8, "big")


def padded_blocks(message: bytes) -> dict[str, bytes]:
    """Blocks that resemble the PKCS #1 encoding of SHA-256, each wrong in one way (Bleichenbacher, 2006, and later ones)."""
    length, digest = rsa_key().key_size // 8, hashlib.sha256(message).digest()
    oid = bytes.fromhex("0609608648016503040201")
    right = bytes.fromhex("3031300d") + oid + bytes.fromhex("05000420") + digest

    def block(
        info: bytes, *, kind: bytes = b"\x00\x01", fill: bytes = b"\xff", end: bytes = b"\x00", after: bytes = b""
    ) -> bytes:
        rest = length - len(kind) - len(end) - len(info) - len(after)
        return kind + fill * rest + end + info + after

    without_null = bytes.fromhex("302f300b") + oid + bytes.fromhex("0420") + digest
    sha1 = bytes.fromhex("3021300906052b0e03021a05000414") + hashlib.sha1(message).digest()
    return {
        "no DigestInfo": block(digest),
        "parameters left out": block(without_null),
        "empty parameters": block(bytes.fromhex("3031300d") + oid + bytes.fromhex("04000420") + digest),
        "long form of a length": block(bytes.fromhex("308131300d") + oid + bytes.fromhex("05000420") + digest),
        "indefinite length": block(bytes.fromhex("3080300d") + oid + bytes.fromhex("05000420") + digest + b"\0\0"),
        "another hash's name": block(right.replace(oid, bytes.fromhex("0609608648016503040202"))),
        "SHA-1": block(sha1),
        "garbage after the hash": block(right, fill=b"\xff", after=bytes(8)),
        "eight bytes of padding": b"\x00\x01" + b"\xff" * 8 + b"\x00" + right + bytes(length - 11 - len(right)),
        "garbage in the padding": block(right, fill=b"\xfe"),
        "zeros for padding": block(right, fill=b"\x00"),
        "block type 2": block(right, kind=b"\x00\x02"),
        "block type 0": block(right, kind=b"\x00\x00", fill=b"\x00"),
        "no separator": block(right, end=b"\xff"),
        "a first byte": block(right, kind=b"\x01\x01"),
        "a flipped bit of the hash": block(right[:-1] + bytes([right[-1] ^ 1])),
        "a short hash": block(bytes.fromhex("3030300d") + oid + bytes.fromhex("0500041f") + digest[:-1]),
        "another message": block(right[:-32] + bytes(32)),
    }


@functools.cache
def wrongly_signed() -> tuple[Hostile, ...]:
    """All of them, made once."""
    made = (of_every_algorithm(), of_names(), of_confusion(), of_curves(), of_edwards(), of_rsa())
    return tuple(hostile for kind in made for hostile in kind)
