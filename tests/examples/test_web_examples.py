"""The web examples under their real servers: sign in, my sessions, sign out here, elsewhere, everywhere."""

from __future__ import annotations

import os
import subprocess

import pytest

from tests.support.web_servers import EXAMPLES, SERVERS, Browser, served

pytestmark = pytest.mark.slow

USUAL = ("fastapi", "flask")
"""Examples whose servers are started in each run: uvicorn, and gunicorn with ``--preload``. The slow ones have uvicorn with two workers, and gunicorn without."""


@pytest.mark.parametrize("framework", [pytest.param(name, marks=[] if name in USUAL else pytest.mark.slow) for name in SERVERS])
def test_an_example_does_what_its_page_offers(framework, tmp_path):
    """Two browsers over several workers: each button of the page does what it says."""
    with served(framework, tmp_path) as port:
        laptop, phone = Browser(port), Browser(port)
        assert b"Sign out everywhere" in laptop.send("GET", "/")[1]
        assert [401, 401] == [laptop.sign_in("guess"), laptop.send("GET", "/auth/sessions")[0]]
        assert [204, 204] == [laptop.sign_in(), phone.sign_in()]

        torn = [
            {},
            [],
            {"name": "alice"},
            {"name": "", "password": ""},
            {"name": "\ud800", "password": "\ud800"},
            {"name": "a\0" * 999, "password": "x"},
        ]
        assert {400, 401, 422} >= {laptop.send("POST", "/login", each)[0] for each in torn}

        status, listed = laptop.send("GET", "/auth/sessions")
        assert (200, [False, True]) == (status, sorted(one["current"] for one in listed["sessions"]))
        assert [204, 204] == [laptop.send("POST", "/auth/refresh")[0] for _ in range(2)]

        (other,) = (one["family"] for one in listed["sessions"] if not one["current"])
        foreign = laptop.send("DELETE", f"/auth/sessions/{other}", Origin="https://evil.example")
        own = laptop.send("DELETE", f"/auth/sessions/{other}", Origin=f"http://127.0.0.1:{port}")
        assert [403, 204, 401] == [foreign[0], own[0], phone.send("GET", "/auth/sessions")[0]]

        assert [204, 204] == [phone.sign_in(), phone.send("POST", "/auth/logout-everywhere")[0]]
        assert [401, 401] == [browser.send("GET", "/auth/sessions")[0] for browser in (laptop, phone)]
        assert [204, {}] == [laptop.send("POST", "/auth/logout")[0], laptop.cookies]
        assert 200 == laptop.send("GET", "/readyz")[0]


def test_a_server_without_its_secret_does_not_start():
    """Uvicorn ends with the name of the variable."""
    environment = {name: value for name, value in os.environ.items() if name != "TOKEN_SECRET"}
    command = [SERVERS["litestar"][0], "app:app", "--port", "0"]

    done = subprocess.run(
        command, cwd=EXAMPLES / "fastapi", env=environment, check=False, capture_output=True, text=True, timeout=60
    )

    assert 0 != done.returncode
    assert "TOKEN_SECRET is not set" in done.stderr
