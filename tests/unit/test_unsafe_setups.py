"""Unsafe set-ups, more than thirty, each sound but for one thing: doctor names that thing, and nothing where all is sound."""

from __future__ import annotations

import asyncio
import secrets
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import attrs
import pytest

from resourcekit import plugins as plugin_room
from resourcekit.actions.drive import drive
from resourcekit.clock import Clock
from resourcekit.data_layers import SQL, Memory, Redis
from resourcekit.data_layers.memory import deployment
from resourcekit.data_layers.sql.dialects.sqlite import files
from resourcekit.data_layers.sql.store import SQLStore
from resourcekit.doctor import doctor
from resourcekit.supervisor import Supervisor
from resourcekit.testing import ManualClock
from resourcekit_tokens import JWT, RevokedJti, TokenResource
from resourcekit_tokens.doctor_checks import MarginsAreSound
from tests.support import valkey
from tests.support.setups import declare_tokens

START = datetime(2030, 1, 1, tzinfo=UTC)


def altered(folder: Path, change: Callable[[str], str]) -> Any:
    """Return a token resource on an SQLite file whose table was made by a statement that differs from ours."""
    token = on_sqlite(folder)
    with closing(sqlite3.connect(folder / "setups.db")) as connection:
        (made,) = connection.execute("SELECT sql FROM sqlite_master WHERE name = 'tokens'").fetchone()
        indexes = [sql for (sql,) in connection.execute("SELECT sql FROM sqlite_master WHERE type = 'index' AND sql NOT NULL")]
        connection.execute("DROP TABLE tokens")
        assert change(made) != made
        for statement in (change(made), *indexes):
            connection.execute(statement)
    return token


def on_sqlite(folder: Path, **options: Any) -> Any:
    """Return a token resource on an SQLite file."""
    return declare_tokens(SQL(f"sqlite:///{folder}/setups.db", table="tokens"), **options)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Start a Valkey server with these options, and return its URL."""
    if valkey.binary() is None:
        pytest.skip("a Valkey server is missing")
    started: list[valkey.Valkey] = []

    def start(*options: str) -> str:
        started.append(valkey.Valkey(tmp_path / "valkey", *options).start())
        return started[-1].url

    yield start
    for one in started:
        one.stop()


@pytest.fixture(autouse=True)
def plugins(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let no installed plugin have a say but those that a test gives."""
    for name in signs_of_production():
        monkeypatch.delenv(name, raising=False)
    give = lambda *found: monkeypatch.setattr(plugin_room, "_found", [found])  # noqa: E731  # one line, named for what it does
    give()
    return give


def signs_of_production() -> tuple[str, ...]:
    """Return the variables by which this machine could look like several workers, or like production."""
    return (*deployment._COUNTS, *deployment._STAGES, *deployment._PLATFORMS)


def ids_in_a_loop(resource: Any) -> list[str]:
    """The same, awaited: the async drivers are asked then."""

    async def look() -> Any:
        try:
            return await doctor.aio(resource)
        finally:
            await resource.__runtime__.store.close()

    return sorted({finding.id for finding in asyncio.run(look())})


def ids(*resources: Any) -> list[str]:
    """Return the ids that doctor finds."""
    return sorted({finding.id for finding in doctor(*resources)})


class TestSound:
    def test_a_sound_set_up_on_sqlite_has_no_finding(self, tmp_path):
        """A database with its tables, a key of its own, margins as they are."""
        token = on_sqlite(tmp_path)

        assert ([], []) == (ids(token), ids_in_a_loop(token))

    def test_a_sound_set_up_on_valkey_has_no_finding(self, server):
        """A server that forgets nothing."""
        token = declare_tokens(Redis(server()))

        assert ([], []) == (ids(token), ids_in_a_loop(token))

    def test_the_keys_that_are_there_do_not_matter(self, server):
        """One record is asked for by its key, not all: a start must not read a whole server."""
        token = declare_tokens(Redis(server()))
        token.revoke_jtis([RevokedJti(str(number)) for number in range(300)])
        store, asked = token.__runtime__.store, []
        store.aggregate = lambda plan, params: (
            asked.append((plan.operation.kind, params)) or type(store).aggregate(store, plan, params)
        )
        with Supervisor(token):
            pass

        assert [("exists", {"jti": ""})] == asked

    def test_a_swept_and_used_set_up_has_no_finding(self, tmp_path):
        """Records that came and went are no sign of anything."""
        token = on_sqlite(tmp_path)
        with ManualClock() as clock:
            token.revoke(token.issue("alice").token)
            clock.advance(days=13)
            token.revoke(token.issue("bob").token)
            clock.advance(days=2)
            token.expunge_expired()

            assert [] == ids(token)


