from __future__ import annotations

import pytest

from resourcekit_web.core import Incoming
from resourcekit_web.core.origins import Origins, normal_origin

OWN = "https://app.example"


def asked(origin=None, site=None, *, host="app.example", scheme="https", websocket=False):
    """Return a request that says this of its origin."""
    said = {"host": host, "origin": origin, "sec-fetch-site": site}
    headers = tuple((name, value) for name, value in said.items() if value is not None)
    return Incoming(method="GET" if websocket else "POST", scheme=scheme, headers=headers, is_websocket=websocket)


TABLE = {
    "own": (asked(OWN), True),
    "own, capitals": (asked("HTTPS://App.Example"), True),
    "own, usual port": (asked("https://app.example:443"), True),
    "own, port in Host": (asked(OWN, host="app.example:443"), True),
    "own, another port": (asked("https://app.example:8443"), False),
    "own, port in both": (asked("https://app.example:8443", host="app.example:8443"), True),
    "own name without encryption": (asked("http://app.example"), False),
    "request without encryption": (asked("http://app.example", scheme="http"), True),
    "loopback": (asked("http://127.0.0.1:8000", host="127.0.0.1:8000"), True),
    "loopback name": (asked("http://localhost:8000", host="localhost:8000"), True),
    "loopback in IPv6": (asked("http://[::1]:8000", host="[::1]:8000"), True),
    "another loopback port": (asked("http://localhost:3000", host="localhost:8000"), False),
    "foreign": (asked("https://evil.example"), False),
    "subdomain": (asked("https://x.app.example"), False),
    "name as a beginning": (asked("https://app.example.evil.example"), False),
    "name as user": (asked("https://app.example@evil.example"), False),
    "null": (asked("null"), False),
    "empty": (asked(""), False),
    "a file": (asked("file://"), False),
    "same-origin": (asked(None, "same-origin"), True),
    "by the user": (asked(None, "none"), True),
    "same-site": (asked(OWN, "same-site"), False),
    "cross-site": (asked(OWN, "cross-site"), False),
    "an unknown word": (asked(OWN, "other"), False),
    "same-origin decides": (asked("https://proxy.example", "same-origin"), True),
    "no browser": (asked(), True),
    "websocket, own": (asked(OWN, websocket=True), True),
    "websocket, foreign": (asked("https://evil.example", "same-origin", websocket=True), False),
    "bad Host": (asked(OWN, host="app.example/evil"), False),
    "no Host": (asked(OWN, host=""), False),
}


@pytest.mark.parametrize(("request_", "passes"), TABLE.values(), ids=TABLE.keys())
def test_a_write_passes_if_a_page_of_the_own_origin_caused_it(request_, passes):
    """What browsers say of the page decides, and a request that says nothing comes from no browser."""
    assert passes == Origins.read((), (), "usual").lets_pass(request_)


@pytest.mark.parametrize(
    ("request_", "passes"), [(asked("https://app.example:8443"), False), (asked(OWN, host="internal"), True)]
)
def test_named_origins_take_the_place_of_the_host_header(request_, passes):
    """Behind a proxy that changes Host, the app names its origin."""
    assert passes == Origins.read([OWN], (), "usual").lets_pass(request_)


def test_a_trusted_origin_passes_as_cross_site():
    """It is asked first, before Sec-Fetch-Site."""
    rules = Origins.read((), ["https://spa.example"], "strict")

    assert rules.lets_pass(asked("https://spa.example", "cross-site"))
    assert not rules.lets_pass(asked("https://other.example", "cross-site"))


@pytest.mark.parametrize("text", ["*", "app.example", "https://", "https://a b", "https://app.example/path", "ftp://app.example"])
def test_what_is_no_origin_is_refused(text):
    """An origin is scheme, host and port."""
    assert normal_origin(text) is None
