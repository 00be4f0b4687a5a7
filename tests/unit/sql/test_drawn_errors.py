"""Whatever a driver raises becomes an error of resourcekit that holds no text of the driver: drawn errors, codes and messages."""

from __future__ import annotations

import random
import sqlite3
import traceback
from collections.abc import Iterator

import asyncmy.errors
import psycopg
import pymysql.err
import pytest
import redis.exceptions
from sqlalchemy import exc

from resourcekit.data_layers.redis.failures import refused
from resourcekit.data_layers.sql import Repo
from resourcekit.data_layers.sql.execution.failures import AtCommit, as_ours
from resourcekit.errors import ResourcekitError, Unavailable
from tests.support.notes import declared

SECRET = "jti-4f1c-secret"
WORDS = (
    *(
        "",
        SECRET,
        "duplicate key value violates unique constraint",
        "Duplicate entry",
        "for key 'PRIMARY'",
        "for key 'note.by_text'",
    ),
    *(
        "Key (key)=(",
        ") already exists.",
        "UNIQUE constraint failed: notes.key",
        "NOT NULL constraint failed: notes.",
        "database is locked",
    ),
    *(
        "no such table: ",
        "no such column: ",
        "password authentication failed for user ",
        'database "',
        '" does not exist',
        "too complex",
    ),
    *(
        "could not translate host name",
        "invalid port value",
        "remaining connection slots",
        "Data too long for column '",
        "' at row 1",
    ),
    *(
        "Column '",
        "' cannot be null",
        "\n",
        "\0",
        "é\U0001f600",
        "(",
        ")",
        "'",
        '"',
        "%s",
        "{0}",
        "max_allowed_packet",
        "server has gone away",
    ),
)


MISWRITTEN = ('near "', "no such function: ", "ambiguous column name: ", "misuse of aggregate: ", "Unknown column '", "FUNCTION ")


def message(draw: random.Random) -> str:
    """Draw a message that holds the sensitive value."""
    words = [draw.choice(WORDS) for _ in range(draw.randrange(1, 6))]
    words.insert(draw.randrange(len(words) + 1), SECRET)
    if draw.random() < 0.3:  # a text about the SQL of a statement, of which a part is shown
        words.insert(0, draw.choice(MISWRITTEN))
    return draw.choice(("", " ")).join(words)


def _of_postgresql(draw: random.Random) -> Exception:
    classes = [kind for kind in vars(psycopg.errors).values() if isinstance(kind, type) and issubclass(kind, psycopg.Error)]
    error = draw.choice(classes)(message(draw))
    if draw.random() < 0.3:
        error.sqlstate = "".join(draw.choices("0123456789ABCDEFP", k=5))
    return error


def _of_mariadb(draw: random.Random) -> Exception:
    module = draw.choice((pymysql.err, asyncmy.errors))
    classes = [kind for kind in vars(module).values() if isinstance(kind, type) and issubclass(kind, module.Error)]
    code = draw.choice((draw.randrange(1000, 5000), *draw.choices(range(1000, 2100), k=3), 1054, 1305, 0, -1, SECRET))
    return draw.choice(classes)(*draw.choice(((code, message(draw)), (message(draw),), (), (code,))))


def _of_sqlite(draw: random.Random) -> Exception:
    classes = [kind for kind in vars(sqlite3).values() if isinstance(kind, type) and issubclass(kind, sqlite3.Error)]
    codes = [value for name, value in vars(sqlite3).items() if name.startswith("SQLITE_") and isinstance(value, int)]
    error = draw.choice(classes)(message(draw))
    if draw.random() < 0.8:
        error.sqlite_errorcode = draw.choice((draw.choice(codes), draw.randrange(4096), sqlite3.SQLITE_ERROR))
    return error


DRAWN = {"postgresql": _of_postgresql, "mariadb": _of_mariadb, "sqlite": _of_sqlite}


def wrapped(draw: random.Random, error: Exception) -> Exception:
    """Wrap an error as SQLAlchemy does, as of a commit, or not at all."""
    as_sqlalchemy = exc.DBAPIError(f"SELECT {SECRET}", {"key": SECRET}, error)
    return draw.choice((error, AtCommit(error), as_sqlalchemy, exc.InvalidRequestError(message(draw))))


def shown(error: BaseException) -> str:
    """Return all that a program may show of an error, its attributes too."""
    return "\n".join([*traceback.format_exception(error), repr(error), str(error), repr(vars(error)), repr(error.args)])


@pytest.mark.parametrize("kind", DRAWN)
def test_no_error_of_a_driver_leaves_as_it_is(kind: str) -> None:
    """1,500 drawn errors: each becomes a ResourcekitError, without its text, its statement and its values."""
    urls = {"postgresql": "postgresql://u@h/d", "mariadb": "mariadb://u@h/d", "sqlite": "sqlite:////tmp/drawn.db"}
    note = declared(Repo(urls[kind]), "notes", storage=False)
    table, dialect, info = note.__runtime__.store.table, note.__runtime__.store.repo.dialect, note.__info__
    draw = random.Random(f"errors of {kind}")
    for number in range(1_500):
        given = wrapped(draw, DRAWN[kind](draw))
        place: tuple[object, ...] = draw.choice(((table, info), (table,), ()))
        received = as_ours(given, dialect, *place)
        assert isinstance(received, ResourcekitError), (number, given)
        assert SECRET not in shown(received), (number, given)


def _of_redis(draw: random.Random) -> Iterator[Exception]:
    classes = [
        kind
        for kind in vars(redis.exceptions).values()
        if isinstance(kind, type) and issubclass(kind, redis.exceptions.RedisError)
    ]
    for _ in range(1_500):
        word = draw.choice(("ERR", "WRONGTYPE", "NOAUTH", "OOM", "MOVED", "NOSCRIPT", SECRET, "", "misconf", "BUSY"))
        try:
            yield draw.choice(classes)(f"{word} {message(draw)}")
        except (TypeError, ValueError, IndexError):  # a class that reads more than a text, such as that of a moved slot
            continue


def test_no_answer_of_redis_leaves_as_it_is() -> None:
    """The error for an answer that refuses a command does not show the answer's text."""
    for given in _of_redis(random.Random("answers of Redis")):
        received = refused(given)
        assert isinstance(received, ResourcekitError)
        assert SECRET not in shown(received), given


@pytest.mark.parametrize("driver", [pymysql.err, asyncmy.errors])
@pytest.mark.parametrize(("number", "text"), [(1180, "wsrep_max_ws_rows exceeded"), (1105, "Maximum writeset size exceeded")])
def test_a_transaction_that_a_cluster_finds_too_large_is_told(driver, number: int, text: str) -> None:
    """Nothing was written, and another try would fail again: it is no lost connection and no unknown outcome."""
    note = declared(Repo("mariadb://u@h/d"), "notes", storage=False)
    received = as_ours(AtCommit(driver.OperationalError(number, text)), note.__runtime__.store.repo.dialect)

    assert Unavailable is type(received)
    assert "raise wsrep_max_ws_rows or wsrep_max_ws_size" in str(received)
