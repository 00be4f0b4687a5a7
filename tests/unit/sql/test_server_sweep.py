"""Sweeps on servers: rows that others hold, how commits are made, and what a pass reads."""

from __future__ import annotations

import asyncio
import re
import secrets
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import timedelta

import psycopg
import pytest
from sqlalchemy.engine import make_url

from resourcekit import Deadline, context, query
from resourcekit.actions.drive import drive_iterator, in_call_mode
from resourcekit.data_layers.base import DeleteInBatches
from resourcekit.data_layers.sql.execution.connection import Connection
from resourcekit.data_layers.sql.maintenance import sweep
from resourcekit.errors import Invalid
from resourcekit.extending import Field, Param
from tests.support.databases import Database, connect, scratch


@pytest.fixture(params=["postgresql", "mariadb"])
def database(request, tmp_path):
    """An empty place on a server; SQLite, which locks no rows, is tested elsewhere."""
    with scratch(request.param, tmp_path) as place:
        yield place


def batches(note, *, size=None):
    """Sweep all rows whose number is below ten."""
    store = note.__runtime__.store
    return store.delete_in_batches(store.compile(DeleteInBatches(Field("number") < Param("most"))), {"most": 10}, size=size)


def fill(note, count, *, first=0):
    """Write so many rows that match."""
    note.write.bulk([{"key": f"{number:05d}" + "k" * 90, "number": 1} for number in range(first, first + count)])


@contextmanager
def holding(database, sql, *, then="COMMIT"):
    """Run a statement in a transaction that stays open inside of the block, and holds no more than its rows."""
    with closing(connect(database.url)) as other:
        cursor = other.cursor()
        if database.kind == "mariadb":
            cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
            sql = sql.replace("key", "`key`")
        cursor.execute("BEGIN")
        cursor.execute(sql)
        yield
        cursor.execute(then)


class Recording(Connection):
    """A connection that explains the statements which it runs."""

    __slots__ = ()
    words, plans = "EXPLAIN", list[str]()

    def run(self, sql, values=()):
        """Explain a DELETE, and run it, too, unless it has been run by that."""
        if sql.startswith("DELETE"):
            lines = "\n".join(line for (line,) in self.fetch(f"{self.words} {sql}", values))
            self.plans.append(lines)
            if "ANALYZE" in self.words:
                return int(re.search(r"Delete on .*? rows=(\d+)", lines)[1])
        return super().run(sql, values)


def explained(note, words="EXPLAIN", **options):
    """Sweep, and return how the server went about each DELETE."""
    pool = note.__runtime__.store.repo.sync_pool
    connection = pool.take(Deadline.after_real(5))
    connection.__class__ = type("Recording", (Recording,), {"__slots__": (), "words": words, "plans": []})
    pool.put(connection)
    for _ in drive_iterator(batches(note, **options)):
        pass
    connection.__class__, plans = Connection, connection.plans
    return plans


