"""The commands that resourcekit_tokens brings: token, expunge and demo."""

import importlib
import os
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime

import pytest
from click.testing import CliRunner

from resourcekit.cli import main

ACCOUNTS = '''
from resourcekit import Domain, Resource
from resourcekit.data_layers import SQL
from resourcekit_tokens import JWT, TokenRecord, TokenResource

accounts = Domain("accounts")

class Token(
    TokenRecord,
    domain=accounts,
    data_layer=SQL("sqlite:///accounts.db"),
    extensions=[TokenResource(jwt=JWT("0123456789abcdef0123456789abcdef"))],
):
    """Tokens with keys."""

class Foreign(Resource, domain=accounts, data_layer=SQL("sqlite:///accounts.db"), extensions=[TokenResource]):
    """Tokens of a peer; no keys are known."""
'''


@pytest.fixture
def accounts(tmp_path, monkeypatch):
    """The module ``accounts_app`` of the current folder, with its tables."""
    (tmp_path / "accounts_app.py").write_text(ACCOUNTS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    module = importlib.import_module("accounts_app")
    module.accounts.create_storage()
    yield module
    sys.modules.pop("accounts_app", None)


@pytest.fixture
def run(accounts):
    """Run the command as the shell would, with a text on standard input."""

    def run(*words, typed=None):
        return CliRunner().invoke(main, [str(word) for word in words], input=typed, prog_name="resourcekit")

    return run


def test_a_token_is_issued_checked_revoked_and_explained(run):
    """Each step reads the token from standard input, and the exit code is the result."""
    issued = run("token", "issue", "accounts_app:Token", "alice").output

    live = run("token", "check", "accounts_app:Token", typed=issued)
    revoked = run("token", "revoke", "accounts_app:Token", "--reason", "logout", typed=issued)
    dead = run("token", "check", "accounts_app:Token", typed=issued)
    received = run("token", "explain", "accounts_app:Token", typed=issued)

    assert (0, "not revoked\n") == (live.exit_code, live.output)
    assert 0 == revoked.exit_code
    assert revoked.output.startswith("revoked at ")
    assert "(logout)" in revoked.output
    assert (1, "revoked\n") == (dead.exit_code, dead.output)
    assert 1 == received.exit_code
    assert "rule: token" in received.output
    assert "reason: logout" in received.output


def test_a_token_is_read_from_a_file(run, tmp_path):
    """``--file`` takes the place of standard input."""
    path = tmp_path / "token"
    path.write_text(run("token", "issue", "accounts_app:Token", "alice").output)

    assert 0 == run("token", "check", "accounts_app:Token", "--file", path).exit_code


def test_a_token_on_the_command_line_is_wrong_usage(run):
    """Any argument after the resource is refused and not repeated: other processes can read a command line."""
    issued = run("token", "issue", "accounts_app:Token", "alice").output.strip()
    result = run("token", "check", "accounts_app:Token", issued)

    assert 2 == result.exit_code
    assert issued not in result.output


def test_a_link_is_used_up_once(run):
    """The second ``consume`` is refused with exit code 1."""
    issued = run("token", "issue", "accounts_app:Token", "alice", "--purpose", "reset", "--minutes", "5").output
    first = run("token", "consume", "accounts_app:Token", "--purpose", "reset", typed=issued)
    second = run("token", "consume", "accounts_app:Token", "--purpose", "reset", typed=issued)

    assert (0, "used up; its subject is alice\n") == (first.exit_code, first.output)
    assert 1 == second.exit_code
    assert second.output.startswith("refused (TokenConsumed)")


@pytest.mark.parametrize("verb", ["revoke", "consume"])
def test_garbage_is_refused_without_being_repeated(run, verb):
    """What is no token ends with exit code 1, and no part of it is printed."""
    words = ["--purpose", "user"] if verb == "consume" else []
    result = run("token", verb, "accounts_app:Token", *words, typed="swordfish.swordfish.swordfish")

    assert 1 == result.exit_code
    assert result.output.startswith("refused (")
    assert "swordfish" not in result.output


def test_garbage_is_revoked(run):
    """A check that cannot read its token says revoked."""
    result = run("token", "check", "accounts_app:Token", typed="swordfish")

    assert (1, "revoked\n") == (result.exit_code, result.output)


def test_issue_without_keys_says_what_to_write(run):
    """A resource without keys cannot sign."""
    result = run("token", "issue", "accounts_app:Foreign", "alice")

    assert 0 != result.exit_code
    assert "jwt=JWT(" in result.output


@pytest.mark.parametrize("app", ["accounts_app", "accounts_app:accounts", "accounts_app:nothing", "nowhere:Token"])
def test_a_target_that_is_not_one_token_resource_is_wrong_usage(run, app):
    """Several resources, or none, end with exit code 2 and a hint."""
    assert 2 == run("token", "check", app, typed="x").exit_code


def test_expunge_sweeps_every_token_resource(run, accounts):
    """One line for each resource, with what went; a dry run removes nothing."""
    past = datetime(2020, 1, 1, tzinfo=UTC)
    for jti in "abc":
        accounts.Token.revoke_jti(jti, expires_at=past)
    accounts.Foreign.revoke_jti("d", expires_at=past)

    dry = run("expunge", "accounts_app", "--dry-run")
    there = (len(accounts.Token.read_expired()), len(accounts.Foreign.read_expired()))
    wet = run("expunge", "accounts_app")

    assert ["accounts_app.Token: 3 would be removed", "accounts_app.Foreign: 1 would be removed"] == [
        line.rpartition(",")[0] for line in dry.output.splitlines()
    ]
    assert (3, 1) == there
    assert ["accounts_app.Token: 3 removed in 1 batch", "accounts_app.Foreign: 1 removed in 1 batch"] == [
        line.rpartition(",")[0] for line in wet.output.splitlines()
    ]
    assert [] == accounts.Token.read_expired() + accounts.Foreign.read_expired()


def test_one_resource_that_fails_does_not_keep_expunge_from_the_others(run, accounts):
    """The failure is reported with its resource, the others are swept, and the exit code shows that one failed."""
    past = datetime(2020, 1, 1, tzinfo=UTC)
    accounts.Foreign.revoke_jti("d", expires_at=past)
    with sqlite3.connect("accounts.db") as connection:
        connection.execute("DROP TABLE token")
    connection.close()
    result = run("expunge", "accounts_app")

    assert 1 == result.exit_code
    assert "accounts_app.Token: failed: Unavailable" in result.output
    assert "accounts_app.Foreign: 1 removed in 1 batch" in result.output


def test_demo_tells_the_life_of_a_token_and_leaves_a_usable_file(tmp_path, monkeypatch):
    """The story ends with commands that work on the file it leaves."""
    monkeypatch.chdir(tmp_path)

    environment = {**os.environ, "RESOURCEKIT_DEMO_DB": "story.db"}
    command = [sys.executable, "-m", "resourcekit"]
    received = subprocess.run([*command, "demo", "--db", "story.db"], capture_output=True, text=True, check=True).stdout
    check = [*command, "token", "check", "resourcekit_tokens.demo:Token", "--file", "story.db.token"]
    checked = subprocess.run(check, capture_output=True, text=True, env=environment, check=False)

    assert "Token.revoke(" in received
    assert "True" in received
    assert "token check resourcekit_tokens.demo:Token --file" in received
    assert (0, "not revoked\n") == (checked.returncode, checked.stdout)


def test_demo_can_be_told_again_on_the_same_file(tmp_path, monkeypatch):
    """A second run on the file of the first one works as well."""
    monkeypatch.chdir(tmp_path)

    command = [sys.executable, "-m", "resourcekit", "demo", "--db", "story.db"]
    codes = [subprocess.run(command, capture_output=True, check=False).returncode for _ in range(2)]

    assert [0, 0] == codes


@pytest.mark.parametrize(
    "written",
    [
        lambda token: token.encode(),
        lambda token: b"\xef\xbb\xbf" + token.encode() + b"\r\n",
        lambda token: (token + "\r\n").encode("utf-16"),
        lambda token: f"Bearer {token}\n".encode(),
        lambda token: f"bearer  {token}".encode(),
    ],
    ids=["utf-8", "byte order mark", "utf-16", "bearer", "lower case"],
)
def test_a_file_may_hold_a_token_as_shells_and_headers_write_it(run, tmp_path, written):
    """PowerShell writes UTF-16, editors write byte order marks, and a header begins with Bearer."""
    token = run("token", "issue", "accounts_app:Token", "alice").output.strip()
    (tmp_path / "token.txt").write_bytes(written(token))

    found = run("token", "check", "accounts_app:Token", "--file", tmp_path / "token.txt")

    assert (0, "not revoked\n") == (found.exit_code, found.output)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"\xff\xfe\x00", "holds no text in UTF-8 or UTF-16"),
        (b"\x80", "UTF-8"),
        (b"a" * 70_000, "longer than 64 KiB"),
        (b" \n", "is empty"),
        (b"Bearer \n", "is empty"),
    ],
)
def test_a_file_without_text_is_wrong_usage(run, tmp_path, content, text):
    """The exit code is 2, which does not mean "revoked", and the message names the next step."""
    (tmp_path / "token.txt").write_bytes(content)

    found = run("token", "check", "accounts_app:Token", "--file", tmp_path / "token.txt")

    assert 2 == found.exit_code
    assert text in found.output
    assert "give a file that holds one token" in " ".join(found.output.replace("│", " ").split())
