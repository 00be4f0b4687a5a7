"""A backend that is killed in the middle of its work: nothing is half-written, and what is not known says so."""

import collections
import contextlib
import secrets
import threading
from datetime import UTC, datetime, timedelta

import pytest

from resourcekit import query, transaction
from resourcekit.data_layers import Repo
from resourcekit.errors import OutcomeUnknown, Unavailable
from resourcekit_tokens import RevokedJti
from tests.support.callers import Call
from tests.support.databases import connect

ROWS = 300

TRIGGERS = {
    "postgresql": (
        "CREATE SEQUENCE killed",
        (
            "CREATE FUNCTION kill() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            "IF nextval('killed') <= {times} THEN PERFORM pg_terminate_backend(pg_backend_pid()); END IF; "
            "IF TG_OP = 'DELETE' THEN RETURN OLD; END IF; RETURN NEW; END $$"
        ),
        "CREATE TRIGGER kills BEFORE {event} ON {table} FOR EACH ROW WHEN ({row}.{key} = 'doom') EXECUTE FUNCTION kill()",
    ),
    "mariadb": (
        "CREATE SEQUENCE killed",
        (
            "CREATE TRIGGER kills BEFORE {event} ON {table} FOR EACH ROW "
            "IF {row}.{key} = 'doom' AND NEXTVAL(killed) <= {times} THEN KILL CONNECTION_ID(); END IF"
        ),
    ),
}
"""What lets a connection kill itself when it comes to the row of doom, so many times: a sequence is never taken back."""


def table_of(resource):
    """Return the name of a resource's table."""
    return resource.__runtime__.store.table.name


def deadly(database, resource, event, times=1, key="key"):
    """Kill the backends that insert or delete the row of doom, the first so many times."""
    row = "OLD" if event == "DELETE" else "NEW"
    for statement in TRIGGERS[database.kind]:
        database.run(statement.format(event=event, table=table_of(resource), row=row, key=key, times=times))


