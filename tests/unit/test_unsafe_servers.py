"""Unsafe set-ups on PostgreSQL and MariaDB, each sound but for one thing: doctor names that thing, sync and async."""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy.engine import make_url

from resourcekit import plugins as plugin_room
from resourcekit.data_layers import SQL
from resourcekit.doctor import doctor
from tests.support.databases import MISSING, Database, run_sql, shared
from tests.support.mariadb import MariaDB
from tests.support.postgres import Postgres
from tests.support.servers import free_port
from tests.support.setups import declare_tokens

pytestmark = pytest.mark.slow
SERVERS = ("postgresql", "mariadb")


@pytest.fixture(autouse=True)
def no_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no installed plugin have a say."""
    monkeypatch.setattr(plugin_room, "_found", [()])


@pytest.fixture(params=["sync", "async"])
def ids(request: pytest.FixtureRequest) -> Callable[[Any], list[str]]:
    """A function that returns the ids that doctor finds, in either call mode."""

    async def look(token: Any) -> Any:
        try:
            return await doctor.aio(token)
        finally:
            await token.__runtime__.store.close()

    def ids(token: Any) -> list[str]:
        found = doctor(token) if request.param == "sync" else asyncio.run(look(token))
        return sorted({finding.id for finding in found})

    return ids


@pytest.fixture(params=SERVERS)
def database(request: pytest.FixtureRequest) -> Database:
    """An empty place on each."""
    place: Database = request.getfixturevalue(request.param)
    return place


@pytest.fixture
def started() -> Iterator[Callable[..., str]]:
    """A function that starts a server with these settings, and returns its URL."""
    servers: list[Any] = []

    def start(kind: Callable[..., Any], *options: str) -> str:
        try:
            servers.append(kind(*options))
            servers[-1].start()
        except LookupError as missing:
            if os.environ.get("CI"):
                pytest.fail(f"{MISSING}{missing}")
            pytest.skip(f"{MISSING}{missing}")
        return str(servers[-1].url)

    yield start
    for server in servers:
        server.remove()


def tokens(url: str, **more: Any) -> Any:
    """Return a token resource there, its storage made."""
    return declare_tokens(SQL(url, table="tokens"), **more)


def with_options(url: str, **options: str) -> str:
    """Return the URL with further options of the driver."""
    return make_url(url).update_query_dict(options).render_as_string(hide_password=False)


def index_of(database: Database, column: str) -> str:
    """Return the name of the index over a column."""
    query = (
        f"SELECT indexname FROM pg_indexes WHERE tablename = 'tokens' AND schemaname = current_schema() AND indexdef LIKE '%({column}%'"
        if database.kind == "postgresql"
        else f"SELECT index_name FROM information_schema.statistics WHERE table_schema = database() AND column_name = '{column}'"
    )
    return str(database.run(query)[0][0])


class TestBoth:
    """What is found alike on both."""

    def test_a_sound_set_up_has_no_finding(self, database, ids):
        """Tables as we make them, the server as it is installed; used, and not used."""
        token = tokens(database.url)
        fresh = ids(token)
        token.revoke(token.issue("alice").token)
        token.log_out_everywhere("bob")

        assert ([], []) == (fresh, ids(token))

    def test_a_missing_table(self, database, ids):
        """Nothing was created."""
        assert ["RK110"] == ids(tokens(database.url, storage=False))

    def test_a_missing_column(self, database, ids):
        """The table is that of an older declaration; nothing can be read, so that is said once."""
        token = tokens(database.url)
        database.run("ALTER TABLE tokens DROP COLUMN extra_data")

        assert ["RK111"] == ids(token)

    def test_a_missing_primary_key(self, database, ids):
        """One token could have two records."""
        token = tokens(database.url)
        what = "CONSTRAINT tokens_pkey" if database.kind == "postgresql" else "PRIMARY KEY"
        database.run(f"ALTER TABLE tokens DROP {what}")

        assert ["RK112"] == ids(token)

    def test_a_missing_index(self, database, ids):
        """Logging a subject out reads the whole table."""
        token = tokens(database.url)
        on = "" if database.kind == "postgresql" else " ON tokens"
        database.run(f"DROP INDEX {index_of(database, 'subject')}{on}")

        assert ["RK114"] == ids(token)

    @pytest.mark.parametrize("kind", SERVERS)
    def test_a_server_that_refuses_connections(self, kind, ids):
        """A server that does not run is reported as that, and as nothing else."""
        url = f"{kind}://user@127.0.0.1:{free_port()}/nowhere"

        assert ["RK080"] == ids(tokens(url, storage=False))

    def test_a_user_who_may_not_read(self, database, ids):
        """The table exists, and no call would succeed; MariaDB does not even show this user that it exists."""
        token = tokens(database.url)
        name = f"reader_{os.getpid()}"
        place = make_url(database.url)
        if database.kind == "postgresql":
            schema = database.run("SELECT current_schema()")[0][0]
            made = [f"CREATE ROLE {name} LOGIN", f"GRANT USAGE ON SCHEMA {schema} TO {name}"]
            removed = [f"DROP OWNED BY {name}", f"DROP ROLE {name}"]
        else:
            made = [f"CREATE USER {name}@'%'", f"GRANT CREATE ON {place.database}.* TO {name}@'%'"]
            removed = [f"DROP USER {name}@'%'"]
        for statement in made:
            database.run(statement)
        try:
            reader = tokens(place.set(username=name).render_as_string(hide_password=False), storage=False)

            # RK051: this process has declared both users' resources over one table.
            found = [each for each in ids(reader) if each != "RK051"]
            assert ["RK080" if database.kind == "postgresql" else "RK110"] == found
        finally:
            for statement in removed:
                database.run(statement)
        assert token


class TestPostgreSQL:
    """What only PostgreSQL can be set to."""

    @pytest.mark.parametrize("setting", ["fsync", "full_page_writes"])
    def test_a_server_that_may_lose_what_it_acknowledged(self, started, ids, setting):
        """By settings that some recommend for speed."""
        assert ["RK113"] == ids(tokens(started(Postgres, f"{setting}=off")))

    def test_a_table_that_a_crash_empties(self, postgresql, ids):
        """UNLOGGED tables are fast for that reason."""
        token = tokens(postgresql.url)
        postgresql.run("ALTER TABLE tokens SET UNLOGGED")

        assert ["RK113"] == ids(token)

    def test_text_that_sorts_by_a_language(self, postgresql, ids):
        """The default collation of a database is that of a language, mostly."""
        token = tokens(postgresql.url)
        postgresql.run('ALTER TABLE tokens ALTER jti TYPE text COLLATE "default"')

        assert ["RK113"] == ids(token)

    def test_a_key_that_mixes_upper_and_lower_case(self, postgresql, ids):
        """A collation may compare otherwise than by code point; the record of one token would be taken for another's."""
        token = tokens(postgresql.url)
        try:
            postgresql.run("CREATE COLLATION folded (provider = icu, locale = 'und-u-ks-level2', deterministic = false)")
        except Exception as error:
            pytest.skip(f"{MISSING}a server with ICU ({type(error).__name__})")
        postgresql.run("ALTER TABLE tokens ALTER jti TYPE text COLLATE folded")

        assert ["RK115"] == ids(token)

    def test_an_encoding_that_cannot_hold_all_text(self, ids):
        """A database of one language's letters."""
        place = make_url(shared("postgresql").url)
        whole, name = place.render_as_string(hide_password=False), f"{place.database}_latin_{secrets.token_hex(3)}"
        run_sql(whole, f"CREATE DATABASE {name} ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")
        try:
            assert ["RK113"] == ids(tokens(place.set(database=name).render_as_string(hide_password=False)))
        finally:
            run_sql(whole, f"DROP DATABASE {name} WITH (FORCE)")

    @pytest.mark.parametrize(("apart", "found"), [(50, []), (70, ["RK236"]), (-70, ["RK236"])])
    def test_a_server_whose_clock_is_another(self, postgresql, ids, apart, found):
        """Seen by what the server itself answers: here its clock is another one, found first on the path of names."""
        schema = postgresql.run("SELECT current_schema()")[0][0]
        postgresql.run(
            "CREATE FUNCTION clock_timestamp() RETURNS timestamptz LANGUAGE sql "
            f"AS $$ SELECT pg_catalog.clock_timestamp() + interval '{apart} seconds' $$"
        )
        url = make_url(postgresql.url).set(query={"options": f"-csearch_path={schema},pg_catalog"})

        assert found == ids(tokens(url.render_as_string(hide_password=False)))


