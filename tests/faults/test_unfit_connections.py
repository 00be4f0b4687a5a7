"""Connections that work and yet cannot serve: those to a server that was demoted, and those that lost what they had prepared."""

import asyncio

import pytest

from resourcekit import Deadline, query
from resourcekit.data_layers import SQL, Repo
from resourcekit.data_layers.sql.execution.needs import Use
from resourcekit.doctor import doctor
from resourcekit.errors import Unavailable
from tests.support.callers import Call
from tests.support.databases import run_sql

READ_ONLY = {"postgresql": "SET default_transaction_read_only = on", "mariadb": "SET SESSION tx_read_only = 1"}


def kept_connections(repo, call, count):
    """Return so many connections that the pool keeps, opened anew."""
    if not call.is_async:
        connections = [repo.sync_pool.take(Deadline.after_real(5)) for _ in range(count)]
        for connection in connections:
            repo.sync_pool.put(connection)
        return connections

    async def work():
        pool = repo.async_pools.here()
        checkouts = [pool.checkout(Use.READ) for _ in range(count)]
        connections = [await checkout.take(Deadline.after_real(5)) for checkout in checkouts]
        for checkout in checkouts:
            checkout.put()
        return connections

    return call.run(work())


def say(call, connection, sql):
    """Run a statement on one connection."""
    if call.is_async:
        call.run(connection.work(lambda inside: inside.run(sql)))
    else:
        connection.run(sql)


def test_a_demoted_server_is_left(database, call, declare_note):
    """Where every kept connection leads to a server that takes no writes any more, a new one is made, and writes."""
    repo = Repo(database.url)
    note = declare_note(repo)
    old = kept_connections(repo, call, 3)
    for connection in old:
        say(call, connection, READ_ONLY[database.kind])
    call(note.write, key="a")
    call(note.write.bulk, [{"key": "b"}, {"key": "c"}])
    new = kept_connections(repo, call, 1)

    assert 3 == call(query(note).count)
    assert not {id(connection) for connection in old} & {id(connection) for connection in new}


def test_a_transaction_on_a_demoted_server_says_so(database, call, declare_note):
    """A block is not repeated; it names the cure, and the next one is on a new connection."""
    repo = Repo(database.url)
    note = declare_note(repo)
    for connection in kept_connections(repo, call, 1):
        say(call, connection, READ_ONLY[database.kind])
    with pytest.raises(Unavailable, match="connect to the primary server"):
        call.in_transaction(note, [lambda: Call(note.write, key="a")])
    call.in_transaction(note, [lambda: Call(note.write, key="b")])

    assert ["b"] == [record.key for record in call(query(note).all)]


def test_lost_prepared_statements_cost_no_call(postgresql, call, declare_note):
    """A pooler, or a DEALLOCATE by another client, removes prepared statements; the call is repeated."""
    repo = Repo(postgresql.url)
    note = declare_note(repo)
    for number in range(10):
        call(note.write, key=str(number))
        call(query(note).filter(note.key == str(number)).one)
    for connection in kept_connections(repo, call, 1):
        say(call, connection, "DO $$ BEGIN EXECUTE 'DEALLOCATE ALL'; END $$")  # a plain one would be seen by the driver
    call(note.write, key="next")

    assert "next" == call(query(note).filter(note.key == "next").one).key


def test_a_migration_beside_it_costs_no_call(postgresql, call, declare_note):
    """A column that got another type makes prepared statements useless; they are prepared anew."""
    repo = Repo(postgresql.url)
    note = declare_note(repo)
    call(note.write, key="a", number=5)
    for _ in range(10):
        call(query(note).filter(note.key == "a").one)
    table = note.__runtime__.store.table.name
    postgresql.run(f"ALTER TABLE {table} ALTER COLUMN number TYPE integer")

    assert 5 == call(query(note).filter(note.key == "a").one).number


FULL = {
    "postgresql": ("CREATE ROLE crowd LOGIN CONNECTION LIMIT 0", "DROP ROLE crowd", "crowd@"),
    "mariadb": ("CREATE USER crowd@'127.0.0.1' WITH MAX_USER_CONNECTIONS 1", "DROP USER crowd@'127.0.0.1'", "crowd@"),
}


def test_a_server_without_a_free_connection_says_what_to_do(server, call, declare_note):
    """Checks fail closed at once, and the error names the setting."""
    kind = "postgresql" if server.url.startswith("postgresql") else "mariadb"
    made, removed, user = FULL[kind]
    run_sql(server.url, made)
    url = server.url.replace("postgres@", user).replace("root@", user)
    held = None
    try:
        if kind == "mariadb":
            import pymysql

            held = pymysql.connect(host="127.0.0.1", port=server.port, user="crowd")
        note = declare_note(Repo(url), storage=False)
        with pytest.raises(Unavailable) as full:
            call(query(note).count)
    finally:
        if held is not None:
            held.close()
        run_sql(server.url, removed)

    assert "connections" in str(full.value) or "allows it" in str(full.value)
    assert "crowd" not in str(full.value)


def test_doctor_finds_a_read_only_server(server, declare_note):
    """What others write reaches it late, so that a check may pass what was just revoked."""
    note = declare_note(SQL(server.url))
    kind = note.__runtime__.store.repo.dialect.name
    run_sql(
        server.url, "SET GLOBAL read_only = 1" if kind == "mariadb" else "ALTER SYSTEM SET default_transaction_read_only = on"
    )
    try:
        if kind == "postgresql":
            run_sql(server.url, "SELECT pg_reload_conf()")
        asyncio.run(note.__runtime__.store.close())
        found = [finding for finding in doctor(note) if finding.id == "RK113" and "read only" in finding.what]
    finally:
        run_sql(
            server.url, "SET GLOBAL read_only = 0" if kind == "mariadb" else "ALTER SYSTEM RESET default_transaction_read_only"
        )
        if kind == "postgresql":
            run_sql(server.url, "SELECT pg_reload_conf()")

    assert 1 == len(found)
