"""What happens to an SQLite file from outside while connections are kept: another link, another folder, emptied, away for a while."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3

import pytest

from resourcekit.data_layers import SQL
from resourcekit.errors import DataLayerError
from resourcekit_tokens import JWT
from tests.support.setups import declare_tokens

SECRET = "b6jCk0fVZ1cQ9uYxL3mWd7RtHs2NpEaG8iToK5yvX4zQ"


def revoke(token, text, *, is_async):
    """Revoke, in a sync or an async call."""
    return asyncio.run(token.revoke.aio(text)) if is_async else token.revoke(text)


@pytest.fixture
def declared():
    """A function that declares a token resource in a file, and makes its tables."""
    return lambda file: declare_tokens(SQL(f"sqlite:///{file}", table="tokens"), jwt=JWT(SECRET))


def copied(file, target):
    """Write a consistent copy of a database, as a backup does."""
    target.parent.mkdir(exist_ok=True)
    source, other = sqlite3.connect(file), sqlite3.connect(target)
    source.backup(other)
    source.close()
    other.close()


def revoked_in(file):
    """Return how many records of the file are revoked, as another program reads it."""
    other = sqlite3.connect(file)
    (count,) = other.execute("SELECT count(*) FROM tokens WHERE revoked_at IS NOT NULL").fetchone()
    other.close()
    return count


@pytest.mark.parametrize("is_async", [False, True])
def test_a_link_that_leads_elsewhere_is_followed(tmp_path, declared, is_async):
    """A deployment turns a link to a copy of the folder: what is acknowledged afterwards is in the new place."""
    link = tmp_path / "current"
    (tmp_path / "first").mkdir()
    link.symlink_to(tmp_path / "first")
    token = declared(link / "tokens.db")
    issued = token.issue("bob")
    assert not (asyncio.run(token.token_revoked.aio(issued.token)) if is_async else token.token_revoked(issued.token))

    copied(tmp_path / "first" / "tokens.db", tmp_path / "second" / "tokens.db")
    link.unlink()
    link.symlink_to(tmp_path / "second")
    revoke(token, issued.token, is_async=is_async)

    assert [0, 1] == [revoked_in(tmp_path / name / "tokens.db") for name in ("first", "second")]


def test_a_folder_that_is_exchanged_is_noticed(tmp_path, declared):
    """The folder is renamed and a copy has its name: the copy gets what is acknowledged."""
    token = declared(folder_of(tmp_path) / "tokens.db")
    issued = token.issue("bob")
    assert not token.token_revoked(issued.token)

    copied(tmp_path / "data" / "tokens.db", tmp_path / "new" / "tokens.db")
    (tmp_path / "data").rename(tmp_path / "old")
    (tmp_path / "new").rename(tmp_path / "data")
    token.revoke(issued.token)

    assert [0, 1] == [revoked_in(tmp_path / name / "tokens.db") for name in ("old", "data")]


def folder_of(tmp_path):
    """Return a new folder."""
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def test_a_file_that_is_away_for_a_while_acknowledges_nothing_meanwhile(tmp_path, declared):
    """Checks say revoked and a revoke raises; once the file is back, it has what was acknowledged before."""
    file = folder_of(tmp_path) / "tokens.db"
    token = declared(file)
    before, meanwhile = token.issue("bob"), token.issue("bob")
    token.revoke(before.token)

    (tmp_path / "data").rename(tmp_path / "away")
    assert token.token_revoked(meanwhile.token)
    with pytest.raises(DataLayerError):
        token.revoke(meanwhile.token)
    shutil.rmtree(tmp_path / "data", ignore_errors=True)
    (tmp_path / "away").rename(tmp_path / "data")

    assert [True, False] == [token.token_revoked(each.token) for each in (before, meanwhile)]
    assert 1 == revoked_in(file)


def test_a_file_that_is_emptied_in_place_acknowledges_nothing(tmp_path, declared):
    """The file and its log are cut to nothing: checks say revoked, and a revoke raises."""
    file = folder_of(tmp_path) / "tokens.db"
    token = declared(file)
    issued = token.issue("bob")
    assert not token.token_revoked(issued.token)

    for ending in ("", "-wal"):  # without -shm, which is a part of each process's memory
        file.with_name(file.name + ending).write_bytes(b"")

    assert token.token_revoked(issued.token)
    with pytest.raises(DataLayerError):
        token.revoke(issued.token)
