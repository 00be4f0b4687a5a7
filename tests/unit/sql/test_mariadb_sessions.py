"""Text on MariaDB whatever sessions say: character sets, SQL modes, engines and connections of the user's own."""

from __future__ import annotations

import asyncio

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from resourcekit import query
from resourcekit.data_layers import Repo, joined
from resourcekit.errors import DeclarationError, InvalidArgument
from tests.support.notes import declared

TEXT = "Zoë 😀 \\ ' \" %_ \n"


def engine_at(place, **options):
    """Return an engine of the test's own."""
    return sa.create_engine(place.url.replace("mariadb:", "mariadb+pymysql:"), **options)


@pytest.mark.parametrize(
    "command",
    [
        "SET NAMES latin1",
        "SET character_set_client = latin1",
        "SET character_set_results = latin1",
        "SET character_set_results = NULL",
        "SET collation_connection = utf8mb4_general_ci",
        "SET sql_mode = 'PAD_CHAR_TO_FULL_LENGTH,NO_BACKSLASH_ESCAPES,ANSI_QUOTES,EMPTY_STRING_IS_NULL,ORACLE'",
        "SET sql_mode = ''",
    ],
)
def test_text_is_kept_whatever_an_init_command_says(mariadb, command):
    """Connections set again what text depends on, after the command of the URL has run; sync and async."""
    url = sa.make_url(mariadb.url).update_query_dict({"init_command": command})
    note = declared(Repo(url))
    note.write(key="session-😀", text=TEXT)
    asyncio.run(note.write.aio(key="session-😁", text=""))

    assert {"session-😀": TEXT, "session-😁": ""} == {each.key: each.text for each in query(note).all()}
    assert TEXT == asyncio.run(query(note).filter(note.key == "session-😀").one.aio()).text


def test_an_engine_of_ones_own_that_speaks_another_character_set_is_refused(mariadb):
    """An engine made with charset=utf8 would store question marks; the first use says so, and nothing is written."""
    note = declared(Repo(engine=engine_at(mariadb, connect_args={"charset": "utf8"})), storage=False)
    with pytest.raises(DeclarationError, match="utf8mb4"):
        note.write(key="a", text=TEXT)


@pytest.mark.parametrize(
    "command",
    [
        "SET NAMES latin1",
        "SET NAMES utf8",
        "SET character_set_results = latin1",
        "SET sql_mode = 'EMPTY_STRING_IS_NULL'",
        "SET sql_mode = 'ORACLE'",
    ],
)
def test_a_joined_session_that_changes_text_is_refused(mariadb, command):
    """joined() names what the user's own connection does to text, sync and async, before anything is written."""
    note = declared(mariadb.url)
    what = "character set" if "mode" not in command else "sql_mode"
    with engine_at(mariadb).connect() as connection:
        connection.exec_driver_sql(command)
        with pytest.raises(InvalidArgument, match=what), joined(connection, note):
            pytest.fail("joined")

    async def join():
        engine = create_async_engine(mariadb.url.replace("mariadb:", "mariadb+asyncmy:"))
        async with engine.connect() as connection:
            await connection.exec_driver_sql(command)
            with pytest.raises(InvalidArgument, match=what):
                async with joined(connection, note):
                    pytest.fail("joined")
        await engine.dispose()

    asyncio.run(join())

    assert 0 == query(note).count()


@pytest.mark.parametrize("mode", ["", "ANSI_QUOTES", "NO_BACKSLASH_ESCAPES", "PAD_CHAR_TO_FULL_LENGTH", "PIPES_AS_CONCAT"])
def test_a_joined_session_with_another_sql_mode_keeps_text(mariadb, mode):
    """What modes change besides is the same for statements of a resource, in either mode of calls."""
    note = declared(mariadb.url)
    with engine_at(mariadb).begin() as connection:
        connection.exec_driver_sql(f"SET sql_mode = '{mode}'")
        with joined(connection, note):
            note.write(key="a", text=TEXT)

    async def join():
        engine = create_async_engine(mariadb.url.replace("mariadb:", "mariadb+asyncmy:"))
        async with engine.begin() as connection:
            await connection.exec_driver_sql(f"SET sql_mode = '{mode}'")
            async with joined(connection, note):
                await note.write.aio(key="b", text=TEXT + "b")
        await engine.dispose()

    asyncio.run(join())

    assert [TEXT, TEXT + "b"] == [each.text for each in query(note).all()]
