"""What SQL and Repo say before anything is opened: late binding, engines and metadata of one's own, quiet errors."""

import asyncio
import traceback
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.ext.asyncio import create_async_engine

from resourcekit import Attr, Domain, Resource, attribute, env, get, query
from resourcekit.data_layers import SQL, Repo
from resourcekit.errors import DeclarationError, Unavailable, UniqueViolation
from resourcekit.extending import drive


def test_nothing_is_opened_by_a_declaration(tmp_path, declare):
    """Declaring a resource makes no file and no connection, and neither does a read; ``create_storage`` does."""
    note = declare(f"sqlite:///{tmp_path}/late.db", storage=False)
    before = list(tmp_path.iterdir())
    with pytest.raises(Unavailable):
        query(note).count()
    between = list(tmp_path.iterdir())
    drive(note.__runtime__.store.create_storage())

    assert [] == before == between
    assert [tmp_path / "late.db"] == [path for path in tmp_path.iterdir() if path.suffix == ".db"]


def test_the_variable_is_read_when_the_domain_is_sealed(tmp_path, declare, monkeypatch):
    """env() names a variable that may be set after the class statement, and is not read again."""
    monkeypatch.delenv("NOTES_URL", raising=False)
    note = declare(SQL(env("NOTES_URL"), table="notes"), storage=False)
    monkeypatch.setenv("NOTES_URL", f"sqlite:///{tmp_path}/first.db")
    with pytest.raises(Unavailable):
        query(note).count()
    monkeypatch.setenv("NOTES_URL", f"sqlite:///{tmp_path}/second.db")
    drive(note.__runtime__.store.create_storage())

    assert ["first.db"] == [path.name for path in tmp_path.iterdir() if path.suffix == ".db"]


def test_a_missing_variable_is_a_declaration_error(declare, monkeypatch):
    """The error names the variable and comes at the first use, each time again."""
    monkeypatch.delenv("NOTES_URL", raising=False)
    note = declare(SQL(env("NOTES_URL"), table="notes"), storage=False)
    for _ in range(2):
        with pytest.raises(DeclarationError, match="NOTES_URL") as caught:
            query(note).count()

        assert "RK020" == caught.value.code


def test_the_value_of_the_variable_is_never_shown(tmp_path, declare, monkeypatch):
    """Neither the layer nor its errors show what the variable holds."""
    monkeypatch.setenv("NOTES_URL", "sqlite:///:memory:?password=hunter2")
    layer = SQL(env("NOTES_URL"), table="notes")
    note = declare(layer, storage=False)
    with pytest.raises(DeclarationError) as caught:
        query(note).count()

    assert "SQL(env('NOTES_URL'), table='notes')" == repr(layer)
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    "url", ["sqlite://", "sqlite:///:memory:", "sqlite:///file::memory:?uri=true", "sqlite:///file:x?mode=memory&uri=true"]
)
def test_a_database_in_memory_is_refused(url):
    """Each connection would have one of its own; the hint names Memory()."""
    with pytest.raises(DeclarationError, match=r"Memory\(\)") as caught:
        SQL(url)

    assert "RK101" == caught.value.code


@pytest.mark.parametrize(
    "url",
    [
        "no url: hunter2",
        "oracle://scott:hunter2@host/db",
        "",
        "postgresql://scott:s3c:x@hunter2:z@host/db",
        "mariadb://u@h:hunter2/d",
        "mariadb://hunter2@host",
    ],
)
def test_a_url_that_cannot_serve_is_refused_without_being_shown(url):
    """RK102, and no part of the URL but the name of the database."""
    with pytest.raises(DeclarationError) as caught:
        SQL(url)

    assert "RK102" == caught.value.code
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


def test_the_old_name_of_postgresql_is_corrected():
    """As hosting services still write it."""
    with pytest.raises(DeclarationError, match=r'Write "postgresql://'):
        SQL("postgres://host/db")


def test_a_repo_of_nothing_is_refused():
    """RK103, with what to write."""
    with pytest.raises(DeclarationError, match="URL or an engine") as caught:
        Repo()

    assert "RK103" == caught.value.code


def test_a_password_is_not_shown(tmp_path):
    """The repr of a Repo and of a layer hide it."""
    repo = Repo(f"sqlite:///{tmp_path}/a.db?password=x")
    url = sa.URL.create("sqlite", username="u", password="hunter2", database=str(tmp_path / "b.db"))

    assert "hunter2" not in repr(Repo(url))
    assert repr(repo).startswith("Repo('sqlite:///")
    assert "hunter2" not in repr(SQL(Repo(url), table="t"))