class TestLockedRows:
    def test_what_others_hold_is_left_to_the_next_sweep(self, database, repo, declare):
        """The lock stays all the while, so a sweep that waited for it would not end; all other rows of its batch go."""
        note = declare(repo)
        fill(note, 300)
        with holding(database, "UPDATE notes SET text = 'mine' WHERE key LIKE '00120%'"):
            removed = [*drive_iterator(batches(note, size=100))]

        assert 299 == sum(removed)
        assert ["mine"] == [left.text for left in query(note).all()]
        assert 1 == sum(drive_iterator(batches(note)))

    def test_the_same_in_a_task(self, database, repo, declare):
        """An async sweep leaves it out, too, and its connection waits for locks afterwards as it did before."""
        note = declare(repo)
        fill(note, 300)

        async def sweep():
            return [count async for count in batches(note, size=100)]

        with holding(database, "DELETE FROM notes WHERE key LIKE '00299%'", then="ROLLBACK"):
            removed = asyncio.run(in_call_mode(sweep()))

        assert 299 == sum(removed)
        assert 1 == query(note).count()

    def test_a_row_that_is_prolonged_meanwhile_stays(self, database, repo, declare):
        """Held while the sweep passes, and live once its holder commits: no later sweep takes it."""
        note = declare(repo)
        fill(note, 300)
        with holding(database, "UPDATE notes SET number = 10 WHERE key < '00010'"):
            removed = sum(drive_iterator(batches(note)))

        assert (290, 0) == (removed, sum(drive_iterator(batches(note))))
        assert 10 == query(note).count()

    def test_a_row_that_somebody_adds_and_has_not_committed_stops_no_sweep(self, database, repo, declare):
        """Its transaction is open, so the record may yet go; it counts as live."""
        note = declare(repo)
        fill(note, 300)
        with holding(database, "INSERT INTO notes (key, number) VALUES ('00120a', 50)"):
            removed = sum(drive_iterator(batches(note)))

        assert (300, 1) == (removed, query(note).count())

    def test_sweeps_at_once_beside_a_lock_count_each_row_once(self, database, repo, declare):
        """Each may go past what another one of them holds; the counts add up, and the next sweep takes what is left."""
        note = declare(repo)
        fill(note, 1000)

        async def sweep():
            return sum([count async for count in batches(note, size=50)])

        async def all_at_once():
            return await asyncio.gather(*(sweep() for _ in range(4)))

        with holding(database, "UPDATE notes SET text = 'mine' WHERE key LIKE '00500%'"):
            removed = asyncio.run(in_call_mode(all_at_once()))
            left = query(note).count()

        assert 1000 == sum(removed) + left
        assert left == sum(drive_iterator(batches(note)))


class TestCommits:
    @pytest.fixture
    def database(self, postgresql):
        """MariaDB has no such setting for a session."""
        return postgresql

    def test_only_the_commits_of_a_sweep_wait_for_no_replica(self, database, repo, declare):
        """A trigger records the server's setting: local in each batch, on again for what the same connection does next."""
        note = declare(repo)
        fill(note, 20)
        database.run("CREATE TABLE seen (setting text)")
        body = "BEGIN INSERT INTO seen VALUES (current_setting('synchronous_commit')); RETURN NULL; END"
        database.run(f"CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $${body}$$")
        database.run("CREATE TRIGGER watch AFTER DELETE OR INSERT ON notes FOR EACH ROW EXECUTE FUNCTION see()")
        for _ in drive_iterator(batches(note, size=5)):
            note.write(key=f"live {query(note).count()}", number=10)

        assert {("local", 20), ("on", 5)} == set(database.run("SELECT setting, count(*) FROM seen GROUP BY 1"))

    def test_a_batch_that_fails_leaves_the_connection_as_it_was(self, database, repo, declare):
        """Where the database refuses a batch, nothing of it is done, and the settings are those of before."""
        note = declare(repo)
        fill(note, 200)
        body = "BEGIN IF OLD.key LIKE '00120%' THEN RAISE check_violation; END IF; RETURN OLD; END"
        database.run(f"CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $${body}$$")
        database.run("CREATE TRIGGER stop BEFORE DELETE ON notes FOR EACH ROW EXECUTE FUNCTION refuse()")
        with pytest.raises(Invalid):
            sum(drive_iterator(batches(note, size=50)))
        connection = repo.sync_pool.take(Deadline.after_real(5))
        found = connection.fetch("SELECT current_setting('synchronous_commit'), current_setting('lock_timeout')")
        repo.sync_pool.put(connection)

        assert 100 == query(note).count()
        assert [("on", "0")] == found


