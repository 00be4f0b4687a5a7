"""Tables in partitions on PostgreSQL: one row for each key, whatever it expires; made ahead, dropped behind."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from resourcekit import Attr, Deadline, Domain, Resource, attribute, create, query, transaction, update
from resourcekit.actions.drive import drive, drive_iterator
from resourcekit.data_layers import SQL, Partitions, joined
from resourcekit.data_layers.base import DeleteInBatches, Insert, OnConflict
from resourcekit.data_layers.sql import partitioned
from resourcekit.errors import DataLayerError, UniqueViolation
from resourcekit.expressions.nodes import Incoming
from resourcekit.extending import Field, Param
from resourcekit.results import Outcome
from resourcekit.testing import ManualClock
from tests.support.databases import connect

DAY = timedelta(days=1)
START = datetime(2030, 1, 1, 12, tzinfo=UTC)
PARTITIONS = Partitions(every=DAY, ahead=5 * DAY)


@pytest.fixture
def clock():
    """A clock that the test moves by hand, for all threads."""
    with ManualClock(START, everywhere=True) as moved:
        yield moved


@pytest.fixture
def note(postgresql, clock):
    """A resource in partitions, its storage made."""
    domain = Domain("notes")

    class Note(Resource, domain=domain, data_layer=SQL(postgresql.url, table="notes", partitions=PARTITIONS)):
        key: Attr[str] = attribute(primary_key=True, max_length=100)
        text: Attr[str | None] = attribute(default=None)
        expires_at: Attr[datetime] = attribute()

        write = create(accept=["key", "text", "expires_at"])
        put = create(accept=["key", "text", "expires_at"], upsert=True)
        edit = update(accept=["text", "expires_at"])

    Note.domain_of_test = domain
    domain.create_storage()
    return Note


def parts(postgresql, table="notes"):
    """Return how many rows each partition holds, by the end of its name; those that hold none, too."""
    found = postgresql.run(f"SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = '{table}'::regclass")
    return {name.rpartition("_")[2]: postgresql.run(f"SELECT count(*) FROM {name}")[0][0] for (name,) in found}


def held(postgresql, table="notes"):
    """Return the partitions that hold rows."""
    return {name: count for name, count in parts(postgresql, table).items() if count}


def number(moment):
    """Return the end of the name of the partition for what expires then."""
    return f"p{moment.timestamp() // DAY.total_seconds():.0f}"


def sweep(note, before):
    """Return the counts of a sweep of what expires before a moment."""
    store = note.__runtime__.store
    return [
        *drive_iterator(
            store.delete_in_batches(store.compile(DeleteInBatches(Field("expires_at") < Param("before"))), {"before": before})
        )
    ]


class TestMadeAhead:
    def test_partitions_are_made_ahead_and_one_for_the_rest(self, postgresql, note):
        """From today to the fifth day; create_storage() once more makes nothing."""
        note.domain_of_test.create_storage()

        assert {"rest", *(number(START + day * DAY) for day in range(6))} == parts(postgresql).keys()

    def test_a_sweep_makes_what_time_has_made_necessary(self, postgresql, note, clock):
        """Three days later there are three more, and those behind that hold nothing are gone."""
        clock.advance(days=3)
        sweep(note, clock.now())

        assert {"rest", *(number(START + day * DAY) for day in range(3, 9))} == parts(postgresql).keys()

    def test_processes_that_start_at_once(self, postgresql, note):
        """All make the same partitions; no call fails."""
        postgresql.run("DROP TABLE notes")
        postgresql.run("DROP FUNCTION notes_part")
        stores = [note.__runtime__.store.__class__ for _ in range(8)]
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(lambda _: note.domain_of_test.create_storage(), stores))

        assert 7 == len(parts(postgresql))

    def test_health_finds_nothing_wrong(self, note):
        """Key, columns and indexes are those of the declaration."""
        found = drive(note.__runtime__.store.health())

        assert [] == [(finding.id, finding.what) for finding in found if finding.level == "error"]

    def test_alembic_leaves_partitions_alone(self, note):
        """With the filter Alembic finds nothing to change; without it, it would remove the partitions."""
        repo = note.__runtime__.store.repo
        with repo.engine.connect() as connection:
            careful = MigrationContext.configure(connection, opts={"include_name": repo.include_name})
            compared = compare_metadata(careful, repo.metadata)
            careless = str(compare_metadata(MigrationContext.configure(connection), repo.metadata))
        repo.engine.dispose()

        assert [] == compared
        assert f"notes_{number(START)}" in careless


class TestWriting:
    def test_rows_stand_by_the_time_at_which_they_expire(self, postgresql, note):
        """Records that expire beyond the last partition, or before the first one, are kept in the default partition."""
        for key, days in (("a", 0), ("b", 2), ("c", 2), ("far", 100), ("past", -100)):
            note.write(key=key, expires_at=START + days * DAY)

        assert {number(START): 1, number(START + 2 * DAY): 2, "rest": 2} == held(postgresql)

    def test_a_key_that_is_there_is_refused_wherever_it_stands(self, postgresql, note):
        """Also where the new row would have another expiry; the error names the attribute of the key."""
        note.write(key="a", expires_at=START)
        with pytest.raises(UniqueViolation) as refused:
            note.write(key="a", expires_at=START + DAY)

        assert ("primary_key", ("key",)) == (refused.value.identity, refused.value.fields)
        assert {number(START): 1} == held(postgresql)

    def test_an_upsert_meets_the_row_wherever_it_stands(self, postgresql, note):
        """A later expiry moves no row: it stays in the partition of its first one."""
        first = note.put.bulk([{"key": "a", "expires_at": START}, {"key": "b", "expires_at": START}])
        second = note.put.bulk([{"key": "a", "expires_at": START + 3 * DAY, "text": "new"}, {"key": "c", "expires_at": START}])

        assert (2, 2) == (first.count, second.count)
        assert {"a": "new", "b": None, "c": None} == {each.key: each.text for each in query(note).all()}
        assert {number(START): 3} == held(postgresql)

    def test_the_outcome_of_an_upsert_is_known(self, note):
        """Inserted, then updated, as the function reports it, not the row."""
        store = note.__runtime__.store
        fields = ("key", "text", "expires_at")
        plan = store.compile(
            Insert(fields, on_conflict=OnConflict(("key",), "update", {"text": Incoming("text")}), returning=True)
        )
        row = {"key": "a", "text": "x", "expires_at": START}
        outcomes = [drive(store.insert(plan, [{**row, "expires_at": START + n * DAY}], {})).outcomes for n in range(2)]

        assert [(Outcome.INSERTED,), (Outcome.UPDATED,)] == outcomes

    def test_many_rows_at_once(self, postgresql, note):
        """Some of them are there. One lock on the whole is taken, for a server has not enough of them for each key."""
        note.write(key="00500", expires_at=START + 2 * DAY)
        rows = [{"key": f"{key:05d}", "expires_at": START + key % 5 * DAY, "text": "many"} for key in range(1000)]
        with transaction(note):
            written = note.put.bulk(rows)
            locks = postgresql.run(
                "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = "
                "(SELECT pid FROM pg_locks WHERE relation = 'notes'::regclass AND mode = 'RowExclusiveLock')"
            )

        assert 1000 == written.count == query(note).filter(note.text == "many").count()
        assert 1000 == sum(held(postgresql).values())
        assert [(1,)] == locks

    def test_writers_at_once_leave_one_row(self, postgresql, note):
        """Each with another expiry, so that each would go to another partition."""
        barrier = threading.Barrier(6)

        def write(day):
            for round_ in range(10):
                barrier.wait(60)
                note.put(key=f"key {round_}", expires_at=START + day * DAY, text=f"{day}")

        with ThreadPoolExecutor(6) as threads:
            list(threads.map(write, range(6)))

        assert 10 == query(note).count() == postgresql.run("SELECT count(*) FROM notes")[0][0]

    def test_another_isolation_level_is_refused(self, postgresql, note):
        """There, what others have committed would not be seen, and a key could be there twice."""
        engine = sa.create_engine(postgresql.url.replace("postgresql:", "postgresql+psycopg:"), isolation_level="REPEATABLE READ")
        with engine.begin() as connection, joined(connection, note), pytest.raises(DataLayerError):
            note.write(key="a", expires_at=START)
        engine.dispose()

        assert {} == held(postgresql)

    def test_a_transaction_that_rolls_back_leaves_nothing(self, postgresql, note):
        """A savepoint, too; the locks go with it."""
        with pytest.raises(LookupError), transaction(note):
            note.write(key="a", expires_at=START)
            raise LookupError
        note.write(key="a", expires_at=START + DAY)

        assert {number(START + DAY): 1} == held(postgresql)


class TestDroppedBehind:
    def test_a_partition_whose_rows_have_all_expired_goes_as_a_whole(self, postgresql, note, clock):
        """No row of it is deleted: a trigger that refuses every deletion is not asked. The count is exact."""
        note.write.bulk([{"key": f"{key:05d}", "expires_at": START} for key in range(500)])
        note.write(key="live", expires_at=START + 3 * DAY)
        body = "BEGIN RAISE check_violation; END"
        postgresql.run(f"CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $${body}$$")
        postgresql.run("CREATE TRIGGER stop BEFORE DELETE ON notes FOR EACH ROW EXECUTE FUNCTION refuse()")
        clock.advance(days=2)
        removed = sweep(note, clock.now())

        assert 500 == sum(removed)
        assert ["live"] == [left.key for left in query(note).all()]
        assert number(START) not in parts(postgresql)
        assert [(None,)] == postgresql.run(f"SELECT to_regclass('notes_{number(START)}')")

    def test_a_partition_whose_time_is_not_over_is_swept_row_by_row(self, postgresql, note, clock):
        """What is due in it goes; the partition stays for what expires later on that day."""
        note.write(key="due", expires_at=START)
        note.write(key="later", expires_at=START + timedelta(hours=6))
        clock.advance(hours=1)

        assert 1 == sum(sweep(note, clock.now()))
        assert {number(START): 1} == held(postgresql)

    def test_a_row_that_was_prolonged_keeps_its_partition(self, postgresql, note, clock):
        """It lives longer than its partition was meant to; the others of it go row by row, and it goes when it is due."""
        note.write.bulk([{"key": f"{key:05d}", "expires_at": START} for key in range(50)])
        note.put(key="00007", expires_at=START + 4 * DAY)
        clock.advance(days=2)
        first = sum(sweep(note, clock.now()))
        left = held(postgresql)
        clock.advance(days=3)

        assert (49, {number(START): 1}) == (first, left)
        assert 1 == sum(sweep(note, clock.now()))
        assert number(START) not in parts(postgresql)

    def test_sweeps_at_once_count_each_row_once(self, postgresql, note, clock):
        """Beside writers whose rows are late, and go to partitions that are being dropped, or to the rest."""
        note.write.bulk([{"key": f"{key:05d}", "expires_at": START + key % 3 * DAY} for key in range(3000)])
        clock.advance(days=4)
        removed, late = [], []

        def run(which):
            if which < 3:
                removed.append(sum(sweep(note, clock.now())))
            else:
                late.extend(note.put(key=f"late {which} {key}", expires_at=START + key % 3 * DAY) for key in range(40))

        with ThreadPoolExecutor(5) as threads:
            list(threads.map(run, range(5)))
        removed.append(sum(sweep(note, clock.now())))

        assert 3000 + 80 == sum(removed)
        assert (80, 0) == (len(late), query(note).count())
        assert {} == held(postgresql)

    def test_a_sweep_that_broke_off_is_finished_by_the_next(self, postgresql, note, clock):
        """A partition that was detached and not yet dropped is counted and dropped then; a table of another owner is not."""
        note.write.bulk([{"key": f"{key:05d}", "expires_at": START} for key in range(20)])
        clock.advance(days=2)
        postgresql.run("CREATE TABLE notes_p1 (mine text)")
        store = note.__runtime__.store
        connection = store.repo.sync_pool.take(Deadline.after_real(60))
        name = store.layout.named(number(START))
        taken = partitioned._detach(connection, store.layout, name, clock.now())
        store.repo.sync_pool.put(connection)
        note.write(key="00001", expires_at=START)

        assert taken
        assert (21, 0) == (sum(sweep(note, clock.now())), query(note).count())
        assert [("notes_p1",)] == postgresql.run("SELECT to_regclass('notes_p1')::text")

    def test_a_partition_that_another_sweep_drops_meanwhile_keeps_its_name(self, postgresql, note, clock):
        """A sweep that has seen the detached partition before it went asks for it by name, and takes it for dropped."""
        note.write(key="00001", expires_at=START)
        clock.advance(days=2)
        store = note.__runtime__.store
        name = store.layout.named(store.layout.ending(int(number(START)[1:])))
        connection, other = (store.repo.sync_pool.take(Deadline.after_real(60)) for _ in range(2))
        partitioned._detach(other, store.layout, name, clock.now())
        connection.run("BEGIN ISOLATION LEVEL REPEATABLE READ")
        before = partitioned._detached(connection, store.layout)
        dropped = partitioned._drop(other, before[0])
        after = partitioned._detached(connection, store.layout)
        connection.run("ROLLBACK")

        assert (1, True) == (len(before), dropped)
        assert before == after
        assert partitioned._drop(connection, after[0]) is False
        for each in (connection, other):
            store.repo.sync_pool.put(each)

    def test_who_reads_in_a_transaction_stops_no_sweep(self, postgresql, note, clock):
        """While another client locks the table, its partitions stay; expired records are still removed row by row."""
        note.write(key="a", expires_at=START)
        clock.advance(days=2)
        with closing(connect(postgresql.url)) as other:
            other.cursor().execute("BEGIN; SELECT count(*) FROM notes")
            removed = sum(sweep(note, clock.now()))
            there = number(START) in parts(postgresql)

        assert (1, True) == (removed, there)
