"""The commands for operators: sessions, end-session, log-out-everywhere, and revoke with the jtis of a file."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from resourcekit.cli import main

MEMBERS = '''
from resourcekit import Attr, Domain, attribute
from resourcekit.data_layers import SQL
from resourcekit_tokens import JWT, TokenRecord, TokenResource

members = Domain("members")

class Token(
    TokenRecord,
    domain=members,
    data_layer=SQL("sqlite:///members.db"),
    extensions=[TokenResource(jwt=JWT("0123456789abcdef0123456789abcdef"), sessions=True)],
):
    """Tokens with sessions."""
    device: Attr[str | None] = attribute(default=None)

class Plain(TokenRecord, domain=members, data_layer=SQL("sqlite:///members.db", table="plain"), extensions=[TokenResource]):
    """Tokens without."""
'''


@pytest.fixture
def token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The token resource of ``members_app`` in the current folder, with its tables."""
    (tmp_path / "members_app.py").write_text(MEMBERS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    module = importlib.import_module("members_app")
    module.members.create_storage()
    yield module.Token
    sys.modules.pop("members_app", None)


def run(*words: str, typed: str | None = None) -> Result:
    """Run the command as the shell would."""
    return CliRunner().invoke(main, ["token", *words], input=typed, prog_name="resourcekit")


def test_sessions_are_listed_and_one_is_ended(token):
    """A pipe gets one line a session, with its family first."""
    pairs = [token.issue_pair("alice", session_values={"device": device}) for device in ("phone", "laptop")]
    family = pairs[0].access.claims.family
    listed = run("sessions", "members_app:Token", "alice")
    ended = run("end-session", "members_app:Token", "alice", family, "--reason", "lost")
    other = run("end-session", "members_app:Token", "bob", family)

    assert {"device=phone", "device=laptop"} == {line.split("\t")[-1] for line in listed.output.splitlines()}
    assert [True, False] == [token.token_revoked(pair.access.token) for pair in pairs]
    assert "lost" == token.explain(token=pairs[0].access.token).reason
    assert (0, 2) == (ended.exit_code, other.exit_code)
    assert "no session of this subject" in other.output


@pytest.mark.parametrize("columns", ["60", "80"])
def test_a_narrow_screen_shows_the_family_whole(token, monkeypatch, columns):
    """``end-session`` takes the family, so that one that is cut could not be given."""
    monkeypatch.setenv("FORCE_COLOR", "1")  # as on a terminal
    monkeypatch.setenv("COLUMNS", columns)
    family = token.issue_pair("alice", session_values={"device": "phone"}).access.claims.family

    listed = run("sessions", "members_app:Token", "alice")

    assert "family" in listed.output
    assert family in listed.output
    assert "…" not in listed.output


def test_a_session_is_ended_whose_family_begins_with_a_hyphen(token):
    """One in 64 families does, and it is no option."""
    ended = run("end-session", "members_app:Token", "alice", "-aB3", "--reason", "lost")

    assert (2, True) == (ended.exit_code, "no session of this subject" in ended.output)


def test_a_subject_is_logged_out_everywhere_but_for_the_kept_session(token):
    """``--keep`` takes families."""
    pairs = [token.issue_pair("alice") for _ in range(2)]
    result = run("log-out-everywhere", "members_app:Token", "alice", "--keep", pairs[1].access.claims.family)

    assert 0 == result.exit_code
    assert [True, False] == [token.token_revoked(pair.access.token) for pair in pairs]


def test_the_jtis_of_a_file_are_revoked(token, tmp_path):
    """One a line; if one of them cannot be a jti, its line is named, and nothing is revoked."""
    (tmp_path / "jtis").write_text("one\n\ntwo\n")
    (tmp_path / "wrong").write_text("three\nrk:family:x\n")
    good, wrong = (run("revoke", "members_app:Token", "--jti-file", str(tmp_path / name)) for name in ("jtis", "wrong"))
    piped = run("revoke", "members_app:Token", "--jti-file", "-", typed="four")

    assert ["2 revoked\n", "1 revoked\n"] == [good.output, piped.output]
    assert [True, True, False, True] == [token.jti_revoked(jti) for jti in ("one", "two", "three", "four")]
    assert 2 == wrong.exit_code
    assert "line 2" in wrong.output


def test_a_resource_without_sessions_says_what_to_write(token):
    """As wrong usage."""
    result = run("sessions", "members_app:Plain", "alice")

    assert 2 == result.exit_code
    assert "sessions=True" in result.output