class TestRests:
    """A sweep leaves a server to others while they are at work there."""

    @pytest.fixture
    def user(self, postgresql):
        """The name of a user who sees nothing of what others do: other tests are at work here."""
        name = f"resourcekit_{secrets.token_hex(4)}"
        postgresql.run(f"CREATE ROLE {name} LOGIN")
        yield name
        postgresql.run(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{name}'",
        )
        postgresql.run(f"DROP OWNED BY {name}")
        postgresql.run(f"DROP ROLE {name}")

    @pytest.fixture
    def database(self, postgresql, user):
        """The database of that user."""
        url = make_url(postgresql.url)
        schema = url.query["options"].removeprefix("-csearch_path=")
        postgresql.run(f"GRANT ALL ON SCHEMA {schema} TO {user}")
        return Database("postgresql", url.set(username=user).render_as_string(hide_password=False))

    def rests(self, repo, took):
        """Return for how long a sweep would rest after a batch that took so many seconds."""
        connection = repo.sync_pool.take(Deadline.after_real(5))
        try:
            rest, again = repo.dialect.after_batch(connection, took)
        finally:
            repo.sync_pool.put(connection)
        assert not again
        return rest

    def test_beside_a_call_that_lasts_it_rests_three_times_as_long_as_it_works(self, database, repo):
        """Others have the server for three quarters of the time; after a batch that took long it rests a moment, no more."""
        with closing(connect(database.url)) as other, ThreadPoolExecutor() as pool, closing(connect(database.url)) as watcher:
            call = pool.submit(other.execute, "SELECT pg_sleep(60)")
            while [("active",)] != watcher.execute(
                "SELECT state FROM pg_stat_activity WHERE pid = %s", (other.info.backend_pid,)
            ).fetchall():
                pass
            rests = [self.rests(repo, took) for took in (1e-9, 0.0625, 60.0)]
            other.cancel()
            with pytest.raises(psycopg.errors.QueryCanceled):
                call.result()

        assert [3e-9, 3 * 0.0625, 0.25] == pytest.approx(rests)

    def test_beside_others_who_have_been_at_work_meanwhile_it_rests(self, database, repo):
        """A call that came and went during the batch counts as well."""
        with closing(connect(database.url)) as other:
            other.cursor().execute("SELECT 1")
            assert 0.25 == self.rests(repo, 60.0)

    def test_who_waits_for_a_lock_is_not_at_work(self, database, repo):
        """As the followers of a fleet's leader wait, for days."""
        with closing(connect(database.url)) as leader, closing(connect(database.url)) as other, ThreadPoolExecutor() as pool:
            leader.execute("SELECT pg_advisory_lock(7)")
            call = pool.submit(other.execute, "SELECT pg_advisory_lock(7)")
            while [("Lock",)] != leader.execute(
                "SELECT wait_event_type FROM pg_stat_activity WHERE pid = %s", (other.info.backend_pid,)
            ).fetchall():
                pass
            rest = self.rests(repo, 1e-9)
            leader.execute("SELECT pg_advisory_unlock(7)")
            call.result()

        assert 0.0 == rest

    def test_a_user_who_may_not_look_takes_it_that_there_are_others(self, database, postgresql, repo, declare):
        """And sweeps all the same."""
        note = declare(repo)
        fill(note, 100)
        postgresql.run("REVOKE SELECT ON pg_catalog.pg_stat_activity FROM PUBLIC")
        try:
            rest = self.rests(repo, 0.0625)
            removed = sum(drive_iterator(batches(note, size=50)))
        finally:
            postgresql.run("GRANT SELECT ON pg_catalog.pg_stat_activity TO PUBLIC")

        assert (3 * 0.0625, 100) == (rest, removed)

    def test_alone_it_does_not_rest(self, database, repo):
        """Connections that do nothing are no others."""
        with closing(connect(database.url)) as other:
            other.cursor().execute("SELECT 1")
            assert 0.0 == self.rests(repo, 1e-9)

    @pytest.fixture
    def swept(self, repo, declare, monkeypatch):
        """A function that sweeps three batches, after each of which the dialect asks for a pause; returns pauses and batches in order."""
        note, events = declare(repo), []
        fill(note, 100)

        async def pause(seconds):
            events.append(seconds)

        def sweep_with(rest):
            monkeypatch.setattr(type(repo.dialect), "after_batch", lambda _, __, took: (rest, False))
            for _ in drive_iterator(batches(note, size=50)):
                events.append("batch")  # noqa: PERF401  # between the rests
            return events

        monkeypatch.setattr(sweep, "pause", pause)
        return sweep_with

    def test_a_rest_ends_with_the_deadline(self, swept):
        """A call takes no longer than it may."""
        with context(deadline=timedelta(seconds=60)):
            rests = [event for event in swept(1000.0) if event != "batch"]

        assert 2 == len(rests)
        assert max(rests) <= 60.0

    def test_each_batch_but_the_last_is_told_after_its_rest(self, swept):
        """A sweep that is stopped while it pauses does not run another batch first."""
        assert [0.125, "batch", 0.125, "batch", "batch"] == swept(0.125)