def test_a_relative_file_is_that_of_the_moment_of_declaration(tmp_path, declare, monkeypatch):
    """A program that changes its folder later keeps its database."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    note = declare("sqlite:///here.db", storage=False)
    monkeypatch.chdir(tmp_path / "elsewhere")
    drive(note.__runtime__.store.create_storage())

    assert [Path("here.db")] == [path.relative_to(tmp_path) for path in tmp_path.rglob("*.db")]


def test_resources_of_one_url_share_a_repo(tmp_path, declare):
    """Repos are interned by URL, so that one transaction holds both resources."""
    url = f"sqlite:///{tmp_path}/shared.db"
    one, other = declare(url, "one"), declare(url, "other")

    assert one.__runtime__.store.group is other.__runtime__.store.group


def test_two_resources_in_one_table_are_refused(tmp_path):
    """RK051 names the other one; what was there first goes on."""
    url = f"sqlite:///{tmp_path}/shared.db"

    one, two = Domain("one"), Domain("two")

    class First(Resource, domain=one, data_layer=SQL(url, table="both")):
        key: Attr[str] = attribute(primary_key=True)

    one.create_storage()

    class Second(Resource, domain=two, data_layer=SQL(url, table="both")):
        key: Attr[str] = attribute(primary_key=True)

    with pytest.raises(DeclarationError, match="First") as caught:
        query(Second).count()

    assert ("RK051", "Second") == (caught.value.code, caught.value.resource)
    assert 0 == query(First).count()


def test_a_user_s_engine_is_used_with_its_events(tmp_path, declare):
    """Connections are made by the engine, so that what its owner set up on connect holds."""
    seen = []
    engine = sa.create_engine(f"sqlite:///{tmp_path}/own.db")
    event.listen(engine, "connect", lambda connection, record: seen.append(connection))
    note = declare(Repo(engine=engine))
    note.write(key="a")

    assert 1 == len(seen)
    with engine.connect() as connection:
        assert [("a",)] == connection.execute(sa.text("SELECT key FROM notes")).all()


async def _write_and_count(note, async_engine):
    await note.write.aio(key="b")
    found = await query(note).count.aio()
    if async_engine is not None:
        await async_engine.dispose()
    return found


@pytest.mark.parametrize("call_mode", ["sync", "async"])
def test_the_missing_engine_is_made_from_the_other_one(tmp_path, declare, call_mode):
    """An engine of one call mode is enough for calls of both."""
    url = f"sqlite:///{tmp_path}/own.db"
    engine = sa.create_engine(url) if call_mode == "sync" else None
    async_engine = create_async_engine(url.replace("sqlite:", "sqlite+aiosqlite:")) if call_mode == "async" else None
    note = declare(Repo(engine=engine, async_engine=async_engine))
    note.write(key="a")

    assert 2 == asyncio.run(_write_and_count(note, async_engine))


def test_tables_go_into_the_user_s_metadata(tmp_path, declare):
    """A metadata of one's own gets the table, with columns and indexes, for Alembic."""
    metadata = sa.MetaData()
    sa.Table("users", metadata, sa.Column("id", sa.Integer, primary_key=True))
    declare(Repo(f"sqlite:///{tmp_path}/own.db", metadata=metadata), storage=False)
    notes = metadata.tables["notes"]

    assert {"users", "notes"} <= set(metadata.tables)
    assert ["key", "text", "number", "body"] == list(notes.columns.keys())
    assert [("notes_by_text", True)] == [(index.name, index.unique) for index in notes.indexes]


def test_a_resource_declared_again_replaces_its_table(tmp_path, declare):
    """The metadata holds the last declaration of a table, as after a module was loaded again."""
    metadata = sa.MetaData()
    repo = Repo(f"sqlite:///{tmp_path}/own.db", metadata=metadata)
    declare(repo, storage=False)
    first = metadata.tables["notes"]
    declare(repo, storage=False)

    assert first is not metadata.tables["notes"]


def test_no_value_is_in_the_error_of_a_violation(declare, repo):
    """Neither the text, nor the notes, nor what caused the error shows what was to be written."""
    note = declare(repo)
    note.write(key="k1", text="swordfish")
    with pytest.raises(UniqueViolation) as caught:
        note.write(key="k2", text="swordfish")

    assert ("by_text", ("text",)) == (caught.value.identity, caught.value.fields)
    assert "swordfish" not in "".join(traceback.format_exception(caught.value, chain=True)).replace('text="swordfish"', "")


def test_an_unreachable_database_is_unavailable_and_not_shown(tmp_path, declare):
    """A folder that is missing gives Unavailable with the next step, without the path."""
    note = declare(f"sqlite:///{tmp_path}/missing/file.db", storage=False)
    with pytest.raises(Unavailable, match="Create the folder") as caught:
        get(note, "a")

    assert str(tmp_path) not in str(caught.value)


def test_a_missing_table_says_what_to_call(declare, repo):
    """Reads and writes alike."""
    note = declare(repo, storage=False)
    with pytest.raises(Unavailable, match="create_storage"):
        note.write(key="a")
    with pytest.raises(Unavailable, match="create_storage"):
        query(note).all()
