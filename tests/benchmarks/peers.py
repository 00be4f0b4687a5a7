"""Our token resources, and what they are measured against: statements written by hand in SQLAlchemy Core."""

from __future__ import annotations

import importlib.metadata
import platform
import secrets
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import sqlalchemy as sa
from blacklist_settings import SECRET
from sqlalchemy.dialects import sqlite

from resourcekit import Domain
from resourcekit.data_layers import SQL
from resourcekit_tokens import TokenRecord, TokenResource

__all__ = [
    "EXTRA",
    "SECRET",
    "Hand",
    "a_token",
    "fill",
    "jtis",
    "make_tables",
    "token_resource",
    "versions",
]

EXTRA = ("django", "djangorestframework", "djangorestframework-simplejwt")


def versions() -> str:
    """Return what took part, in one line."""
    named = [f"Python {platform.python_version()}", f"SQLite {sqlite3.sqlite_version}"]
    for package in (
        "sqlalchemy",
        "attrs",
        "pyjwt",
        "psycopg",
        "redis",
        *EXTRA,
        "asyncpg",
        "flask-jwt-extended",
        "peewee",
        "sqlmodel",
        "piccolo",
        "tortoise-orm",
    ):
        try:
            named.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            named.append(f"{package} missing")
    return ", ".join(named)


def jtis(count: int, seed: int = 0) -> list[str]:
    """Return so many token identities, the same ones each time: 32 hexadecimal digits, as UUIDs have."""
    return [f"{(number * 0x9E3779B97F4A7C15F39CC0605CEDC835 + seed) % 2**128:032x}" for number in range(1, count + 1)]


def a_token(**claims: object) -> str:
    """Return a signed token as services issue them, some 270 characters long."""
    moment = int(datetime.now(UTC).timestamp())
    payload = {"jti": secrets.token_hex(16), "sub": "alice@example.com", "iat": moment, "exp": moment + 3600, "purpose": "user"}
    return jwt.encode({**payload, **claims}, SECRET, algorithm="HS256")


def token_resource(place: Path | str, **options: Any) -> Any:
    """Declare a token resource on an SQLite file, or on the database of a URL, and make its table."""
    domain = Domain(f"benchmark {secrets.token_hex(4)}")
    url = place if isinstance(place, str) else f"sqlite:///{place}"

    class Token(TokenRecord, domain=domain, data_layer=SQL(url, table="tokens"), extensions=[TokenResource(**options)]):
        """Tokens of a benchmark."""

    domain.create_storage()
    return Token


def make_tables(path: Path, revoked: list[str], *, expired: int = 0) -> None:
    """Fill the table of a token resource with revoked tokens, the first ``expired`` of which are due to be swept.

    Expired and live rows, and the subjects, lie scattered over the order of the key, as they do after a year in production.
    """
    token_resource(path)
    moment = datetime.now(UTC)
    now, past, future = (_micros(each) for each in (moment, moment - timedelta(days=1), moment + timedelta(days=14)))
    sql = (
        "INSERT INTO tokens (jti, subject, purpose, family, expires_at, extra_data, revoked_at, revocation_reason, created_at, "
        "updated_at) VALUES (?, ?, 'revocation', NULL, ?, NULL, ?, 'revoked', ?, ?)"
    )
    rows = (
        (jti, f"user-{int(jti[-8:], 16) % 200_000}@example.com", past if number < expired else future, now, now, now)
        for number, jti in enumerate(revoked)
    )
    fill(path, [(sql, rows)])


def fill(path: Path, statements: list[tuple[str, Any]]) -> None:
    """Run statements, each once for each of its rows; what a crash would lose is made anew."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA synchronous=OFF")
    connection.execute("PRAGMA cache_size=-400000")
    for sql, rows in statements:
        connection.execute("BEGIN")
        connection.executemany(sql, rows)
        connection.execute("COMMIT")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def _micros(moment: datetime) -> int:
    return round(moment.timestamp()) * 1_000_000


class Hand:
    """Statements written by hand over the same table, as one writes them with SQLAlchemy Core: built once, and kept."""

    def __init__(self, path: Path) -> None:
        self.engine = sa.create_engine(f"sqlite:///{path}")
        self.table = sa.Table("tokens", sa.MetaData(), autoload_with=self.engine)
        self.connection = self.engine.connect()
        table = self.table
        self.find = sa.select(table.c.revoked_at).where(table.c.jti == sa.bindparam("jti"))
        insert = sqlite.insert(table)
        self.upsert = insert.on_conflict_do_update(
            index_elements=["jti"],
            set_={
                "revoked_at": sa.func.coalesce(table.c.revoked_at, insert.excluded.revoked_at),
                "revocation_reason": sa.func.coalesce(table.c.revocation_reason, insert.excluded.revocation_reason),
                "expires_at": sa.func.max(table.c.expires_at, insert.excluded.expires_at),
                "updated_at": insert.excluded.updated_at,
            },
        )

    def is_revoked(self, jti: str) -> bool:
        """Ask by a prebuilt statement, on a kept connection."""
        row = self.connection.execute(self.find, {"jti": jti}).first()
        return row is not None and row[0] is not None

    def revoke(self, claims: dict[str, Any]) -> None:
        """Write the record of a token in ``engine.begin()``."""
        now = _micros(datetime.now(UTC))
        values = {
            "jti": claims["jti"],
            "subject": claims["sub"],
            "purpose": "revocation",
            "expires_at": claims["exp"] * 1_000_000,
            "revoked_at": now,
            "revocation_reason": "revoked",
            "created_at": now,
            "updated_at": now,
        }
        with self.engine.begin() as connection:
            connection.execute(self.upsert, values)
