"""Deadlocks, lock timeouts and serialization failures: repeated if that is safe, reported if not."""

import contextlib
import threading
from datetime import timedelta

import pytest
import sqlalchemy as sa

from resourcekit import Deadline, query, transaction
from resourcekit.data_layers import Repo, joined
from resourcekit.errors import SerializationFailure, Timeout
from tests.support.callers import Call, Watch
from tests.support.databases import connect, run_sql

PATIENCE = timedelta(minutes=1)
"""How long calls may take that several of a kind keep up, on a machine that is busy with other tests."""


@contextlib.contextmanager
def rival(database):
    """Yield a function that runs statements of another client, in a transaction that is rolled back at the end."""
    with contextlib.closing(connect(database.url)) as connection:
        cursor = connection.cursor()
        cursor.execute("BEGIN")
        yield cursor.execute


def table_of(note):
    """Return the name of a resource's table."""
    return note.__runtime__.store.table.name


def key_column(database):
    """Return the name of the key as the database wants it."""
    return "`key`" if database.kind == "mariadb" else "key"


def test_of_two_transactions_that_wait_for_each_other_one_is_told(database, call, declare_note):
    """One gets SerializationFailure, the other one commits; run again, the first one commits, too."""
    note = declare_note(Repo(database.url))
    call(note.write, key="a")
    call(note.write, key="b")
    meet, received = threading.Barrier(2, timeout=20), []

    def other():
        try:
            with transaction(note):
                note.edit("b", number=1)
                meet.wait()
                note.edit("a", number=1)
        except SerializationFailure as error:
            received.append(error)

    thread = threading.Thread(target=other)
    thread.start()
    try:
        call.in_transaction(note, [lambda: Call(note.edit, "a", number=1), meet.wait, lambda: Call(note.edit, "b", number=1)])
    except SerializationFailure as error:
        received.append(error)
    thread.join()
    call.in_transaction(note, [lambda: Call(note.edit, "a", number=2), lambda: Call(note.edit, "b", number=2)])

    assert 1 == len(received)
    assert [2, 2] == [record.number for record in call(query(note).all)]


@pytest.mark.parametrize("bulk", ["create", "update"])
def test_a_bulk_action_in_a_transaction_that_is_given_up_raises_serialization_failure(mariadb, declare_note, bulk):
    """MariaDB has rolled the whole transaction back: the caller learns that it may run it again, and not only that it is over."""
    note, meet, ends = declare_note(Repo(mariadb.url)), threading.Barrier(2, timeout=20), []
    note.write.bulk([{"key": "a"}, {"key": "b"}])
    records = {record.key: record for record in query(note).all()}

    def act(first, second):
        try:
            with transaction(note):
                note.edit(first, number=1)
                meet.wait()
                if bulk == "create":
                    note.put.bulk([{"key": second, "number": 1}])
                else:
                    note.edit.bulk([records[second]], number=1)
            ends.append("committed")
        except Exception as error:  # the test looks at it
            ends.append(type(error).__name__)

    thread = threading.Thread(target=act, args=("a", "b"))
    thread.start()
    act("b", "a")
    thread.join()

    assert ["SerializationFailure", "committed"] == sorted(ends)


def test_a_statement_that_meets_a_deadlock_outside_of_a_transaction_is_made_again(database, call, declare_note):
    """A bulk write is a transaction of the framework: it is repeated without the caller, and its rows are written once."""
    note = declare_note(Repo(database.url, timeout=PATIENCE))  # each deadlock takes PostgreSQL a second to see
    errors = []

    def other(order):
        rows = [{"key": f"{number:03}", "number": 1} for number in order]
        for _ in range(15):
            errors.extend(failure.error for failure in note.put.bulk(rows).failures)

    threads = [threading.Thread(target=other, args=(order,)) for order in (range(40), range(39, -1, -1))]
    for thread in threads:
        thread.start()
    for _ in range(10):
        result = call(note.put.bulk, [{"key": f"{number:03}", "number": 1} for number in range(39, -1, -1)])
        errors.extend(failure.error for failure in result.failures)
    for thread in threads:
        thread.join()

    assert [] == errors
    assert 40 == call(query(note).count)


def test_a_lock_that_the_server_gives_up_early_is_waited_for_until_the_deadline(database, call, declare_note):
    """The server's own limit is shorter than the call may take: the statement is made again until it gets the lock."""
    note = declare_note(Repo(_impatient(database)))
    call(note.write, key="a")
    with rival(database) as say:
        say(f"UPDATE {table_of(note)} SET number = 5")
        with Watch() as watch, pytest.raises(Timeout):
            call.within(timedelta(seconds=1.5), note.edit, "a", number=1)
        freed = threading.Timer(1.2, say, ("ROLLBACK",))
        freed.start()
        call(note.edit, "a", number=2)
        freed.join()

    assert 1.0 < watch.seconds < 4.0
    assert 2 == call(query(note).one).number


def _impatient(database):
    """Return a URL whose connections give a lock up after a second, or sooner."""
    url = sa.make_url(database.url)
    if database.kind == "mariadb":
        return url.update_query_dict({"init_command": "SET SESSION innodb_lock_wait_timeout=1"}).render_as_string(
            hide_password=False
        )
    options = f"{url.query['options']} -clock_timeout=300"
    return url.update_query_dict({"options": options}).render_as_string(hide_password=False)


