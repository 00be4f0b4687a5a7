"""Values of records stay out of the log lines of event loops and drivers, whatever their levels and debug modes are (promise P9)."""

from __future__ import annotations

import asyncio
import logging
import logging.handlers

import pytest

from resourcekit import Attr, Domain, Resource, attribute, create, get, query
from resourcekit.data_layers import SQL
from resourcekit.data_layers.log_redaction import redact

KINDS = ["sqlite", "postgresql", "mariadb"]


@pytest.fixture
def secret(database):
    """A resource with sensitive keys, its storage made."""
    domain = Domain("quiet")

    class Secret(Resource, domain=domain, data_layer=SQL(database.url)):
        key: Attr[str] = attribute(primary_key=True, sensitive=True)
        text: Attr[str] = attribute(default="marlin", sensitive=True)
        keep = create(accept=["key"])

    domain.create_storage()
    return Secret


def test_a_loop_in_debug_mode_shows_no_value(secret, caplog):
    """Asyncio's lines about slow callbacks name the callback; rows, which aiosqlite hands over by callbacks, are left out."""

    async def work():
        asyncio.get_running_loop().slow_callback_duration = 0.0
        await secret.keep.aio(key="swordfish")
        await asyncio.gather(*(get.aio(secret, "swordfish") for _ in range(3)))
        await query(secret).all.aio()

    with caplog.at_level(logging.DEBUG):
        asyncio.run(work(), debug=True)

    assert "Executing <" in caplog.text
    assert "swordfish" not in caplog.text
    assert "marlin" not in caplog.text


def test_a_lost_error_of_a_driver_shows_no_value(secret, caplog):
    """A future that is never awaited shows the type of a driver's error; an error of the program itself is shown as it is."""
    import sqlite3

    async def lose():
        loop = asyncio.get_running_loop()
        await query(secret).all.aio()
        for error in (sqlite3.IntegrityError("swordfish"), ValueError("a problem of the program")):
            future = loop.create_future()
            future.set_exception(error)
            del future

    with caplog.at_level(logging.DEBUG):
        asyncio.run(lose(), debug=True)

    assert "never retrieved" in caplog.text
    assert "a problem of the program" in caplog.text
    assert "swordfish" not in caplog.text


def test_warnings_of_a_server_are_counted_and_not_quoted(mariadb, caplog):
    """Asyncmy logs a server's warnings about values that do not fit; the line shows only that there was a warning."""
    domain = Domain("quiet")

    class Secret(Resource, domain=domain, data_layer=SQL(mariadb.url)):
        key: Attr[str] = attribute(primary_key=True, sensitive=True)

    domain.create_storage()
    mariadb.run("ALTER TABLE secret MODIFY `key` BIGINT NOT NULL")
    mariadb.run("INSERT INTO secret VALUES (0)")
    with caplog.at_level(logging.WARNING):
        asyncio.run(query(Secret).filter(Secret.key == "swordfish").all.aio())

    assert "asyncmy" in {record.name for record in caplog.records}
    assert "swordfish" not in caplog.text


@pytest.mark.parametrize("logger", ["psycopg", "aiosqlite"])
def test_errors_in_lines_of_drivers_are_named_by_their_type(logger, caplog):
    """Psycopg logs errors that it ignores, with what the server said of values."""
    redact(logger)
    with caplog.at_level(logging.DEBUG):
        try:
            raise ValueError("Key (jti)=(swordfish) already exists")
        except ValueError as error:
            logging.getLogger(logger).warning("error ignored in rollback on %s: %s", "it", error, exc_info=True)

    assert "ValueError" in caplog.text
    assert "swordfish" not in caplog.text


def test_a_filter_is_set_once():
    """Each engine asks for it, and a line is looked at once."""
    for _ in range(3):
        redact("asyncio", "asyncmy")

    assert [1, 1] == [len(logging.getLogger(name).filters) for name in ("asyncio", "asyncmy")]