class TestMariaDB:
    """What only MariaDB can be set to."""

    @pytest.mark.parametrize("setting", ["innodb-flush-log-at-trx-commit=2", "innodb-flush-log-at-trx-commit=0"])
    def test_a_server_that_may_lose_what_it_acknowledged(self, started, ids, setting):
        """By a setting that some recommend for speed."""
        assert ["RK113"] == ids(tokens(started(MariaDB, setting)))

    def test_a_log_that_refuses_our_writes(self, mariadb, ids):
        """Of statements; we write at a level of isolation that it cannot repeat."""
        url = with_options(mariadb.url, init_command="SET SESSION binlog_format = 'STATEMENT'")

        assert ["RK113"] == ids(tokens(url))

    def test_an_engine_without_transactions(self, mariadb, ids):
        """Nothing would be rolled back."""
        token = tokens(mariadb.url)
        mariadb.run("ALTER TABLE tokens ENGINE = Aria")

        assert ["RK113"] == ids(token)

    @pytest.mark.parametrize("collation", ["utf8mb4_general_ci", "utf8mb4_bin"])
    def test_a_key_that_compares_otherwise(self, mariadb, ids, collation):
        """Letters of both cases are equal, or a space at the end does not count: one record is taken for another."""
        token = tokens(mariadb.url)
        mariadb.run(f"ALTER TABLE tokens MODIFY jti VARCHAR(255) CHARACTER SET utf8mb4 COLLATE {collation} NOT NULL")

        assert ["RK115"] == ids(token)

    @pytest.mark.parametrize(("apart", "found"), [(20, []), (90, ["RK236"]), (-90, ["RK236"])])
    def test_a_server_whose_clock_is_another(self, mariadb, ids, apart, found):
        """Seen by what the server itself answers: here its time was set for the session."""
        url = with_options(mariadb.url, init_command=f"SET timestamp = {time.time() + apart:.6f}")

        assert found == ids(tokens(url))
