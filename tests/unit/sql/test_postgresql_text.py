"""Text on PostgreSQL whatever its sessions and databases say: encodings, lengths of indexes."""

from __future__ import annotations

import asyncio
import secrets

import pytest
import sqlalchemy as sa

from resourcekit import Attr, Domain, Resource, attribute, create, doctor, identity, index, query
from resourcekit.data_layers import SQL, Repo, joined
from resourcekit.errors import Invalid, InvalidArgument
from tests.support.databases import run_sql
from tests.support.notes import declared


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII", "WIN1252"])
def test_text_is_kept_whatever_encoding_a_url_names(postgresql, encoding):
    """Sessions set their own encoding, sync and async."""
    url = sa.make_url(postgresql.url).update_query_dict({"client_encoding": encoding})
    note = declared(Repo(url))
    note.write(key="a", text="Zoë 😀")
    asyncio.run(note.write.aio(key="b", text="Zoë 😁"))

    assert ["Zoë 😀", "Zoë 😁"] == [each.text for each in query(note).sort("key").all()]


def test_a_joined_session_in_another_encoding_is_refused(postgresql):
    """The user's own connection is left as it is, and the error says what to set."""
    note = declared(postgresql.url)
    engine = Repo(postgresql.url).engine
    with engine.connect() as connection:
        connection.exec_driver_sql("SET client_encoding TO 'LATIN1'")
        with pytest.raises(InvalidArgument, match="client_encoding"), joined(connection, note):
            pytest.fail("joined")
    engine.dispose()


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_a_database_in_another_encoding_keeps_text_or_refuses_it(postgresql, encoding):
    """What a database cannot hold is Invalid, without the text; doctor names the encoding."""
    name = f"apart_{secrets.token_hex(4)}"
    run_sql(postgresql.url, f"CREATE DATABASE {name} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0")
    try:
        url = sa.make_url(postgresql.url).set(database=name, query={}).render_as_string(hide_password=False)
        note, refused = declared(url), []
        for call in (note.write, lambda **given: asyncio.run(note.write.aio(**given))):
            try:
                call(key=secrets.token_hex(4), text=f"swordfish 😀 {secrets.token_hex(2)}")
            except Invalid as error:
                refused.append(f"{error} {error.__context__!r} {error.__cause__!r}")
        found = [each.text for each in query(note).all()]
        findings = doctor.doctor(note)
    finally:
        run_sql(postgresql.url, f"DROP DATABASE {name} WITH (FORCE)")

    assert "swordfish" not in "".join(refused)
    assert (0 if encoding == "LATIN1" else 2) == len(found)
    assert all(text.startswith("swordfish 😀 ") for text in found)
    assert any(encoding in finding.what for finding in findings)


@pytest.mark.parametrize("kind", ["identity", "index", "primary key"])
def test_a_text_that_is_too_long_for_an_index_is_named(postgresql, kind):
    """PostgreSQL names the index only; the error names the attribute, sync and async, on create and in bulk."""
    domain = Domain("connections")

    class Connection(Resource, domain=domain, data_layer=SQL(postgresql.url)):
        id: Attr[int] = attribute(primary_key=kind != "primary key", default=1)
        url: Attr[str] = attribute(primary_key=kind == "primary key")
        if kind == "identity":
            by_url = identity("url")
        elif kind == "index":
            by_url = index("url")
        add = create(accept=["id", "url"])

    domain.create_storage()
    long = "https://x.example/" + secrets.token_hex(3000)
    for call in (Connection.add, lambda **given: asyncio.run(Connection.add.aio(**given))):
        with pytest.raises(Invalid, match="url: is too long") as caught:
            call(url=long)

        assert long[:20] not in str(caught.value)
    result = Connection.add.bulk([{"id": 1, "url": "short"}, {"id": 2, "url": long}])

    assert ["url"] == [finding.path for finding in result.failures[0].error.findings]
    assert 1 == query(Connection).count()
