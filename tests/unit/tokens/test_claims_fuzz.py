"""The strict reader against an oracle that shares no code with it, over random and over cunning input."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from typing import Any

import claims_oracle as oracle
import jwt as pyjwt
import pytest
from forge import NOW, SECRET, START, b64, claims, signed
from hypothesis import example, given, settings
from hypothesis import strategies as st

from resourcekit import Domain
from resourcekit.data_layers import Memory
from resourcekit.testing import ManualClock
from resourcekit_tokens import JWT, TokenRecord, TokenResource
from resourcekit_tokens.errors import InvalidToken
from resourcekit_tokens.signature import read_claims, verify_signature

MANY = settings(max_examples=4_000, deadline=None)
FEW = settings(max_examples=200, deadline=None)
OPTIONS = JWT(SECRET)

NAMES = st.sampled_from(["jti", "sub", "fam", "purpose", "iss", "aud", "exp", "nbf", "iat", "x", "", "JTI", 'j"ti', "é"])
TRICKY = st.sampled_from(
    [
        *(
            "",
            "a",
            "rk:",
            "rk:x",
            "\0",
            "a\0",
            "\ud800",
            "\udfff\ud800",
            "\U0001f511",
            "a" * 255,
            "a" * 256,
            "a" * 1024,
            "a" * 1025,
        ),
        *("\U0001f511" * 255, "\U0001f511" * 256, ":", ",", '":', '{"', "[", "\\", "\\u0000", " :", "\u2028"),
        *(True, False, None, 0, -1, -0.0, 1.5, NOW, NOW + 0.5, 10**400, -(10**400), 1e308, 5e-324, 253_402_300_799.9),
        *(-62_135_596_800, -62_135_596_801, -62_135_596_800.5),
    ]
)
JSON = st.recursive(
    TRICKY | st.text(max_size=8) | st.integers() | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES | st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)
OBJECTS = st.dictionaries(NAMES, JSON, max_size=8)
WITH_JTI = st.builds(lambda usual, more: {**usual, **more}, st.just(claims()), OBJECTS)
HEADERS = st.dictionaries(st.sampled_from(["alg", "typ", "kid", "crit", "b64", "x"]), JSON | st.just("HS256"), max_size=4)
FRAGMENTS = st.sampled_from(
    [
        *'{}[]:,"\\ \t\n0123456789.eE+-',
        *(
            "\\u006a",
            "\\ud800",
            "null",
            "true",
            "NaN",
            "Infinity",
            "1e999",
            '"jti":"b",',
            ',"exp":1',
            "\0",
            "é",
            "\ufeff",
            "'",
            "/*",
        ),
        *("[" * 70, "]" * 70, '{"a":' * 70, "}" * 70, "9" * 4400, '"x":[1,2],"x":1', '"n":{"m":1,"m":2}'),
    ]
)


def agree(token: object) -> None:
    """Both readers accept the token and read the same, or both refuse it."""
    assert read_by(oracle.read, token) == read_by(read_claims, token)


def read_by(reader: Callable[[Any], Mapping[str, Any]], token: object) -> str:
    """The result of a reader; ``repr`` distinguishes 1 from 1.0 and from True."""
    try:
        return repr(dict(reader(token)))
    except (oracle.RefusedError, InvalidToken):
        return "refused"


def spelled(value: object, **how: Any) -> str:
    """JSON in one of its spellings."""
    return json.dumps(value, **how)


SPELLINGS = st.fixed_dictionaries(
    {
        "ensure_ascii": st.just(True),
        "indent": st.sampled_from([None, None, 0, 1, "\t"]),
        "separators": st.sampled_from([(",", ":"), (", ", ": "), (" ,", " :"), (",\n", "\t: ")]),
    }
)


@st.composite
def edited(draw: st.DrawFn, texts: st.SearchStrategy[str]) -> str:
    """A text with fragments put in or cut out at random places."""
    text = draw(texts)
    for _ in range(draw(st.integers(0, 3))):
        place, length = draw(st.integers(0, len(text))), draw(st.integers(0, 6))
        text = text[:place] + draw(FRAGMENTS | st.just("")) + text[place + length :]
    return text


GARBAGE = st.text() | st.binary() | st.none() | JSON | st.text(alphabet="aA0-_.=+/ \n", max_size=40)
PARTS = st.lists(st.binary(max_size=40).map(b64), min_size=1, max_size=5).map(".".join)
TOKENS = GARBAGE | PARTS | edited(st.just(signed(claims())))
EDITS = edited(st.builds(lambda value, how: spelled(value, **how), WITH_JTI | OBJECTS, SPELLINGS))


@FEW
@given(token=TOKENS)
@example(token="")
@example(token=signed(claims()))
def test_garbage(token):
    """Whatever it is, it is refused or read, and both readers agree."""
    agree(token)


@FEW
@given(payload=WITH_JTI | OBJECTS, how=SPELLINGS)
def test_payloads(payload, how):
    """Any claims of any types."""
    agree(signed(spelled(payload, **how)))


@FEW
@given(text=EDITS)
@example(text='{"jti":"a","n":[1],"jti":"b"}')
@example(text='{"jti":"a,","jti":"b"}')
@example(text='{"jti":"a:b","n":"::","jti":"b"}')
@example(text='{"jti":"a","n":}')
@example(text='{"jti":"a"}\n')
@example(text='{"jti":"a","n":' + "[" * 63 + "]" * 63 + "}")
@example(text='{"jti":"a","n":' + "[" * 64 + "]" * 64 + "}")
@example(text='{"jti":"a","n":"' + "[" * 70 + '"}')
def test_edited_json(text):
    """JSON with its seams opened: names twice, cut numbers, white space, deep nesting."""
    agree(signed(text.encode("utf-8", "surrogatepass")))


@FEW
@given(header=HEADERS)
def test_headers(header):
    """Any header."""
    agree(signed(claims(), head=spelled(header)))


@pytest.mark.slow
class TestAtLength:
    """The same, twenty times more."""

    @MANY
    @given(token=TOKENS)
    def test_garbage(self, token):
        """Whatever it is."""
        agree(token)

    @MANY
    @given(payload=WITH_JTI | OBJECTS, how=SPELLINGS)
    def test_payloads(self, payload, how):
        """Any claims."""
        agree(signed(spelled(payload, **how)))

    @MANY
    @given(text=EDITS)
    def test_edited_json(self, text):
        """Any text that was JSON."""
        agree(signed(text.encode("utf-8", "surrogatepass")))

    @MANY
    @given(header=HEADERS)
    def test_headers(self, header):
        """Any header."""
        agree(signed(claims(), head=spelled(header)))


@FEW
@given(payload=WITH_JTI | OBJECTS, mine=st.booleans())
def test_what_another_library_signs_verifies_if_the_oracle_says_so(payload, mine):
    """Claims of any kind under a right signature, or a wrong one: never anything but the claims or InvalidToken."""
    token = pyjwt.api_jws.encode(spelled(payload).encode(), SECRET if mine else SECRET[::-1], "HS256")
    # This resource is no audience of any issuer.
    expected = read_by(oracle.read, token) if mine and payload.get("aud") is None else "refused"

    assert expected == read_by(lambda text: verify_signature(OPTIONS, text), token)


@FEW
@given(
    jti=st.text(min_size=1, max_size=255), subject=st.text(min_size=1, max_size=1024) | st.none(), more=st.integers(-10, 10**6)
)
def test_a_token_verifies_if_the_oracle_and_the_clock_say_so(jti, subject, more):
    """Claims that another library signed, seen at START: good if they are no garbage and `exp` lies in the future."""
    payload = {"jti": jti, "iat": NOW, "exp": NOW + more, **({} if subject is None else {"sub": subject})}
    token = pyjwt.encode(payload, SECRET, "HS256")
    try:
        oracle.read(token)
        is_good = more > 0
    except oracle.RefusedError:
        is_good = False
    with ManualClock(START):
        try:
            found = resource().verify(token).jti
        except InvalidToken:
            found = None

    assert (jti if is_good else None) == found


@FEW
@given(data=st.data())
def test_a_changed_token_never_says_something_else(data):
    """One character of a signed token replaced by any other: refused, whatever it is."""
    token = signed(claims(n="é" * 5, m=[1, {"a": None}]))
    place = data.draw(st.integers(0, len(token) - 1))
    letter = data.draw(st.characters() | st.sampled_from("ABCDEFabcdef0123456789-_.="))
    changed = token[:place] + letter + token[place + 1 :]
    try:
        said: object = dict(verify_signature(OPTIONS, changed))
    except InvalidToken:
        said = None

    assert (claims(n="é" * 5, m=[1, {"a": None}]) if changed == token else None) == said


@functools.cache
def resource() -> Any:
    """A token resource in memory."""

    class Token(TokenRecord, domain=Domain("fuzz"), data_layer=Memory(), extensions=[TokenResource(jwt=OPTIONS)]):
        """Under a rain of tokens."""

    return Token
