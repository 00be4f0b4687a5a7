"""What a sweep on SQLite leaves behind, and how others get in between."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from resourcekit import Deadline, query
from resourcekit.actions.drive import drive_iterator, in_call_mode
from resourcekit.data_layers import Repo
from resourcekit.data_layers.base import DeleteInBatches
from resourcekit.data_layers.sql.dialects.sqlite import log
from resourcekit.data_layers.sql.execution.connection import Connection
from resourcekit.data_layers.sql.execution.needs import Use
from resourcekit.data_layers.sql.maintenance import sweep
from resourcekit.errors import Invalid
from resourcekit.extending import Field, Param
from tests.support.databases import scratch

_KIB = 1024


@pytest.fixture
def database(tmp_path):
    """A file; how servers sweep is tested with theirs."""
    with scratch("sqlite", tmp_path) as place:
        yield place


def batches(note, *, size):
    """Sweep all rows whose number is below ten, in batches that look at so many rows."""
    store = note.__runtime__.store
    return store.delete_in_batches(store.compile(DeleteInBatches(Field("number") < Param("most"))), {"most": 10}, size=size)


def log_of(repo) -> Path:
    """Return the file of the write-ahead log."""
    return Path(f"{repo.url.database}-wal")


def settings(repo):
    """Return how durable the commits of this thread's connection are, and at which length of the log it copies it."""
    connection = repo.sync_pool.take(Deadline.after_real(5))
    try:
        return tuple(connection.fetch(f"PRAGMA {name}")[0][0] for name in ("synchronous", "wal_autocheckpoint"))
    finally:
        repo.sync_pool.put(connection)


def fill(note, count):
    """Write so many rows, in pages of their own as far as that goes."""
    note.write.bulk([{"key": f"{number:05d}" + "k" * 90, "text": f"{number:05d}" + "t" * 90} for number in range(count)])


def test_the_log_does_not_grow_with_the_sweep(repo, declare):
    """A batch finds the log copied, and writes it from its beginning; so does a writer beside the sweep."""
    note = declare(repo)
    fill(note, 6000)
    with closing(sqlite3.connect(repo.url.database)) as other:
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        sizes = []
        for number, _ in enumerate(drive_iterator(batches(note, size=100))):
            with other:
                other.execute("INSERT INTO notes (key, number) VALUES (?, 10)", (f"other {number}",))
            sizes.append(log_of(repo).stat().st_size)

    assert 61 == len(sizes)
    assert max(sizes) < 300 * _KIB