def doomed():
    """Return many rows, the row of doom in their middle."""
    rows = [{"key": f"{number:04}"} for number in range(ROWS)]
    rows[ROWS // 2] = {"key": "doom"}
    return rows


def test_a_bulk_write_that_is_killed_once_is_whole(database, call, declare_note):
    """What the server took back is written again on another connection, once: a killed backend costs no call."""
    note = declare_note(Repo(database.url))
    deadly(database, note, "INSERT")
    result = call(note.write.bulk, doomed(), batch_size=ROWS)

    assert (ROWS, ()) == (result.count, tuple(result.failures))
    assert ROWS == call(query(note).count)


def test_a_bulk_write_that_is_killed_again_and_again_leaves_nothing(database, call, declare_note):
    """The second kill is reported: nothing was written, and the error states that this is known."""
    note = declare_note(Repo(database.url))
    deadly(database, note, "INSERT", times=2)
    result = call(note.write.bulk, doomed(), batch_size=ROWS)

    assert (0, {Unavailable}) == (result.count, {type(failure.error) for failure in result.failures})
    assert 0 == call(query(note).count)
    assert ROWS == call(note.write.bulk, doomed(), batch_size=ROWS).count


def test_a_write_that_is_killed_is_unknown_and_not_made_again(postgresql, call, declare_note):
    """A backend may say that it ends after it has committed: a statement that commits by itself is not repeated."""
    note = declare_note(Repo(postgresql.url))
    deadly(postgresql, note, "INSERT")
    with pytest.raises(OutcomeUnknown):
        call(note.write, key="doom", number=1)
    call(note.write, key="next")

    assert ["next"] == [record.key for record in call(query(note).all)]


def test_a_write_that_is_cut_off_without_a_word_is_unknown(mariadb, call, declare_note):
    """MariaDB may cut a connection before it sends the reason: then the outcome is unknown, and the call is not repeated."""
    note = declare_note(Repo(mariadb.url))
    deadly(mariadb, note, "INSERT")
    with contextlib.suppress(OutcomeUnknown):
        call(note.write, key="doom", number=1)
    call(note.write, key="next")

    assert [("next", 0)] == [(record.key, record.number) for record in call(query(note).filter(note.key != "doom").all)]
    assert 1 >= call(query(note).filter(note.key == "doom").count)


def test_a_transaction_that_is_killed_leaves_nothing(database, call, declare_note):
    """It is not repeated, because only its user knows the whole of it; the error states that nothing was committed."""
    note = declare_note(Repo(database.url))
    deadly(database, note, "INSERT")
    with pytest.raises(Unavailable):
        call.in_transaction(note, [lambda: Call(note.write, key="a"), lambda: Call(note.write, key="doom")])
    before = call(query(note).count)
    call.in_transaction(note, [lambda: Call(note.write, key="a"), lambda: Call(note.write, key="doom")])

    assert (0, 2) == (before, call(query(note).count))


def test_a_commit_that_is_killed_is_unknown(postgresql, call, declare_note):
    """A backend that is ended while it checks what was deferred to the commit says no more than one that has committed."""
    note = declare_note(Repo(postgresql.url))
    create, function, _ = TRIGGERS["postgresql"]
    postgresql.run(create)
    postgresql.run(function.format(times=1))
    postgresql.run(
        f"CREATE CONSTRAINT TRIGGER kills AFTER INSERT ON {table_of(note)} DEFERRABLE INITIALLY DEFERRED "
        "FOR EACH ROW EXECUTE FUNCTION kill()"
    )
    with pytest.raises(OutcomeUnknown):
        call.in_transaction(note, [lambda: Call(note.write, key="a")])
    call.in_transaction(note, [lambda: Call(note.write, key="b")])

    assert ["b"] == [record.key for record in call(query(note).all)]


def test_a_sweep_that_is_killed_goes_on(database, call, declare_token):
    """The batch that was taken back is done again; each expired record goes, each other one stays."""
    token = declare_token(Repo(database.url))
    past, future = datetime.now(UTC) - timedelta(days=1), datetime.now(UTC) + timedelta(days=1)
    jtis = [f"{number:04}" for number in range(ROWS)]
    call(token.revoke_jtis, [RevokedJti(jti, past) for jti in [*jtis, "doom"]])
    call(token.revoke_jtis, [RevokedJti(f"x{jti}", future) for jti in jtis])
    deadly(database, token, "DELETE", key="jti")
    result = call(token.expunge_expired, batch_size=50)

    assert (ROWS + 1, ROWS) == (result.removed, call(query(token).count))


def test_a_sweep_that_cannot_go_on_has_removed_whole_batches(database, call, declare_token):
    """It raises, what it removed is gone, what it did not come to is there, and the next one takes the rest."""
    token = declare_token(Repo(database.url))
    past = datetime.now(UTC) - timedelta(days=1)
    call(token.revoke_jtis, [RevokedJti(f"{number:04}", past) for number in range(ROWS)])
    call(token.revoke_jtis, [RevokedJti("doom", past)])
    deadly(database, token, "DELETE", times=2, key="jti")
    with pytest.raises(Unavailable):
        call(token.expunge_expired, batch_size=50)
    left = call(query(token).count)
    result = call(token.expunge_expired, batch_size=50)

    assert left == result.removed
    assert 1 <= left <= ROWS


KILLS = {
    "postgresql": "SELECT pid, pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid() AND query LIKE '%{table}%'",
    "mariadb": "SELECT id FROM information_schema.processlist WHERE db = database() AND id <> connection_id() "
    "AND command IN ('Query', 'Execute')",
}


class Killer(threading.Thread):
    """Kills every connection that it sees at work on a table, again and again."""

    def __init__(self, database, table):
        super().__init__(daemon=True)
        self._database, self._table = database, table
        self._is_over = threading.Event()
        self.kills = 0

    def run(self):
        with contextlib.closing(connect(self._database.url)) as connection:
            cursor = connection.cursor()
            while not self._is_over.wait(0.003):
                cursor.execute(KILLS[self._database.kind].format(table=self._table))
                for found in cursor.fetchall():
                    self.kills += 1
                    if self._database.kind == "mariadb":
                        with contextlib.suppress(Exception):  # it may have ended by itself
                            cursor.execute(f"KILL {found[0]}")

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *error):
        self._is_over.set()
        self.join()


@pytest.mark.slow
@pytest.mark.parametrize("way", ["write", "bulk", "transaction"])
def test_what_is_said_under_a_storm_of_kills_is_true(database, declare_note, way):
    """Acknowledged writes are there once; unavailable ones are not; unknown ones may be; every row is whole."""
    note = declare_note(Repo(database.url))
    size = {"write": 1, "bulk": 30, "transaction": 2}[way]
    said = {}

    def write(name):
        if way == "write":
            note.write(key=f"{name}/0")
        elif way == "bulk":
            for failure in note.write.bulk([{"key": f"{name}/{number}"} for number in range(size)]).failures:
                raise failure.error
        else:
            with transaction(note):
                note.write(key=f"{name}/0")
                note.write(key=f"{name}/1")

    def work(thread):
        for number in range(50):
            name = f"{thread}-{number}-{secrets.token_hex(2)}"
            try:
                write(name)
                said[name] = "written"
            except (OutcomeUnknown, Unavailable) as error:
                said[name] = type(error)

    with Killer(database, table_of(note)) as killer:
        threads = [threading.Thread(target=work, args=(thread,)) for thread in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    there = collections.Counter(record.key.partition("/")[0] for record in query(note).all())

    assert killer.kills > 0
    assert {size} >= set(there.values())
    assert {size} == {there[name] for name, outcome in said.items() if outcome == "written"}
    assert {0} >= {there[name] for name, outcome in said.items() if outcome is Unavailable}
    note.write(key="afterwards")
