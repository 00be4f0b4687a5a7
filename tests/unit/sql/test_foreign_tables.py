"""Tables that were made by others and compare text otherwise than the resource: refused before one record is taken for another."""

from __future__ import annotations

import asyncio

import pytest

from resourcekit import Domain, query
from resourcekit.data_layers import SQL
from resourcekit.doctor import doctor
from resourcekit.errors import DataLayerError
from resourcekit_tokens import TokenRecord, TokenResource
from tests.support.notes import declared

WRONG = [
    "CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci",
    "CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
    "CHARACTER SET utf8mb3 COLLATE utf8mb3_bin",
    "CHARACTER SET latin1 COLLATE latin1_bin",
]


@pytest.mark.parametrize("collation", WRONG)
def test_a_table_of_mariadb_with_another_collation_is_refused(mariadb, collation):
    """Reads, writes and create_storage of a process that meets it raise; what is there stays; doctor says which column it is."""
    declared(mariadb.url)
    mariadb.run(f"ALTER TABLE notes MODIFY `key` VARCHAR(100) {collation} NOT NULL")
    for use in (
        lambda note: note.write(key="session-😀"),
        lambda note: asyncio.run(note.write.aio(key="session-😀")),
        lambda note: query(note).all(),
        lambda note: query(note).exists(),
        lambda note: asyncio.run(query(note).exists.aio()),
    ):
        note = declared(mariadb.url, storage=False)
        with pytest.raises(DataLayerError, match="the column key of notes compares text by"):
            use(note)
    findings = doctor(note)

    assert [(0,)] == [tuple(row) for row in mariadb.run("SELECT count(*) FROM notes")]
    assert "RK115" in {finding.id for finding in findings}
    with pytest.raises(DataLayerError, match="code point"):
        declared(mariadb.url)


def test_a_check_of_a_token_in_such_a_table_says_revoked(mariadb):
    """A check that cannot trust the table fails closed, and revoking raises."""
    domain = Domain("tokens")

    class Token(TokenRecord, domain=domain, data_layer=SQL(mariadb.url, table="tokens"), extensions=[TokenResource]):
        pass

    mariadb.run(
        "CREATE TABLE tokens (jti VARCHAR(255) PRIMARY KEY, subject TEXT, purpose VARCHAR(255), family TEXT, expires_at BIGINT, "
        "extra_data TEXT, revoked_at BIGINT, revocation_reason TEXT, created_at BIGINT, updated_at BIGINT) CHARACTER SET utf8mb4"
    )
    with pytest.raises(DataLayerError, match="code point"):
        Token.revoke_jti("session-😀")

    assert Token.jti_revoked("session-😁") is True


def test_a_table_that_compares_as_declared_is_looked_at_once(mariadb):
    """After the first use no question is asked about the table any more, whether or not resourcekit made it."""
    declared(mariadb.url)
    note = declared(mariadb.url, storage=False)
    note.write(key="a")

    assert not note.__runtime__.store._is_unchecked


def test_columns_that_no_attribute_names_are_left_alone(mariadb):
    """What a migration added for another program may compare as it likes."""
    note = declared(mariadb.url)
    mariadb.run("ALTER TABLE notes ADD COLUMN place VARCHAR(20) COLLATE utf8mb4_general_ci NOT NULL DEFAULT 'here'")
    note = declared(mariadb.url)
    note.write(key="a")

    assert 1 == query(note).count()
