"""Hostile tokens that are refused whether keys are known or not, each with its reason and the claim that is to blame.

Their signatures are valid wherever a signature can be: each is refused for the reason beside it.
Every value in them holds MARK, so a text that repeats one is found.
"""

from __future__ import annotations

import json
import zlib
from typing import Any, NamedTuple

from forge import NOW, SECRET, as_json, b64, claims, header, hs256, sealed, signed, with_signature

MARK = "xyzzy"


class Hostile(NamedTuple):
    """One hostile token. claim: whom InvalidToken blames; ``None`` for the token as a whole."""

    name: str
    token: Any
    why: str
    claim: str | None = None


def said(**changes: object) -> dict[str, object]:
    """The claims of a token of a family, all of whose texts hold MARK."""
    return claims(jti=f"{MARK}-jti", sub=f"{MARK}-sub", fam=f"{MARK}-fam", **changes)


def replaced(**changes: object) -> dict[str, object]:
    """The same with claims replaced, by ``None`` (null) too."""
    return {**said(), **changes}


def payload(text: str | bytes) -> str:
    """A rightly signed token over this very payload."""
    return signed(as_json(text))


def headed(head: object) -> str:
    """A rightly signed token under this very header."""
    return signed(said(), head=head)


def _shifted(part: str) -> str:
    """The same bytes in base64url, with a bit set that should be zero."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    assert len(part) % 4
    return part[:-1] + alphabet[alphabet.index(part[-1]) + 1]


VALID = signed(said())
HEAD, BODY, SEAL = VALID.split(".")
ODD_BODY = b64(as_json(said(n=f"{MARK}"))) if len(BODY) % 4 == 0 else BODY  # a length that leaves bits over
SLASHED = as_json(said(n=f"{MARK}???>>>~~~"))  # gives - and _ in base64url
ALG_HEAD, JWE_HEAD = b64('{"alg":"HS256" }'), b64('{"alg":"dir","enc":"A256GCM"}')
ZIP_HEAD = b64('{"alg":"HS256","zip":"DEF"}')
JSON_FORM = {"protected": HEAD, "payload": BODY, "signature": SEAL}
TEXT = json.dumps(said(), separators=(",", ":"))
OPEN = TEXT[:-1]
DEEP_ARRAY, DEEP_OBJECT = "[" * 5000 + "]" * 5000, '{"a":' * 1500 + "1" + "}" * 1500

NO_TEXT = [
    Hostile("none", None, "no token was sent"),
    Hostile("bytes", VALID.encode(), "a header as a server sees it, not decoded"),
    Hostile("bytearray", bytearray(VALID.encode()), "a buffer"),
    Hostile("memoryview", memoryview(VALID.encode()), "a view of a buffer"),
    Hostile("integer", 42, "a number"),
    Hostile("true", True, "a bool"),
    Hostile("float", float("nan"), "not even a number"),
    Hostile("list of parts", VALID.split("."), "taken apart already"),
    Hostile("mapping", JSON_FORM, "the JSON form, parsed"),
    Hostile("claims", said(), "the claims themselves"),
    Hostile("class", str, "a type"),
    Hostile("object", object(), "anything"),
]

NO_COMPACT_FORM = [
    Hostile("empty", "", "an empty header"),
    Hostile("blank", " \t\r\n", "white space"),
    Hostile("one dot", ".", "two empty parts"),
    Hostile("two dots", "..", "three empty parts"),
    Hostile("three dots", "...", "four empty parts"),
    Hostile("many dots", "." * 16384, "as many parts as fit"),
    Hostile("the word null", "null", "what a script sends when it has no token"),
    Hostile("one part", BODY, "only a payload"),
    Hostile("two parts", f"{HEAD}.{BODY}", "no signature, and no dot for it"),
    Hostile("four parts", f"{VALID}.{MARK}", "a part too many"),
    Hostile("an empty fourth part", f"{VALID}.", "a dot too many"),
    Hostile("five parts", f"{VALID}.{BODY}.{SEAL}", "an encrypted token (RFC 7516) has five parts"),
    Hostile("five real parts", f"{JWE_HEAD}..{b64('x' * 12)}.{BODY}.{b64('t' * 16)}", "a JWE"),
    Hostile("flat JSON form", json.dumps(JSON_FORM), "RFC 7515, 7.2.2; JWTs are compact (RFC 7519, 3)"),
    Hostile("general JSON form", json.dumps({"payload": BODY, "signatures": [{"protected": HEAD, "signature": SEAL}]}), "7.2.1"),
    Hostile("no header", f".{BODY}.{SEAL}", "an empty first part"),
    Hostile("no payload", sealed(f"{HEAD}."), "detached payload (RFC 7515, appendix F)"),
    Hostile("signature only", f"..{SEAL}", "two empty parts"),
    Hostile("bearer", f"Bearer {VALID}", "the scheme was not cut off"),
    Hostile("quoted", f'"{VALID}"', "a JSON string"),
    Hostile("cookie", f"token={VALID}; Path=/", "a whole cookie"),
    Hostile("percent encoded", VALID.replace(".", "%2E"), "a query that was not decoded"),
    Hostile("trailing newline", f"{VALID}\n", "read from a file"),
    Hostile("leading space", f" {VALID}", "read from a header"),
    Hostile("trailing NUL", f"{VALID}\0", "a C string"),
    Hostile("folded", f"{VALID[:64]}\r\n {VALID[64:]}", "a folded header line"),
    Hostile("byte-order mark", f"\ufeff{VALID}", "saved by an editor"),
    Hostile("zero-width space", f"{HEAD}.\u200b{BODY}.{SEAL}", "copied from a web page"),
    Hostile("full-width dots", VALID.replace(".", "\uff0e"), "looks like dots"),
    Hostile("Cyrillic letter", VALID.replace("e", "\u0435", 1), "looks like an e"),
    Hostile("Arabic digit", f"{VALID[:-1]}\u0661", "a digit for isdigit, none for base64"),
    Hostile("lone surrogate", f"{VALID}\udc80", "bytes decoded with surrogateescape"),
    Hostile("emoji", f"{HEAD}.\U0001f600.{SEAL}", "four bytes in UTF-8"),
    Hostile("over 16 KiB, signed", signed(said(pad=MARK * 3000)), "a right signature does not make it short"),
    Hostile("over 16 KiB, no token", MARK * 4000, "long garbage"),
    Hostile("ten million characters", "a" * 10_000_000, "longer than a token may be"),
    Hostile("PEM", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "the key, not the token"),
    Hostile("XML", "<saml:Assertion/>", "another kind of token"),
    Hostile("UUID", "0192f3c4-7d6e-7a31-9c55-1f0e9ad2b6c8", "a session id"),
]

BASE64 = [
    Hostile("padded header", sealed(f"{ALG_HEAD}==.{BODY}"), "RFC 7515, 2: no padding"),
    Hostile("padded payload", sealed(f"{HEAD}.{ODD_BODY}="), "signed with its padding"),
    Hostile("padded signature", f"{VALID}=", "padding"),
    Hostile("standard alphabet in payload", sealed(f"{HEAD}.{b64(SLASHED).replace('_', '/').replace('-', '+')}"), "+ and /"),
    Hostile("standard alphabet in signature", with_signature(VALID, f"+/{SEAL[2:]}"), "+ and /"),
    Hostile("space in payload", sealed(f"{HEAD}.{BODY[:8]} {BODY[8:]}"), "signed with its space"),
    Hostile("newline in payload", sealed(f"{HEAD}.{BODY[:8]}\n{BODY[8:]}"), "MIME's line breaks"),
    Hostile("newline in signature", with_signature(VALID, f"{SEAL[:8]}\n{SEAL[8:]}"), "MIME's line breaks"),
    Hostile("question mark in payload", sealed(f"{HEAD}.{BODY}?"), "decoders skip it"),
    Hostile("tilde in payload", sealed(f"{HEAD}.{BODY}~"), "as an SD-JWT has it"),
    Hostile("exclamation mark in header", sealed(f"{HEAD}!.{BODY}"), "decoders skip it"),
    Hostile("stray bits in header", sealed(f"{_shifted(ALG_HEAD)}.{BODY}"), "a second spelling of the header"),
    Hostile("stray bits in payload", sealed(f"{HEAD}.{_shifted(ODD_BODY)}"), "a second spelling of the payload"),
    Hostile("stray bits in signature", with_signature(VALID, _shifted(SEAL)), "a second spelling of the token"),
    Hostile("a header of 4n+1 characters", sealed(f"{HEAD[: len(HEAD) // 4 * 4]}A.{BODY}"), "no bytes"),
    Hostile("a payload of 4n+1 characters", sealed(f"{HEAD}.{BODY[: len(BODY) // 4 * 4]}A"), "no whole number of bytes"),
    Hostile("a signature of one character", with_signature(VALID, "A"), "six bits"),
    Hostile("encoded twice", sealed(f"{b64(HEAD)}.{b64(BODY)}"), "JSON in base64 in base64"),
    Hostile("hexadecimal", f"{as_json(header()).hex()}.{as_json(said()).hex()}.{'ab' * 32}", "fits the alphabet of base64"),
    Hostile("empty signature", with_signature(VALID, ""), "an unsigned token"),
]

TEXT_ENCODING = [
    Hostile("BOM in payload", payload(b"\xef\xbb\xbf" + TEXT.encode()), "RFC 8259, 8.1"),
    Hostile("BOM in header", headed(b"\xef\xbb\xbf" + as_json(header())), "RFC 8259, 8.1"),
    Hostile("UTF-16", payload(TEXT.encode("utf-16")), "json.loads guesses it"),
    Hostile("UTF-16, little-endian", payload(TEXT.encode("utf-16-le")), "json.loads guesses it"),
    Hostile("UTF-16, big-endian", payload(TEXT.encode("utf-16-be")), "json.loads guesses it"),
    Hostile("UTF-32", payload(TEXT.encode("utf-32")), "json.loads guesses it"),
    Hostile("UTF-16 in header", headed(as_json(header()).decode().encode("utf-16")), "json.loads guesses it"),
    Hostile("not UTF-8", payload(f'{OPEN},"n":"'.encode() + b'\xff"}'), "no byte of UTF-8"),
    Hostile("Latin-1", payload(f'{OPEN},"n":"\xe9"}}'.encode("latin-1")), "an e with an accent"),
    Hostile("overlong UTF-8", payload(TEXT.encode().replace(b'"jti"', b'"\xc1\xaati"')), "j in two bytes"),
    Hostile("surrogate in UTF-8", payload(f'{OPEN},"n":"'.encode() + b'\xed\xa0\x80"}'), "half a pair, encoded"),
    Hostile("cut UTF-8", payload(f'{OPEN},"n":"'.encode() + b'\xe2\x82"}'), "two of three bytes"),
]

NO_JSON = [
    Hostile("no JSON at all", payload(MARK), "a word"),
    Hostile("nothing but a brace", payload("{"), "cut off"),
    Hostile("cut off", payload(OPEN), "no last brace"),
    Hostile("array", payload([said()]), "a list of claims"),
    Hostile("string", payload(f'"{MARK}"'), "JSON, and no object"),
    Hostile("number", payload("1"), "JSON, and no object"),
    Hostile("null", payload("null"), "JSON, and no object"),
    Hostile("a bare true", payload("true"), "JSON, and no object"),
    Hostile("empty payload", payload("   "), "white space"),
    Hostile("no value", payload(f'{OPEN},"n":}}'), "a bare scanner stops here with StopIteration"),
    Hostile("half a word", payload(f'{OPEN},"n":tru'), "a bare scanner stops here with StopIteration"),
    Hostile("no colon", payload(f'{OPEN},"n"}}'), "a name alone"),
    Hostile("comma too many", payload(f"{OPEN},}}"), "JavaScript allows it"),
    Hostile("comment", payload(f"{OPEN}/* {MARK} */}}"), "JavaScript allows it"),
    Hostile("single quotes", payload(TEXT.replace('"', "'")), "Python's repr"),
    Hostile("bare names", payload('{jti:"xyzzy-jti"}'), "JavaScript allows it"),
    Hostile("two objects", payload(TEXT + TEXT), "the second would be dropped"),
    Hostile("something after", payload(f"{TEXT}]"), "a bracket"),
    Hostile("something before", payload(f")]}}',{TEXT}"), "a guard against inclusion as script"),
    Hostile("newline in a string", payload(f'{OPEN},"n":"\n"}}'), "RFC 8259, 7: must be escaped"),
    Hostile("NUL in a string", payload(f'{OPEN},"n":"\0"}}'), "RFC 8259, 7: must be escaped"),
    Hostile("unknown escape", payload(f'{OPEN},"n":"\\x41"}}'), "JavaScript allows it"),
    Hostile("leading zero", payload(f'{OPEN},"n":01}}'), "octal for some"),
    Hostile("plus sign", payload(f'{OPEN},"n":+1}}'), "no JSON number"),
    Hostile("hexadecimal number", payload(f'{OPEN},"n":0x10}}'), "no JSON number"),
    Hostile("NaN", payload(f'{OPEN},"n":NaN}}'), "json.loads reads it"),
    Hostile("Infinity", payload(f'{OPEN},"n":[Infinity]}}'), "json.loads reads it"),
    Hostile("minus Infinity", payload(f'{OPEN},"n":{{"m":-Infinity}}}}'), "json.loads reads it"),
    Hostile("NaN in exp", payload('{"jti":"xyzzy-jti","exp":NaN}'), "no comparison with it is true"),
    Hostile("an integer of 5000 digits", payload(f'{OPEN},"n":{"9" * 5000}}}'), "more than Python converts"),
    Hostile("exp of 5000 digits", payload(f'{{"jti":"xyzzy-jti","exp":{"9" * 5000}}}'), "more than Python converts"),
    Hostile("arrays, 5000 deep", payload(f'{OPEN},"n":{DEEP_ARRAY}}}'), "recursion"),
    Hostile("objects, 1500 deep", payload(f'{OPEN},"n":{DEEP_OBJECT}}}'), "recursion"),
    Hostile("65 levels", payload(f'{OPEN},"n":{"[" * 64 + "]" * 64}}}'), "one more than we read"),
    Hostile("arrays never closed", payload("[" * 12_000), "recursion"),
    Hostile("arrays 5000 deep in the header", headed(f'{{"alg":"HS256","n":{DEEP_ARRAY}}}'), "recursion"),
    Hostile("payload is a token", sealed(f"{HEAD}.{b64(VALID)}"), "a nested JWT (RFC 7519, 5.2)"),
    Hostile("compressed", sealed(f"{ZIP_HEAD}.{b64(zlib.compress(TEXT.encode()))}"), "only a JWE may be compressed"),
]

TWICE = [
    Hostile("jti twice", payload(f'{OPEN},"jti":"{MARK}-2"}}'), "readers differ in which one counts", "jti"),
    Hostile("sub twice", payload(f'{{"sub":"{MARK}",{TEXT[1:]}'), "whose token is it?", "sub"),
    Hostile("exp twice", payload(f'{OPEN},"exp":{NOW + 9}}}'), "for how long?", "exp"),
    Hostile("equal values twice", payload(f'{OPEN},"iat":{NOW}}}'), "harmless, and never written by a library", "iat"),
    Hostile("a name of its own twice", payload(f'{OPEN},"{MARK}":1,"{MARK}":2}}'), "must not be repeated in the message"),
    Hostile("twice, with an escape", payload(f'{OPEN},"\\u006ati":"{MARK}-2"}}'), "the same name in other letters", "jti"),
    Hostile("twice, with spaces", payload(f'{OPEN} , "jti" : "{MARK}-2"}}'), "white space around", "jti"),
    Hostile("twice, hidden by colons", payload(f'{OPEN},"jti":"::::","n":"a:b"}}'), "colons in strings", "jti"),
    Hostile("twice, hidden by commas", payload(f'{OPEN},"jti":",,,,","n":[1,2,3]}}'), "commas in strings and lists", "jti"),
    Hostile("twice inside", payload(f'{OPEN},"n":{{"m":1,"m":2}}}}'), "at another level"),
    Hostile("twice inside a list", payload(f'{OPEN},"n":[[{{"exp":1,"exp":2}}]]}}'), "at another level", "exp"),
    Hostile("alg twice", headed('{"alg":"HS256","alg":"none"}'), "which one was checked?", "alg"),
    Hostile("kid twice", headed('{"alg":"HS256","kid":"HS256","kid":"xyzzy"}'), "which key was used?", "kid"),
]

_WRONG_TIMES = {
    "text": f"{MARK}",
    "digits as text": str(NOW + 3600),
    "a date as text": "2031-01-01T00:00:00Z",
    "true": True,
    "false": False,
    "null": None,
    "list": [NOW + 3600],
    "object": {"seconds": NOW},
    "before year 1": -62_135_596_801,
    "before year 1, a fraction": -62_135_596_800.5,
    "400 digits below zero": -(10**399),
}
TIMES = [
    Hostile(f"{claim}: {what}", payload(replaced(**{claim: value})), "a NumericDate is a JSON number (RFC 7519, 2)", claim)
    for claim in ("exp", "nbf", "iat")
    for what, value in _WRONG_TIMES.items()
] + [
    Hostile(f"{claim}: {number}", payload(f'{{"jti":"xyzzy-jti","{claim}":{number}}}'), "reads as infinity", claim)
    for claim in ("exp", "nbf", "iat")
    for number in ("1e999", "-1e999")
]

_WRONG_TEXTS = {
    "null": None,
    "integer": 7,
    "float": 1.5,
    "true": True,
    "list": [MARK],
    "object": {"id": MARK},
    "empty": "",
    "NUL": f"{MARK}\0",
    "high surrogate": f"{MARK}\ud800",
    "low surrogate": f"\udfff{MARK}",
    "a pair the wrong way round": f"{MARK}\udc00\ud800",
}
_LONGEST = {"jti": 255, "fam": 255, "purpose": 255, "sub": 1024, "iss": 1024}
TEXTS = (
    [
        Hostile(f"{claim}: {what}", payload(replaced(**{claim: value})), "no text that a store keeps", claim)
        for claim in _LONGEST
        for what, value in _WRONG_TEXTS.items()
    ]
    + [
        Hostile(f"{claim}: too long", payload(replaced(**{claim: MARK + "a" * (longest - 4)})), f"over {longest}", claim)
        for claim, longest in _LONGEST.items()
    ]
    + [
        Hostile(
            "jti: 256 code points beyond 16 bits", payload(replaced(jti="\U0001f511" * 256)), "counted in code points", "jti"
        ),
        Hostile("no jti", signed(claims(jti=None, sub=MARK)), "can be neither stored nor revoked", "jti"),
        Hostile("no claims", payload("{}"), "can be neither stored nor revoked", "jti"),
        Hostile("reserved jti", payload(replaced(jti="rk:")), "keys of our own records begin so", "jti"),
        Hostile("jti of a cut-off", payload(replaced(jti=f"rk:cutoff:{MARK}")), "would write a cut-off", "jti"),
        Hostile("jti of a family", payload(replaced(jti=f"rk:family:{MARK}")), "would end a family", "jti"),
        Hostile("aud: integer", payload(replaced(aud=7)), "RFC 7519, 4.1.3", "aud"),
        Hostile("aud: object", payload(replaced(aud={MARK: 1})), "RFC 7519, 4.1.3", "aud"),
        Hostile("aud: list with a number", payload(replaced(aud=[MARK, 7])), "RFC 7519, 4.1.3", "aud"),
        Hostile("aud: list in a list", payload(replaced(aud=[[MARK]])), "RFC 7519, 4.1.3", "aud"),
    ]
)

HEADERS = [
    *(
        Hostile(f"alg: {word}", signed(said(), head=header(alg=word)), "an unsigned token (RFC 8725, 3.2)", "alg")
        for word in ("none", "None", "NONE", "nOnE")
    ),
    Hostile("alg: none, unsigned", with_signature(signed(said(), head=header(alg="none")), ""), "RFC 7519, 6", "alg"),
    Hostile("no alg", headed({"typ": "JWT"}), "RFC 7515, 4.1.1", "alg"),
    Hostile("no header at all", headed({}), "an empty object", "alg"),
    Hostile("alg: null", headed(header(alg=None)), "no text", "alg"),
    Hostile("alg: integer", headed(header(alg=256)), "no text", "alg"),
    Hostile("alg: list", headed(header(alg=["HS256", "none"])), "no text", "alg"),
    Hostile("alg: object", headed(header(alg={"name": "HS256"})), "no text", "alg"),
    Hostile("header: array", headed([header()]), "no object"),
    Hostile("header: string", headed('"HS256"'), "no object"),
    Hostile("header: null", headed("null"), "no object"),
    Hostile("header: no JSON", headed("HS256"), "no JSON"),
    Hostile("typ: null", headed(header(typ=None)), "RFC 7515, 4.1.9", "typ"),
    Hostile("typ: list", headed(header(typ=["JWT"])), "RFC 7515, 4.1.9", "typ"),
    *(Hostile(f"kid: {what}", headed(header(kid=value)), "RFC 7515, 4.1.4: text", "kid") for what, value in _WRONG_TEXTS.items()),
    Hostile("kid: too long", headed(header(kid=MARK * 60)), "over 255", "kid"),
    Hostile("crit", headed(header(crit=["exp"], exp=NOW)), "an extension that must be understood", "crit"),
    Hostile("crit: empty", headed(header(crit=[])), "RFC 7515, 4.1.11", "crit"),
    Hostile("crit: unknown", headed(header(crit=[MARK], **{MARK: 1})), "must be understood", "crit"),
    Hostile("b64: false", headed(header(b64=False, crit=["b64"])), "RFC 7797: another message is signed", "crit"),
    Hostile("b64: false, not critical", headed(header(b64=False)), "RFC 7797", "b64"),
    Hostile("b64: true", headed(header(b64=True)), "RFC 7797 asks for crit as well", "b64"),
    Hostile("header of a JWE", hs256(SECRET, {"alg": "dir", "enc": "A256GCM", "crit": ["exp"]}, said()), "RFC 7516", "crit"),
]

GARBAGE: list[Hostile] = [
    *(NO_TEXT + NO_COMPACT_FORM + BASE64 + TEXT_ENCODING),
    *(NO_JSON + TWICE + TIMES + TEXTS + HEADERS),
]
