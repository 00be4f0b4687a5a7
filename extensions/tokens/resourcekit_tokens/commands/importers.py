"""The command ``resourcekit import``, which takes the revocations of another library over. Open it to add a library.

Only revocations are taken over, never tokens.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol

import attrs
import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from resourcekit import utc_now
from resourcekit.errors import FieldFinding, Invalid, InvalidArgument
from resourcekit_tokens.commands.demo_script import say
from resourcekit_tokens.commands.token import target_argument
from resourcekit_tokens.revocation import RevokedJti
from resourcekit_tokens.revocation_rules import refused_jti, refused_subject
from resourcekit_tokens.tokens import tokens_of

__all__ = [
    "Blocklist",
    "RedisBlocklist",
    "SimpleJWTBlacklist",
    "TableBlocklist",
    "blocklist_at",
    "import_revocations",
]

_BATCH: Final = 1000
"""Rows that are read at once."""


class Blocklist(Protocol):
    """Revocations in the store of another library."""

    def count(self) -> int:
        """Return how many there are."""
        ...

    def rows(self) -> Iterator[RevokedJti]:
        """Yield them. Those of unknown expiry have none."""
        ...


@attrs.frozen(kw_only=True)
class TableBlocklist:
    """A table of an SQL database with a row for each revoked token, as Flask-JWT-Extended documents it.

    url: of the database, in SQLAlchemy's form. table, jti: names. expires, subject: names of columns, where the table has them.
    created, lifetime: the column of the time at which a token was revoked, and how long a token lives at most.
    """

    url: str = attrs.field(repr=False)
    table: str = "token_blocklist"
    jti: str = "jti"
    expires: str | None = None
    subject: str | None = None
    created: str | None = None
    lifetime: timedelta | None = None

    def count(self) -> int:
        """Return the number of rows."""
        from sqlalchemy import func, select

        with self._connected() as (connection, source):
            found: int = connection.execute(select(func.count()).select_from(source)).scalar_one()
            return found

    def rows(self) -> Iterator[RevokedJti]:
        """Yield the rows."""
        from sqlalchemy import select

        with self._connected() as (connection, source):
            columns = self._columns(source)
            statement = select(*(column.label(name) for name, column in columns.items())).select_from(source)
            for row in connection.execute(statement).mappings():
                yield self._row(row)

    def _source(self, metadata: Any, engine: Any) -> Any:
        return _table(self.table, metadata, engine)

    def _columns(self, source: Any) -> dict[str, Any]:
        named = {"jti": self.jti, "expires": self.expires, "subject": self.subject, "created": self.created}
        wanted = {name: column for name, column in named.items() if column is not None}
        missing = sorted(column for column in wanted.values() if column not in source.c)
        if missing:
            raise _wrong(f"{self.table} has no column {missing[0]}; it has {', '.join(sorted(source.c.keys()))}")
        return {name: source.c[column] for name, column in wanted.items()}

    def _row(self, row: Any) -> RevokedJti:
        expires_at = _moment(row.get("expires"))
        created = _moment(row.get("created"))
        if expires_at is None and created is not None and self.lifetime is not None:
            expires_at = created + self.lifetime
        subject = row.get("subject")
        return RevokedJti(row["jti"], expires_at, None if subject is None else str(subject))

    def _connected(self) -> Any:
        return _Connected(self)


@attrs.frozen(kw_only=True)
class SimpleJWTBlacklist(TableBlocklist):
    """The tables of Simple JWT: the blacklisted tokens, with expiry and user of the outstanding ones."""

    table: str = "token_blacklist_outstandingtoken"
    expires: str | None = "expires_at"
    subject: str | None = "user_id"
    listed: str = "token_blacklist_blacklistedtoken"

    def _source(self, metadata: Any, engine: Any) -> Any:
        outstanding = _table(self.table, metadata, engine)
        listed = _table(self.listed, metadata, engine)
        return outstanding.join(listed, listed.c.token_id == outstanding.c.id)

    def _columns(self, source: Any) -> dict[str, Any]:
        return super()._columns(source.left)


class _Connected:
    """A connection to the store of a blocklist and what is read there, closed at the end of the block."""

    def __init__(self, blocklist: TableBlocklist) -> None:
        self._blocklist = blocklist

    def __enter__(self) -> tuple[Any, Any]:
        from sqlalchemy import MetaData, create_engine
        from sqlalchemy.exc import ArgumentError, NoSuchModuleError

        try:
            self._engine = create_engine(self._blocklist.url, hide_parameters=True)
        except (ArgumentError, NoSuchModuleError):
            raise _wrong(
                "the URL of the database is not one of SQLAlchemy, such as postgresql+psycopg://user@host/name"
            ) from None
        source = self._blocklist._source(MetaData(), self._engine)  # noqa: SLF001  # the two are one thing
        self._connection = self._engine.connect().execution_options(yield_per=_BATCH)
        return self._connection, source

    def __exit__(self, *_: object) -> None:
        self._connection.close()
        self._engine.dispose()


def _table(name: str, metadata: Any, engine: Any) -> Any:
    from sqlalchemy import Table
    from sqlalchemy.exc import NoSuchTableError

    try:
        return Table(name, metadata, autoload_with=engine, resolve_fks=False)
    except NoSuchTableError:
        raise _wrong(f"the database has no table {name}; name it with --table") from None


@attrs.frozen(kw_only=True)
class RedisBlocklist:
    """Keys of a Redis server, one for each revoked token, as Flask-JWT-Extended documents it. A key's time to live is the expiry.

    url: of the server. prefix: of the keys of revocations; the rest of a key is the jti.
    """

    url: str = attrs.field(repr=False)
    prefix: str = ""

    def count(self) -> int:
        """Return the number of keys."""
        with self._client() as client:
            return sum(1 for _ in client.scan_iter(match=self._pattern, count=_BATCH))

    def rows(self) -> Iterator[RevokedJti]:
        """Yield a row for each key. A key that expires meanwhile is left out."""
        with self._client() as client:
            batch: list[bytes] = []
            for key in client.scan_iter(match=self._pattern, count=_BATCH):
                batch.append(key)
                if len(batch) == _BATCH:
                    yield from self._rows(client, batch)
                    batch = []
            yield from self._rows(client, batch)

    def _rows(self, client: Any, keys: list[bytes]) -> Iterator[RevokedJti]:
        pipeline = client.pipeline(transaction=False)
        for key in keys:
            pipeline.pexpiretime(key)
        for key, millis in zip(keys, pipeline.execute(), strict=True):
            if millis != -2:  # -2: gone, -1: without an expiry
                jti = key.decode("utf-8", "surrogateescape").removeprefix(self.prefix)
                yield RevokedJti(jti, None if millis < 0 else _moment(millis / 1000))

    @property
    def _pattern(self) -> str:
        return "".join(f"\\{letter}" if letter in "*?[]^\\-" else letter for letter in self.prefix) + "*"

    def _client(self) -> Any:
        try:
            import redis
        except ImportError:
            raise _wrong("redis-py is not installed; run pip install 'resourcekit[redis]'") from None
        return redis.Redis.from_url(self.url)


def blocklist_at(library: str, url: str, **names: Any) -> Blocklist:
    """Return the revocations of a library in a store: ``simplejwt`` or ``flask-jwt-extended``."""
    given = {name: value for name, value in names.items() if value is not None}
    if library == "simplejwt":
        return SimpleJWTBlacklist(url=url)
    if url.partition(":")[0] in {"redis", "rediss", "unix"}:
        return RedisBlocklist(url=url, prefix=given.get("prefix", ""))
    given.pop("prefix", None)
    return TableBlocklist(url=url, **given)


def _moment(value: object) -> datetime | None:
    """Return a time of a store in UTC. Both libraries write times without a zone in UTC."""
    if isinstance(value, int | float):
        return datetime.fromtimestamp(value, UTC)
    if not isinstance(value, datetime):
        return None
    return value.replace(tzinfo=UTC) if value.utcoffset() is None else value.astimezone(UTC)


def _wrong(message: str) -> InvalidArgument:
    return InvalidArgument(FieldFinding("url", message), action="import")


_WRITTEN_AT_ONCE = 1000
"""Revocations that are written together."""


@click.command("import")
@click.argument("library", type=click.Choice(["simplejwt", "flask-jwt-extended"]))
@click.argument("url", metavar="URL")
@target_argument
@click.option("--table", help="Table of the revocations (flask-jwt-extended). Default: token_blocklist.")
@click.option("--jti-column", "jti", help="Its column of the jti. Default: jti.")
@click.option("--expires-column", "expires", help="Its column of the token's expiry, if there is one.")
@click.option("--subject-column", "subject", help="Its column of the user, if there is one.")
@click.option("--created-column", "created", help="Its column of the time of the revocation; needs --days.")
@click.option(
    "--days", type=click.FloatRange(min=0, min_open=True), help="How long a token lives at most, with --created-column."
)
@click.option("--prefix", help="Prefix of the keys in Redis; the rest of a key is the jti.")
@click.option("--dry-run", is_flag=True, help="Count what would be taken over, and write nothing.")
def import_revocations(
    library: str, url: str, target: Any, days: float | None, dry_run: bool, **names: str | None
) -> None:  # click's options
    """Take over the revoked tokens of LIBRARY from the store at URL into APP:TOKEN.

    URL is that of an SQL database in SQLAlchemy's form, or of a Redis server (flask-jwt-extended). env:NAME reads it from the
    environment, so that no other process sees its password. The import may be repeated; the first revocation of a token stays.
    """
    if (days is None) != (names.get("created") is None):
        msg = "--created-column and --days are given together"
        raise click.UsageError(msg)
    lifetime = None if days is None else timedelta(days=days)
    try:
        blocklist = blocklist_at(library, _read_url(url), lifetime=lifetime, **names)
        _take_over(blocklist, target, dry_run=dry_run)
    except Invalid as error:
        raise click.UsageError(str(error)) from None
    except Exception as error:
        if type(error).__module__.partition(".")[0] not in {"sqlalchemy", "redis"}:
            raise
        # Texts of drivers may name the password of the URL.
        msg = f"the store at URL cannot be read: {type(error).__name__}"
        raise click.ClickException(msg) from None


def _read_url(url: str) -> str:
    if not url.startswith("env:"):
        return url
    name = url.removeprefix("env:")
    if name not in os.environ:
        msg = f"the environment variable {name} is not set"
        raise click.UsageError(msg)
    return os.environ[name]


def _take_over(blocklist: Blocklist, target: Any, *, dry_run: bool) -> None:
    console, ended = Console(stderr=True), utc_now() - tokens_of(target).options.tolerance
    written = expired = unusable = 0
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("revocations", total=blocklist.count())
        batch: list[RevokedJti] = []

        def flush() -> int:
            count = len(batch) if dry_run or not batch else target.revoke_jtis(batch)
            batch.clear()
            return int(count)

        for row in blocklist.rows():
            bar.advance(task)
            if refused_jti(row.jti) or (row.subject is not None and refused_subject(row.subject)):
                unusable += 1
            elif row.expires_at is not None and row.expires_at <= ended:
                expired += 1
            else:
                batch.append(row)
            if len(batch) == _WRITTEN_AT_ONCE:
                written += flush()
        written += flush()
    say(
        f"{written} {'would be taken over' if dry_run else 'taken over'}; {expired} had expired, {unusable} are not usable as a jti"
    )
