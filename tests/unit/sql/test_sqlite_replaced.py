"""SQLite files that are replaced, restored or removed while connections to them are kept."""

import asyncio
import sqlite3
import threading

import pytest

from resourcekit import query, transaction
from resourcekit.actions.drive import drive, in_call_mode
from resourcekit.data_layers import SQL
from resourcekit.errors import DataLayerError, OutcomeUnknown, Unavailable
from resourcekit_tokens import JWT
from tests.support.setups import declare_tokens

SECRET = "b6jCk0fVZ1cQ9uYxL3mWd7RtHs2NpEaG8iToK5yvX4zQ"


@pytest.fixture
def file(tmp_path):
    """The place of the database."""
    return tmp_path / "tokens.db"


@pytest.fixture
def token(file):
    """A token resource in the file, with tables."""
    return declare_tokens(SQL(f"sqlite:///{file}", table="tokens"), jwt=JWT(SECRET))


def restore(file):
    """Put a backup in the place of the file, as a restore does."""
    backup = file.with_name("backup.db")
    with sqlite3.connect(file) as source, sqlite3.connect(backup) as target:
        source.backup(target)
    source.close()
    target.close()
    for ending in ("-wal", "-shm"):
        file.with_name(file.name + ending).unlink(missing_ok=True)
    backup.replace(file)


def revoked_in(file):
    """Return how many records of the file are revoked, as another program reads it."""
    other = sqlite3.connect(file)
    (count,) = other.execute("SELECT count(*) FROM tokens WHERE revoked_at IS NOT NULL").fetchone()
    other.close()
    return count


def test_a_kept_connection_writes_into_the_restored_file(file, token):
    """A thread that had a connection before the restore opens a new one: what it acknowledges is in the file."""
    issued = token.issue("bob")
    assert not token.token_revoked(issued.token)
    restore(file)

    token.revoke(issued.token)

    assert 1 == revoked_in(file)
    assert token.token_revoked(issued.token)


def test_a_kept_connection_reads_the_restored_file(file, token):
    """A check sees what another program wrote into the file that took the place."""
    issued = token.issue("bob")
    token.store_token(issued.token)
    assert not token.token_revoked(issued.token)
    restore(file)
    other = sqlite3.connect(file)
    with other:
        other.execute("UPDATE tokens SET revoked_at = updated_at, revocation_reason = 'by hand'")
    other.close()

    assert token.token_revoked(issued.token)


def test_kept_connections_of_async_calls_too(file, token):
    """The connections of a loop are looked at in the same way."""
    issued = token.issue("bob")

    async def main():
        assert not await token.token_revoked.aio(issued.token)
        restore(file)
        await token.revoke.aio(issued.token)

    asyncio.run(main())

    assert 1 == revoked_in(file)


def test_a_removed_file_acknowledges_nothing(file, token):
    """Without its file the table is missing, which a revoke raises and a check answers with "revoked"."""
    issued = token.issue("bob")
    assert not token.token_revoked(issued.token)
    for each in file.parent.iterdir():
        each.unlink()

    with pytest.raises(DataLayerError):
        token.revoke(issued.token)
    assert token.token_revoked(issued.token)


def test_a_transaction_over_a_replaced_file_is_not_acknowledged(file, token):
    """A block that began before the restore raises at its end, and nothing of it is in the file."""
    issued = token.issue("bob")
    assert not token.token_revoked(issued.token)
    with pytest.raises(DataLayerError, match="nothing was written"), transaction(token):
        token.revoke(issued.token)
        restore(file)

    assert 0 == revoked_in(file)
    assert not token.token_revoked(issued.token)


@pytest.mark.parametrize("is_async", [False, True])
def test_a_write_during_which_the_file_goes_is_not_acknowledged(file, token, is_async):
    """Between the statement and the return of the call is time for a restore."""
    store = token.__runtime__.store

    def work(connection):
        connection.run("DELETE FROM tokens")
        restore(file)

    with pytest.raises(OutcomeUnknown, match="repeat"):
        if is_async:
            asyncio.run(in_call_mode(store.do(work)))
        else:
            drive(store.do(work))


@pytest.mark.parametrize("is_async", [False, True])
def test_a_transaction_whose_file_goes_answers_no_call(file, token, is_async):
    """A read inside of it would see what other connections no longer find."""

    async def work():
        async with transaction(token):
            await query(token).count.aio()
            restore(file)
            with pytest.raises(Unavailable, match="replaced or removed"):
                await query(token).count.aio()

    def work_sync():
        with transaction(token):
            restore(file)
            with pytest.raises(Unavailable, match="replaced or removed"):
                query(token).count()

    with pytest.raises(DataLayerError):  # at the end of the block
        asyncio.run(work()) if is_async else work_sync()


def test_a_connection_to_the_old_file_leaves_the_log_of_the_new_one_alone(file, token):
    """A thread that ends closes its connection to the old file; writes to the new one are kept."""
    go_on, began = threading.Event(), threading.Event()

    def hold():
        query(token).count()
        began.set()
        go_on.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    began.wait(10)
    restore(file)
    assert query(token).count() == 0
    token.revoke_jti("new")
    go_on.set()
    thread.join()

    assert [("new",)] == sqlite3.connect(file).execute("SELECT jti FROM tokens").fetchall()