def test_a_lock_timeout_inside_a_transaction_is_told_and_the_block_goes_on(database, call, declare_note):
    """The error does not roll back what was written before; code that catches it may go on."""
    note = declare_note(Repo(_impatient(database)))
    call(note.write, key="a")
    call(note.write, key="b")
    with rival(database) as say:
        say(f"UPDATE {table_of(note)} SET number = 5 WHERE {key_column(database)} = 'a'")

        async def work():
            async with transaction(note):
                await note.edit.aio("b", number=1)
                with pytest.raises(Timeout):
                    await note.edit.aio("a", number=1)
                await note.write.aio(key="c")

        if call.is_async:
            call.run(work())
        else:
            with transaction(note):
                note.edit("b", number=1)
                with pytest.raises(Timeout):
                    note.edit("a", number=1)
                note.write(key="c")

    assert [("a", 0), ("b", 1), ("c", 0)] == [(record.key, record.number) for record in call(query(note).sort(note.key).all)]


@pytest.mark.slow
def test_a_mariadb_that_rolls_back_on_timeout_writes_nothing_outside_of_the_block(servers, call, declare_note, own_mariadb):
    """With innodb_rollback_on_timeout the whole transaction is gone: nothing that follows in the block may commit by itself."""
    note = declare_note(Repo(own_mariadb("innodb_rollback_on_timeout=1", "innodb_lock_wait_timeout=1").url))
    call(note.write, key="a")
    url = note.__runtime__.store.repo.url.render_as_string(hide_password=False)
    with contextlib.closing(connect(url)) as connection:
        connection.cursor().execute("BEGIN")
        connection.cursor().execute(f"UPDATE {table_of(note)} SET number = 5 WHERE `key` = 'a'")
        steps = [lambda: Call(note.write, key="b"), lambda: Call(caught, "a"), lambda: Call(note.write, key="c")]

        class Caught:
            def __call__(self, key):
                with contextlib.suppress(Timeout):
                    note.edit(key, number=1)

            async def aio(self, key):
                with contextlib.suppress(Timeout):
                    await note.edit.aio(key, number=1)

        caught = Caught()
        with pytest.raises(Exception, match="run it again as a whole"):
            call.in_transaction(note, steps)

    assert [("a", 0)] == [(record.key, record.number) for record in call(query(note).all)]


def test_a_conflict_inside_the_user_s_serializable_transaction_is_told(postgresql, declare_note):
    """The whole of it has to be run again, which only the user can."""
    note = declare_note(Repo(postgresql.url))
    note.write(key="a")
    url = sa.make_url(postgresql.url).set(drivername="postgresql+psycopg")
    engine = sa.create_engine(url, isolation_level="SERIALIZABLE")
    with engine.connect() as connection, joined(connection, note):
        assert 0 == query(note).one().number
        run_sql(postgresql.url, f"UPDATE {table_of(note)} SET number = 7")
        with pytest.raises(SerializationFailure):
            note.edit("a", number=1)
        connection.rollback()
    with engine.connect() as connection, joined(connection, note):
        note.edit("a", number=2)
        connection.commit()
    engine.dispose()

    assert 2 == query(note).one().number


def test_rivals_at_the_level_serializable_are_all_served(postgresql, declare_note):
    """Where connections came to that level, what is given up is made again: nothing is lost, nothing is done twice."""
    repo = Repo(postgresql.url, timeout=PATIENCE)
    note = declare_note(repo)
    connections = [repo.sync_pool.take(Deadline.after_real(5)) for _ in range(4)]
    for connection in connections:
        connection.run("SET default_transaction_isolation = 'serializable'")
        repo.sync_pool.put(connection)
    note.put.bulk([{"key": f"{each}"} for each in range(10)])
    errors = []

    def work():
        for _ in range(10):
            errors.extend(failure.error for failure in note.put.bulk([{"key": f"{each}"} for each in range(10)]).failures)
            note.count_up("5")

    threads = [threading.Thread(target=work) for _ in connections]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [] == errors
    assert 40 == query(note).filter(note.key == "5").one().number


@pytest.mark.parametrize("times", [1, 3])
def test_a_commit_that_is_given_up_is_made_again(postgresql, call, declare_note, times):
    """A serialization failure may come at the commit: outside of a block the call is repeated, inside the error is raised."""
    note = declare_note(Repo(postgresql.url))
    postgresql.run("CREATE SEQUENCE given_up")
    postgresql.run(
        "CREATE FUNCTION give_up() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"IF nextval('given_up') <= {times} THEN RAISE EXCEPTION 'given up' USING ERRCODE = '40001'; END IF; RETURN NEW; END $$"
    )
    postgresql.run(
        f"CREATE CONSTRAINT TRIGGER gives_up AFTER INSERT ON {table_of(note)} DEFERRABLE INITIALLY DEFERRED "
        "FOR EACH ROW EXECUTE FUNCTION give_up()"
    )
    result = call(note.write.bulk, [{"key": "a"}, {"key": "b"}])
    postgresql.run("ALTER SEQUENCE given_up RESTART")
    call(note.write, key="c")
    postgresql.run("ALTER SEQUENCE given_up RESTART")
    with pytest.raises(SerializationFailure):
        call.in_transaction(note, [lambda: Call(note.write, key="d")])

    assert (2, ()) == (result.count, tuple(result.failures))
    assert ["a", "b", "c"] == sorted(record.key for record in call(query(note).all))
