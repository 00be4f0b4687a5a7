"""The two libraries of Django, each in a project of its own: Simple JWT and allauth headless."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def seen(scenario, *arguments):
    """Return what a scenario saw."""
    command = [sys.executable, "-m", "tests.support.django_peers", scenario, *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True, timeout=120)
    assert 0 == done.returncode, done.stderr
    assert "eyJ" not in done.stderr
    return json.loads(done.stdout)


def test_simple_jwt_keeps_its_views_and_asks_the_resource():
    """Its views refuse used and revoked tokens, a black-listed refresh token ends its sign-in, and no row of its own is written.

    A store that does not answer is a 503 at a sign-in. A user whose field of identity is empty gets a token that can be revoked.
    """
    assert {
        "away": [503, "5", 401],
        "nameless": [True, 401],
        "turned": 200,
        "repeated": [401, "Token is blacklisted"],
        "verified": [200, 401, 401],
        "seen": [200, 200, 401],
        "blacklist": [200, 401, 401],
        "new": [True, False],
        "everywhere": [401, 200],
        "rows": 0,
    } == seen("simplejwt")


def test_allauth_gets_the_tokens_of_the_resource():
    """Sign-in, rotation, reuse and log-out by allauth's API for apps; tokens end with the session of Django.

    A refresh asks for the claims again, and is refused to a user who is not active or whose password has changed.
    """
    assert {
        "names": ["access_token", "expires_in", "is_authenticated", "refresh_token", "session_token"],
        "subject": True,
        "key hidden": True,
        "expires_in": True,
        "seen": [200, 200, 401],
        "wrong": 401,
        "reuse": [400, 401],
        "out": [401, True],
        "away": [[503, "5"]] * 3,
        "told": "new@shop.example",
        "inactive": [400, True],
        "changed": [400, True],
        "gone": [400, True],
    } == seen("allauth")