def test_a_reader_that_stays_stops_no_sweep(repo, declare):
    """While a reader keeps an old snapshot, the log cannot be truncated; the sweep goes on without waiting for it."""
    note = declare(repo)
    fill(note, 6000)
    with closing(sqlite3.connect(repo.url.database, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM notes").fetchone()
        removed = sum(drive_iterator(batches(note, size=1000)))
        seen = reader.execute("SELECT count(*) FROM notes").fetchone()[0]

    assert 6000 == removed
    assert 6000 == seen


def test_commits_beside_a_sweep_stay_durable(repo, declare):
    """Only a sweep's own deletes may be lost at a power cut; what the same thread writes in between may not."""
    note = declare(repo)
    fill(note, 200)
    before = settings(repo)
    between = {settings(repo) for _ in drive_iterator(batches(note, size=50))}

    assert (2, 2048) == before
    assert {before} == between


def test_a_sweep_that_fails_leaves_the_connection_as_it_was(repo, declare):
    """Where the database refuses a batch, nothing of it is done, and later commits of that connection are durable again."""
    note = declare(repo)
    fill(note, 200)
    before = settings(repo)
    with closing(sqlite3.connect(repo.url.database)) as other:
        refuse = "BEGIN SELECT RAISE(ABORT, 'refused'); END"
        other.execute(f"CREATE TRIGGER stop BEFORE DELETE ON notes WHEN OLD.key LIKE '00120%' {refuse}")
    with pytest.raises(Invalid):
        sum(drive_iterator(batches(note, size=50)))

    assert 100 == query(note).count()
    assert before == settings(repo)


def test_an_async_sweep_leaves_the_connection_as_it_was(repo, declare):
    """The same in tasks, whose connections pass from one to the next."""
    note = declare(repo)
    fill(note, 200)

    async def swept():
        pool = repo.async_pools.here()
        seen = []
        async for _ in batches(note, size=50):
            checkout = pool.checkout(Use.READ)
            connection = await checkout.take(Deadline.after_real(5))
            seen.append(await connection.work(Connection.fetch, "PRAGMA synchronous", ()))
            checkout.put()
        return seen

    assert {((2,),)} == {tuple(each) for each in asyncio.run(in_call_mode(swept()))}


def test_who_waits_for_the_lock_looks_often(repo, declare):
    """Between two looks at a lock lie at most four milliseconds: less than a sweep leaves it free between two batches."""
    note = declare(repo)
    note.write(key="a")
    connection, pauses = repo.sync_pool.take(Deadline.after_real(5)), []
    with closing(sqlite3.connect(repo.url.database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")

        def sleep(seconds):
            pauses.append(seconds)
            if len(pauses) == 50:
                other.execute("COMMIT")

        connection.sleep = sleep
        connection.allow(Deadline.after_real(60))
        assert 1 == connection.run("UPDATE notes SET number = 1")
    repo.sync_pool.put(connection)

    assert 50 == len(pauses)
    assert max(pauses) <= 0.004


@pytest.fixture
def watch(monkeypatch):
    """A clock for the pauses of sweeps, and what they rested."""
    return Watch(monkeypatch)


class Watch:
    """A clock that advances by ``step`` each time it is read, and by the pauses of sweeps.

    rests: the seconds that sweeps left the lock alone by themselves.
    """

    def __init__(self, monkeypatch):
        self.step, self.seconds, self.rests = 0.0, 0.0, []
        monkeypatch.setattr(log, "time", self)
        monkeypatch.setattr(sweep, "pause", self.pause)

    def perf_counter(self):
        """Return the seconds."""
        self.seconds += self.step
        return self.seconds

    async def pause(self, seconds):
        """Let time pass."""
        self.rests.append(round(max(seconds, 0.0), 6))
        self.seconds += self.rests[-1]


@pytest.mark.parametrize(("step", "rest"), [(0.0, 0.005), (0.003, 0.002), (0.006, 0.0)])
def test_a_sweep_pauses_between_its_batches(repo, declare, watch, step, rest):
    """Before the next batch the lock is free for five milliseconds, at the least; copying the log without it counts."""
    note = declare(repo)
    fill(note, 200)
    watch.step = step
    count = len(list(drive_iterator(batches(note, size=50))))

    assert 5 == count
    assert [rest] * (count - 1) == watch.rests


@pytest.mark.parametrize(("held", "rest"), [(0.0005, 0.0015), (0.004, 0.005)])
def test_writers_get_a_pause_after_the_lock_was_held_to_copy_the_log(repo, declare, watch, monkeypatch, held, rest):
    """Where much is left in the log it is copied under the lock; the five milliseconds begin thereafter, unless it was a blink."""
    note = declare(repo)
    fill(note, 200)
    fetch = Connection.fetch

    def slow(connection, sql, values=()):
        watch.seconds += 0.003 if "PASSIVE" in sql else held if "RESTART" in sql else 0.0
        return fetch(connection, sql, values)

    monkeypatch.setattr(log, "_LONGEST", 0)
    monkeypatch.setattr(Connection, "fetch", slow)
    count = len(list(drive_iterator(batches(note, size=50))))

    assert [rest] * (count - 1) == watch.rests


def test_a_log_that_readers_keep_from_its_beginning_is_begun_anew(repo, declare, monkeypatch):
    """Each reader that came while the last one was there would; under the lock none of them is in the way for long."""
    note = declare(repo)
    fill(note, 2000)
    monkeypatch.setattr(log, "_LONGEST", 16 * 8192)
    fetch = Connection.fetch
    with closing(sqlite3.connect(repo.url.database, isolation_level=None)) as reader:

        def beside_a_reader(connection, sql, values=()):
            if "RESTART" in sql:
                reader.execute("COMMIT")
            found = fetch(connection, sql, values)
            if "PASSIVE" in sql and not reader.in_transaction:
                reader.execute("BEGIN")
                reader.execute("SELECT count(*) FROM notes").fetchone()
            return found

        reader.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        monkeypatch.setattr(Connection, "fetch", beside_a_reader)
        sizes = [log_of(repo).stat().st_size for _ in drive_iterator(batches(note, size=100))]

    assert 21 == len(sizes)
    assert max(sizes) < 32 * 8192


@pytest.fixture
def asked(monkeypatch):
    """The statements that links fetched."""
    found, fetch = [], Connection.fetch

    def listening(connection, sql, values=()):
        found.append(sql)
        return fetch(connection, sql, values)

    monkeypatch.setattr(Connection, "fetch", listening)
    return found


@pytest.fixture
def reading(repo, monkeypatch):
    """A function that fills a resource, and yields a connection that reads the moment thereafter until it commits."""

    @contextmanager
    def read(note):
        monkeypatch.setattr(log, "_LONGEST", 16 * 8192)
        fill(note, 2000)
        with closing(sqlite3.connect(repo.url.database, isolation_level=None)) as reader:
            reader.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM notes").fetchone()
            yield reader

    return read


def test_what_a_reader_keeps_back_is_not_copied_under_the_lock(repo, declare, watch, asked, reading):
    """It may be much by the time when the reader goes, and a revoke would wait for all of it."""
    note = declare(repo)
    with reading(note):
        removed = sum(drive_iterator(batches(note, size=100)))

    assert 2000 == removed
    assert "PRAGMA wal_checkpoint(RESTART)" not in asked


def test_a_log_that_is_too_long_is_waited_for(repo, declare, watch, asked, reading):
    """Four times before the next batch; when the readers have gone, it is begun anew, and the sweep waits no longer."""
    note = declare(repo)
    with reading(note) as reader:
        sweeping = drive_iterator(batches(note, size=100))
        waits = []
        for _ in sweeping:
            waits.append(watch.rests.count(0.25))
            if waits[-1] >= 4 * 2:
                break
        reader.execute("COMMIT")
        before = len(watch.rests)
        list(sweeping)

    assert {0, 4, 8} == set(waits)
    assert 0.25 not in watch.rests[before:]
    assert "PRAGMA wal_checkpoint(RESTART)" in asked


def test_the_page_size_of_a_user_s_own_engine_is_kept(tmp_path, declare):
    """An engine comes with events and settings of its own."""
    engine = sa.create_engine(f"sqlite:///{tmp_path}/own.db")

    @sa.event.listens_for(engine, "connect")
    def choose(connection, _):
        connection.execute("PRAGMA page_size=16384")

    note = declare(Repo(engine=engine))
    note.write(key="a")
    with closing(sqlite3.connect(tmp_path / "own.db")) as other:
        assert (16384,) == other.execute("PRAGMA page_size").fetchone()


def test_a_file_that_is_made_here_has_pages_that_suit_it(repo, declare):
    """Rows lie in the pages of the key, so a page holds twice as much as usual."""
    note = declare(repo)
    note.write(key="a")
    with closing(sqlite3.connect(repo.url.database)) as other:
        assert (8192,) == other.execute("PRAGMA page_size").fetchone()


def test_a_file_that_was_there_keeps_its_pages(repo, declare):
    """Their size is the file's own, and the log is as long in bytes as it is elsewhere."""
    with closing(sqlite3.connect(repo.url.database)) as other:
        other.execute("CREATE TABLE there (number INTEGER)")
    note = declare(repo)
    note.write(key="a")

    assert (2, 4096) == settings(repo)
    with closing(sqlite3.connect(repo.url.database)) as other:
        assert (4096,) == other.execute("PRAGMA page_size").fetchone()