class TestStores:
    """Places that lose, mix up or cannot find records."""

    def test_records_in_memory(self):
        """They are gone at a restart, and other workers do not see them."""
        assert ["RK150"] == ids(declare_tokens(Memory()))

    @pytest.mark.parametrize(
        ("setting", "value"),
        [("WEB_CONCURRENCY", "4"), ("APP_ENV", "production"), ("KUBERNETES_SERVICE_HOST", "10.0.0.1")],
    )
    def test_records_in_memory_of_several_workers_or_in_production(self, monkeypatch, setting, value):
        """Each has revocations that the others do not know of, and all are gone with the next deployment."""
        monkeypatch.setenv(setting, value)
        (finding,) = doctor(declare_tokens(Memory()))

        assert ("RK150", "error") == (finding.id, finding.level)
        assert setting in finding.what or "Kubernetes" in finding.what

    def test_a_server_that_evicts(self, server):
        """It forgets revocations when its memory is full; it may be asked, and never used."""
        assert ["RK161"] == ids(declare_tokens(Redis(server("--maxmemory-policy", "allkeys-lru")), storage=False))

    def test_a_server_that_keeps_nothing(self, server):
        """It forgets them when it restarts."""
        assert ["RK161"] == ids(declare_tokens(Redis(server("--appendonly", "no")), storage=False))

    def test_a_server_without_its_mark(self, server):
        """It was emptied, or never prepared."""
        assert ["RK160"] == ids(declare_tokens(Redis(server()), storage=False))

    def test_a_missing_table(self, tmp_path):
        """Nothing was created."""
        assert ["RK110"] == ids(on_sqlite(tmp_path, storage=False))

    def test_a_missing_column(self, tmp_path):
        """The table is that of an older declaration."""
        without = lambda made: "\n".join(line for line in made.splitlines() if "extra_data" not in line)  # noqa: E731  # one line

        assert ["RK111"] == ids(altered(tmp_path, without))

    def test_a_missing_primary_key(self, tmp_path):
        """One token could have two records."""
        keyless = lambda made: made[: made.index(", \n\tPRIMARY KEY")] + ") STRICT"  # noqa: E731  # one line

        assert ["RK112"] == ids(altered(tmp_path, keyless))

    def test_another_primary_key(self, tmp_path):
        """The same, by a key over two columns."""
        assert ["RK112"] == ids(altered(tmp_path, lambda made: made.replace('KEY ("jti")', 'KEY ("jti", "purpose")')))

    def test_a_missing_index(self, tmp_path):
        """Logging a subject out reads the whole table."""
        token = on_sqlite(tmp_path)
        with closing(sqlite3.connect(tmp_path / "setups.db")) as connection:
            (name,) = connection.execute(
                "SELECT name FROM sqlite_master WHERE type = 'index' AND sql LIKE '%subject%'"
            ).fetchone()
            connection.execute(f'DROP INDEX "{name}"')
        found = ids(token)
        token.__info__.options["domain"].create_storage()

        assert (["RK114"], []) == (found, ids(token))

    def test_a_key_that_mixes_upper_and_lower_case(self, tmp_path):
        """The record of one token would be taken for another's."""
        assert ["RK115"] == ids(altered(tmp_path, lambda made: made.replace('"jti" TEXT', '"jti" TEXT COLLATE NOCASE')))

    def test_a_column_of_another_type(self, tmp_path):
        """A migration was made on a database of another kind."""
        assert ["RK116"] == ids(altered(tmp_path, lambda made: made.replace('"jti" TEXT', '"jti" BLOB')))

    @pytest.mark.parametrize(("written", "lost"), [("WITHOUT ROWID, STRICT", "WITHOUT ROWID and STRICT"), (", STRICT", "STRICT")])
    def test_a_table_that_was_copied(self, tmp_path, written, lost):
        """What copies a table anew, as migrations do on SQLite, leaves out how it was made."""
        token = altered(tmp_path, lambda made: " ".join(made.split()).replace(written, ""))
        (finding,) = doctor(token)

        assert ("RK113", f"the table tokens is not {lost}") == (finding.id, finding.what)

    def test_a_database_without_a_write_ahead_log(self, tmp_path):
        """The file cannot be switched to one: here, because its locking mode works without shared memory."""
        url = f"sqlite:///file:{tmp_path}/setups.db?vfs=unix-dotfile&uri=true"

        assert ["RK113"] == ids(declare_tokens(SQL(url, table="tokens")))

    def test_a_database_on_a_network_file_system(self, tmp_path, monkeypatch):
        """Seen by the kind of file system; for this test, that of this machine counts as one of several hosts."""
        token = on_sqlite(tmp_path)
        kind = files.file_system(str(tmp_path / "setups.db"))
        monkeypatch.setattr(files, "_REMOTE", files._REMOTE | {kind})
        (finding,) = doctor(token)

        assert "RK113" == finding.id
        assert f"network file system ({kind})" in finding.what

    @pytest.mark.parametrize(
        ("file", "kind"),
        [
            ("/srv/app/a.db", "nfs4"),
            ("/srv/a.db", "ext4"),
            ("/srv/app two/a.db", "cifs"),
            ("/srv/applied/a.db", "ext4"),
            ("/x", "tmpfs"),
        ],
    )
    def test_the_innermost_and_last_mount_counts(self, tmp_path, file, kind):
        """A file lies on what is mounted nearest above it, and what was mounted there last."""
        mounts = tmp_path / "mounts"
        mounts.write_text(
            "/dev/a / ext4 rw 0 0\nhost:/b /srv/app nfs4 rw 0 0\nhost:/c /srv/app\\040two cifs rw 0 0\n"
            "/dev/d /srv ext4 rw 0 0\ntmpfs / tmpfs rw 0 0\n"
        )

        assert kind == files.file_system(file, mounts)


