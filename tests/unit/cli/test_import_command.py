from __future__ import annotations

import secrets
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from resourcekit import utc_now
from resourcekit.data_layers import Memory
from resourcekit_tokens import JWT
from resourcekit_tokens.commands.importers import import_revocations
from tests.support import valkey
from tests.support.setups import declare_tokens

ROOT = Path(__file__).parents[3]
SECRET = "a-secret-for-imports-that-is-long-enough-0123456789"


@pytest.fixture
def token():
    """A token resource in memory."""
    return declare_tokens(Memory(), jwt=JWT(SECRET))


@pytest.fixture
def run(token, monkeypatch):
    """A function that runs the command, and returns exit code and output."""

    def ran(library, url, *options):
        monkeypatch.setattr("resourcekit_tokens.commands.token.find_resources", lambda place: (token,))
        result = CliRunner().invoke(import_revocations, [library, url, "shop:Token", *map(str, options)])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result.exit_code, result.output

    return ran


@pytest.fixture
def blocklist(tmp_path):
    """A function that makes a table as Flask-JWT-Extended documents it, and returns its URL."""

    def made(*rows, columns="id INTEGER PRIMARY KEY, jti VARCHAR(36), created_at DATETIME, ends DATETIME, who INTEGER"):
        file = tmp_path / "blocklist.db"
        with sqlite3.connect(file) as connection:
            connection.execute(f"CREATE TABLE token_blocklist ({columns})")
            connection.executemany("INSERT INTO token_blocklist (jti, created_at, ends, who) VALUES (?, ?, ?, ?)", rows)
        connection.close()
        return f"sqlite:///{file}"

    return made


def text(moment):
    """Return a time as SQLAlchemy writes it to SQLite: in UTC, without a zone."""
    return moment.strftime("%Y-%m-%d %H:%M:%S.%f")


def test_a_table_of_revocations_is_taken_over(run, token, blocklist):
    """Expiry and user come along, expired and unusable rows are counted; a repetition changes nothing."""
    now = utc_now().replace(microsecond=0)
    ends = now + timedelta(days=40)
    url = blocklist(
        ("one", text(now), text(ends), 7),
        ("old", text(now), text(now - timedelta(days=1)), 7),
        ("", text(now), text(ends), 7),
        ("rk:family:x", text(now), text(ends), 7),
    )
    options = ("--expires-column", "ends", "--subject-column", "who")

    dry, none = run("flask-jwt-extended", url, *options, "--dry-run"), token.jti_revoked("one")
    first, second = (run("flask-jwt-extended", url, *options) for _ in range(2))

    assert ((0, "1 would be taken over; 1 had expired, 2 are not usable as a jti\n"), False) == (dry, none)
    assert [(0, "1 taken over; 1 had expired, 2 are not usable as a jti\n")] * 2 == [first, second]
    record = token.get_token(jti="one")
    assert ("7", ends, True) == (record.subject, record.expires_at, token.jti_revoked("one"))
    assert not token.jti_revoked("old")


def test_the_expiry_is_counted_from_the_revocation(run, token, blocklist):
    """The table of the documentation has only the time of the revocation: with the longest life that is an expiry."""
    created = datetime.now(UTC).replace(microsecond=0)
    url = blocklist(("one", text(created), None, None))

    run("flask-jwt-extended", url, "--created-column", "created_at", "--days", "2")

    assert created + timedelta(days=2) == token.get_token(jti="one").expires_at


def test_thousands_of_rows_go_in_batches(run, token, blocklist):
    """Nothing is lost at the borders of the batches."""
    rows = [(f"jti-{number}", None, None, None) for number in range(2_001)]

    code, output = run("flask-jwt-extended", blocklist(*rows))

    assert (0, "2001 taken over; 0 had expired, 0 are not usable as a jti\n") == (code, output)
    assert all(token.jti_revoked(f"jti-{number}") for number in (0, 999, 1000, 1999, 2000))


def test_keys_of_redis_are_taken_over(run, token):
    """A key's time to live is the expiry; other keys of the server are left alone, also where the prefix is a pattern."""
    if valkey.binary() is None:
        pytest.skip("no Valkey and no Redis server")
    server = valkey.shared()
    prefix = f"[{secrets.token_hex(4)}]*:"
    client = server.client()
    try:
        client.set(f"{prefix}one", "", ex=3600)
        client.set(f"{prefix}two", "")
        client.set(f"x{prefix}three", "")

        code, output = run("flask-jwt-extended", server.url, "--prefix", prefix)

        assert (0, "2 taken over; 0 had expired, 0 are not usable as a jti\n") == (code, output)
        assert [True, True, False] == [token.jti_revoked(jti) for jti in ("one", "two", "three")]
        assert abs(token.get_token(jti="one").expires_at - utc_now() - timedelta(hours=1)) < timedelta(minutes=1)
    finally:
        client.delete(f"{prefix}one", f"{prefix}two", f"x{prefix}three")


def test_the_blacklist_of_simple_jwt_is_taken_over(run, token, tmp_path):
    """Only blacklisted tokens come along, with the user and the expiry of the outstanding ones, as its own classes wrote them."""
    import json

    file = tmp_path / "django.db"
    command = [sys.executable, "-m", "tests.support.django_peers", "blacklist", str(file)]
    made = json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=120).stdout)

    code, output = run("simplejwt", f"sqlite:///{file}")

    assert (0, "2 taken over; 0 had expired, 0 are not usable as a jti\n") == (code, output)
    assert [True, True, False] == [token.jti_revoked(jti) for jti in made["jtis"]]
    assert made["subject"] == token.get_token(jti=made["jtis"][0]).subject
    left = token.get_token(jti=made["jtis"][0]).expires_at - utc_now()
    assert timedelta(hours=23) < left <= timedelta(days=1)


@pytest.mark.parametrize(
    ("library", "options", "message"),
    [
        ("flask-jwt-extended", ("--table", "nothing"), "the database has no table nothing; name it with --table"),
        ("flask-jwt-extended", ("--jti-column", "token"), "token_blocklist has no column token; it has created_at, ends"),
        ("flask-jwt-extended", ("--days", "3"), "--created-column and --days are given together"),
        ("simplejwt", (), "the database has no table token_blacklist_outstandingtoken"),
    ],
)
def test_a_wrong_import_names_the_next_step(run, blocklist, library, options, message):
    """Nothing is written, and the exit code is that of wrong usage."""
    code, output = run(library, blocklist(("one", None, None, None)), *options)

    assert (2, True) == (code, message in " ".join(output.split())), output


def test_the_password_of_a_url_is_not_shown(run, monkeypatch):
    """The URL may come from the environment; neither a wrong one nor a server that is away prints it."""
    monkeypatch.setenv("OLD_DATABASE", "postgresql+psycopg://user:hunter2@127.0.0.1:9/none")

    away, wrong = run("simplejwt", "env:OLD_DATABASE"), run("simplejwt", "hunter2")
    missing = run("simplejwt", "env:NO_SUCH_VARIABLE")

    assert [1, 2, 2] == [away[0], wrong[0], missing[0]]
    assert "the store at URL cannot be read: OperationalError" in away[1]
    assert "hunter2" not in away[1] + wrong[1]
