"""Writes by cookie in a real browser, from pages of 24 origins: none of another origin passes, and none of the own origin is refused."""

from __future__ import annotations

import importlib.util
import json
import secrets
import shutil
import ssl
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.support.databases import MISSING
from tests.support.web_hosts import Host, serving

pytestmark = pytest.mark.slow

HOSTS = (
    "127.0.0.1",
    "localhost",
    "app.localhost",
    "evil.localhost",
    "sub.app.localhost",
    "app.example",
    "evil.example",
    "localhost.evil.example",
)
"""Times three ports: that of the app, another one, and one with https."""

ACCESS, REFRESH = "__Host-rk-access", "__Secure-rk-refresh"
KINDS = {"both": (), "access": (REFRESH,), "refresh": (ACCESS,)}
"""The cookies that a browser has, and those that it has lost."""

WRITES = """async target => {
  const sent = [];
  const paths = ["/me", "/auth/refresh", "/auth/ticket", "/login"];
  for (const path of paths) for (const mode of ["cors", "no-cors"])
    sent.push(fetch(target + path, {method: "POST", mode, credentials: "include"}).catch(() => 0));
  sent.push(fetch(target + "/auth/refresh", {method: "POST", mode: "no-cors", credentials: "include", referrerPolicy: "no-referrer"}).catch(() => 0));
  sent.push(fetch(target + "/auth/sessions/unknown", {method: "DELETE", credentials: "include"}).catch(() => 0));
  navigator.sendBeacon(target + "/auth/ticket");
  for (const path of paths) for (const enctype of ["application/x-www-form-urlencoded", "text/plain"]) {
    const frame = document.createElement("iframe"), form = document.createElement("form");
    frame.name = form.target = path + enctype;
    Object.assign(form, {method: "POST", action: target + path, enctype});
    document.body.append(frame, form);
    sent.push(new Promise(done => { frame.onload = done; frame.onerror = done; setTimeout(done, 5000); }));
    form.submit();
  }
  await Promise.all(sent);
}"""

SANDBOXED = """async ([target, writes]) => {
  const frame = document.createElement("iframe");
  frame.sandbox = "allow-scripts allow-forms";
  frame.srcdoc = `<body><script>(${writes})("${target}").then(() => parent.postMessage("done", "*"))</` + "script>";
  const done = new Promise(done => addEventListener("message", done));
  document.body.append(frame);
  await done;
}"""


class Page(BaseHTTPRequestHandler):
    """An empty page at each path."""

    def do_GET(self):  # the name is that of http.server
        """Answer."""
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><body>")

    def log_message(self, *words):
        """Keep quiet."""


def certificate(folder):
    """Return the file of a key with a certificate of its own; the browser accepts it."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    now, builder = datetime.now(UTC), x509.CertificateBuilder(name, name, key.public_key(), 1)
    made = builder.not_valid_before(now).not_valid_after(now + timedelta(days=1)).sign(key, hashes.SHA256())
    file = folder / "server.pem"
    file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + made.public_bytes(Encoding.PEM))
    return file


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    """The ports of two servers of empty pages, the second with https."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate(tmp_path_factory.mktemp("tls")))
    servers = [ThreadingHTTPServer(("127.0.0.1", 0), Page) for _ in range(2)]
    servers[1].socket = context.wrap_socket(servers[1].socket, server_side=True)
    threads = [threading.Thread(target=server.serve_forever) for server in servers]
    for thread in threads:
        thread.start()
    yield [server.server_address[1] for server in servers]
    for server, thread in zip(servers, threads, strict=True):
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    """The port of an app, and the file in which it notes its requests."""
    folder = tmp_path_factory.mktemp("origins")
    journal = folder / "requests"
    key = ("first", "HS256", secrets.token_urlsafe(48))
    host = Host(url=f"sqlite:///{folder}/tokens.db", table="tokens", keys=[key], journal=str(journal))
    host.resource(storage=True)
    with serving(folder, host) as (address,):
        yield int(address.rpartition(":")[2]), journal


@pytest.fixture(scope="module")
def chromium():
    """A browser without a window, for which each name ends at this machine."""
    program = shutil.which("chromium")
    if program is None or importlib.util.find_spec("playwright") is None:
        pytest.skip(f"{MISSING}Chromium and Playwright")
    from playwright.sync_api import sync_playwright

    options = ["--no-sandbox", "--host-resolver-rules=MAP * 127.0.0.1", "--disable-background-networking"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=options)
        yield browser
        browser.close()


def origins(port, elsewhere):
    """Return 24 origins."""
    http, https = elsewhere
    return [
        f"{start}:{number}"
        for name in HOSTS
        for start, number in ((f"http://{name}", port), (f"http://{name}", http), (f"https://{name}", https))
    ]


def signed_in(chromium, target, lost):
    """Return a new profile that has signed in by a page of the target, without the cookies that it has lost."""
    profile = chromium.new_context(ignore_https_errors=True)
    profile.set_default_timeout(120_000)
    page = profile.new_page()
    page.goto(f"{target}/livez")
    assert 204 == page.evaluate("fetch('/login', {method: 'POST'}).then(answer => answer.status)")
    assert {ACCESS, REFRESH} == {cookie["name"] for cookie in profile.cookies()}
    for name in lost:
        profile.clear_cookies(name=name)
    return profile, page


def writes(journal):
    """Return the writes that have arrived since the journal was read last, and empty it."""
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    journal.write_text("")
    return [line for line in lines if line["method"] in ("POST", "DELETE")]


@pytest.mark.parametrize(("name", "kind"), [*(("127.0.0.1", kind) for kind in KINDS), ("app.localhost", "both")])
def test_no_page_of_another_origin_writes(chromium, app, elsewhere, name, kind):
    """From fetch, forms, beacons and sandboxed frames of 23 other origins nothing passes, though neighbours send the cookies."""
    port, journal = app
    target = f"http://{name}:{port}"
    profile, page = signed_in(chromium, target, KINDS[kind])
    writes(journal)
    others = [origin for origin in origins(port, elsewhere) if origin != target]
    foreign = profile.new_page()
    for origin in others:
        foreign.goto(f"{origin}/livez")
        foreign.evaluate(WRITES, target)
    foreign.evaluate(SANDBOXED, [target, WRITES])
    page.evaluate(SANDBOXED, [target, WRITES])  # even of the own page: its origin is "null"

    arrived = writes(journal)
    assert 23 == len(others)
    assert [] == [line for line in arrived if line["status"] < 400]
    assert len(others) * 10 < len(arrived)
    assert any("rk-" in line.get("cookie", "") for line in arrived)  # those of the same site, from other ports
    if kind != "refresh":
        assert 200 == page.evaluate("fetch('/me').then(answer => answer.status)")


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "app.localhost"])
def test_no_write_of_the_own_origin_is_refused(chromium, app, name):
    """From fetch, forms, beacons, a frame of the page itself and a blank one that it has opened, all pass."""
    port, journal = app
    target = f"http://{name}:{port}"
    profile, page = signed_in(chromium, target, ())
    writes(journal)
    page.evaluate(WRITES, target)
    with page.expect_popup() as opened:
        page.evaluate("() => { open('about:blank') }")
    opened.value.evaluate(WRITES, target)

    arrived = writes(journal)
    profile.close()
    assert {200, 204, 404} == {line["status"] for line in arrived}
    assert {"/auth/sessions/unknown"} == {
        line["path"] for line in arrived if line["status"] == 404
    }  # it is no session of the user
    assert 36 <= len(arrived)