class TestKeys:
    """Tokens that others can make, or that two resources accept."""

    def test_no_keys(self, tmp_path):
        """Nothing is verified before it is written."""
        assert ["RK230"] == ids(on_sqlite(tmp_path, jwt=None, max_lifetime=timedelta(days=30)))

    def test_a_typed_secret(self, tmp_path):
        """It is long enough, and can be guessed."""
        assert ["RK231"] == ids(on_sqlite(tmp_path, jwt=JWT("secret" * 10)))

    def test_a_short_secret(self, tmp_path):
        """It comes from outside, so that the declaration could not refuse it."""
        assert ["RK209"] == ids(on_sqlite(tmp_path, jwt=JWT(lambda: secrets.token_hex(8))))

    def test_a_shared_secret(self, tmp_path):
        """What one resource revoked, the other accepts."""
        shared = JWT(secrets.token_urlsafe(48))
        one, other = (declare_tokens(SQL(f"sqlite:///{tmp_path}/{name}.db"), jwt=shared) for name in ("one", "other"))

        assert ["RK232"] == ids(one, other)


class TestTime:
    """Clocks and sweeps."""

    def test_no_clock_skew(self, tmp_path):
        """No two hosts agree to the microsecond."""
        assert ["RK233"] == ids(on_sqlite(tmp_path, clock_skew=timedelta(0)))

    def test_no_longest_life(self, tmp_path):
        """Cut-offs and revocations by jti would be kept without end; without keys only this check reports it."""
        assert ["RK230", "RK234"] == ids(on_sqlite(tmp_path, jwt=None))

    @pytest.mark.parametrize(
        ("use", "level"),
        [
            (lambda token: token.revoke_jti("a", expires_at=START), "info"),
            (lambda token: token.revoke_jti("a"), "warning"),
            (lambda token: token.log_out_everywhere("alice"), "warning"),
        ],
    )
    def test_records_that_never_go(self, tmp_path, use, level):
        """Information as long as no record is kept without end, and a warning once there is such a revocation or cut-off."""
        with ManualClock(START):
            token = on_sqlite(tmp_path, jwt=None)
            use(token)
            (finding,) = [one for one in doctor(token) if one.id == "RK234"]

        assert level == finding.level

    def test_a_leeway_beyond_the_margin(self, tmp_path):
        """An extension that computes the margin anew must not let records go while their tokens are accepted."""

        @attrs.frozen(kw_only=True)
        class Hasty(TokenResource):
            """Sweeps early."""

            @property
            def margin(self):
                return self.clock_skew

        jwt = JWT(secrets.token_urlsafe(48))
        sound, unsafe = (Hasty(jwt=jwt, leeway=timedelta(seconds=seconds)) for seconds in (60, 61))
        info = on_sqlite(tmp_path).__info__

        assert [] == list(drive(MarginsAreSound().check(info, sound)))
        assert ["RK239"] == [one.id for one in drive(MarginsAreSound().check(info, unsafe))]

    def test_nobody_sweeps(self, tmp_path):
        """What should have gone two intervals ago is still there."""
        token = on_sqlite(tmp_path)
        with ManualClock() as clock:
            token.revoke(token.issue("alice", lifetime=timedelta(hours=1)).token)
            clock.advance(hours=1, minutes=5)
            clock.advance(hours=24)
            before = ids(token)
            clock.advance(seconds=1)

            assert ([], ["RK235"]) == (before, ids(token))

    @pytest.mark.parametrize(("apart", "found"), [(59, []), (61, ["RK236"]), (-61, ["RK236"])])
    def test_a_store_whose_clock_is_another(self, tmp_path, monkeypatch, apart, found):
        """Beyond clock_skew, in either direction, no sweep runs."""

        class Apart(SQLStore):
            async def now(self):
                return Clock().now() + timedelta(seconds=apart)

        token = on_sqlite(tmp_path)
        token.__runtime__.store.__class__ = Apart

        assert found == ids(token)

    def test_a_sweep_that_shows_each_record_to_somebody(self, tmp_path):
        """It reads what it removes, and takes many times as long."""
        assert ["RK238"] == ids(on_sqlite(tmp_path, notifiers=[lambda notification: None]))