class TestPages:
    @pytest.fixture
    def database(self, postgresql):
        """Where rows lie in pages."""
        return postgresql

    def test_a_batch_scans_its_range_and_nothing_else(self, repo, declare):
        """With each way to prepare the statement, and with or without statistics, the plan is a range of ctid."""
        note = declare(repo)
        fill(note, 2000)
        plans = explained(note, size=100)

        assert 21 == len(plans)
        assert all("Tid Range Scan on notes" in plan and "Seq Scan" not in plan for plan in plans)

    def test_rows_that_others_hold_are_left_out_by_the_same_range(self, database, repo, declare):
        """Places are looked up one by one, in an array that a scan of the range has made."""
        note = declare(repo)
        fill(note, 2000)
        with holding(database, "UPDATE notes SET text = 'mine' WHERE key LIKE '00120%'"):
            plans = [plan for plan in explained(note, size=100) if "LockRows" in plan]

        assert 1 == len(plans)
        assert "Tid Range Scan on notes" in plans[0]
        assert "Tid Scan on notes" in plans[0]
        assert "Seq Scan" not in plans[0]

    def test_what_a_sweep_leaves_behind_is_read_once_by_the_next(self, database, repo, declare):
        """Dead rows lie in their pages until a vacuum comes: a second pass looks at each page once, and asks no index."""
        note = declare(repo)
        fill(note, 2000)
        pages = database.run("SELECT pg_relation_size('notes') / 8192")[0][0]
        first, second = (explained(note, "EXPLAIN (ANALYZE, BUFFERS)") for _ in range(2))
        read = [int(count) for plan in second for count in re.findall(r"Tid Range Scan.*?shared hit=(\d+)", plan, re.DOTALL)]

        assert pages > 20
        assert len(first) == len(second) == len(read)
        assert sum(read) <= pages

    def test_rows_that_come_or_move_meanwhile_are_met_or_left(self, repo, declare):
        """A sweep goes to the end that the table has then. What moves behind it is taken by the next one, and counted once."""
        note = declare(repo)
        fill(note, 1000)
        sweep = drive_iterator(batches(note, size=300))
        removed = next(sweep)
        fill(note, 1000, first=1000)
        moved = note.edit.bulk(query(note).filter(note.key > "01990"), text=None, number=2).count
        removed += sum(sweep)
        left = query(note).count()

        assert (10, 2000) == (moved, removed + left)
        assert left <= moved
        assert left == sum(drive_iterator(batches(note)))

    @pytest.mark.parametrize("size", [None, 100])
    def test_a_partitioned_table_is_swept_part_by_part(self, database, repo, declare, size):
        """A table of a user's migration, with partitions in partitions: each is swept in ranges of its own pages."""
        note = declare(repo, storage=False)
        columns = 'key text COLLATE "C", text text COLLATE "C", number bigint NOT NULL, body text COLLATE "C"'
        database.run(f"CREATE TABLE notes ({columns}, PRIMARY KEY (key)) PARTITION BY RANGE (key)")
        database.run("CREATE TABLE \"b % part\" PARTITION OF notes FOR VALUES FROM (MINVALUE) TO ('00700')")
        database.run("CREATE TABLE a_part PARTITION OF notes FOR VALUES FROM ('00700') TO (MAXVALUE) PARTITION BY HASH (key)")
        for number in range(2):
            database.run(f"CREATE TABLE c{number} PARTITION OF a_part FOR VALUES WITH (MODULUS 2, REMAINDER {number})")
        fill(note, 1000)
        note.write(key="00100", number=10)
        note.write(key="00900", number=10)
        plans = explained(note, size=size)

        assert {"00100", "00900"} == {left.key for left in query(note).all()}
        assert (10 if size else 3) <= len(plans)
        assert not [plan for plan in plans if "on notes" in plan]
