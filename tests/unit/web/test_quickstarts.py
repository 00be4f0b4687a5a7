"""The quickstarts of the page of the web layer: at most 15 lines each, and each signs a user in, refreshes and signs out."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.architecture.snippets import ROOT, read_page

pytestmark = pytest.mark.slow

PAGE = read_page(ROOT / "extensions" / "web" / "README.md")
FILES = {block.text.split("\n", 1)[0].removeprefix("# "): block.text for block in PAGE.blocks if block.text.startswith("# ")}
APPS = {
    "fastapi": "fastapi_app.py",
    "flask": "flask_app.py",
    "quart": "quart_app.py",
    "litestar": "litestar_app.py",
    "starlette": "starlette_app.py",
    "django": "django_urls.py",
}
MOST_LINES = 15

WALK = """
import asyncio, importlib, json, sys
from accounts import accounts
from tests.support.web_apps import ASGI_APPS
from tests.support.web_requests import Sent, asgi_sender, wsgi_sender

framework, module = sys.argv[1:]
accounts.create_storage()
if framework == "django":
    exec(open("settings_block.py").read())
    from django.conf import settings
    from django.core.handlers.wsgi import WSGIHandler
    settings.ALLOWED_HOSTS = ["app.example"]
    app = WSGIHandler()
else:
    app = importlib.import_module(module).app
send = (asgi_sender if framework in ASGI_APPS else wsgi_sender)(app)
if framework in ("django", "flask", "quart"):
    form = Sent(method="POST", path="/login", body=b"name=alice&password=x", headers=(("content-type", b"application/x-www-form-urlencoded"),))
else:
    form = Sent(method="POST", path="/login", body=json.dumps({"name": "alice", "password": "x"}).encode(), headers=(("content-type", b"application/json"),))
jar, answers = {}, []
for sent in (Sent(), form, Sent(), Sent(method="POST", path="/auth/refresh"), Sent(path="/auth/sessions"), Sent(method="POST", path="/auth/logout"), Sent()):
    cookies = "; ".join(f"{name}={value}" for name, value in jar.items() if value)
    reply = send(sent.with_headers(("cookie", cookies.encode())) if cookies else sent)
    jar.update(reply.cookies())
    answers.append([reply.status, reply.json.get("sub") if reply.status == 200 else None])
print(json.dumps(answers))
"""


def lines_of(text):
    """Return the lines of a block with something on them, without the name of the file."""
    return [line for line in text.splitlines()[1:] if line.strip()]


@pytest.mark.parametrize("framework", APPS)
def test_a_quickstart_is_short(framework):
    """At most 15 lines, imports included."""
    assert 5 < len(lines_of(FILES[APPS[framework]])) <= MOST_LINES


@pytest.mark.parametrize("framework", APPS)
def test_a_quickstart_signs_in_and_out(framework, tmp_path):
    """In a process of its own, as the page has it: no sign-in, sign in, me, refresh, list sessions, log out, no sign-in."""
    for name, text in FILES.items():
        tmp_path.joinpath(name).write_text(text)
    (settings,) = (block.text for block in PAGE.blocks if "settings.configure" in block.text)
    tmp_path.joinpath("settings_block.py").write_text(settings)
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    environment = {**os.environ, "PYTHONPATH": path, "TOKEN_SECRET": "a-secret-of-a-quickstart-0123456789-0123456789"}
    command = [sys.executable, "-c", WALK, framework, APPS[framework].removesuffix(".py")]

    done = subprocess.run(command, cwd=tmp_path, env=environment, check=False, capture_output=True, text=True, timeout=120)

    assert 0 == done.returncode, done.stderr
    assert [[401, None], [204, None], [200, "alice"], [204, None], [200, None], [204, None], [401, None]] == json.loads(
        done.stdout.splitlines()[-1]
    )
