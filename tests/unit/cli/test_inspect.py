"""``resourcekit inspect``: the printed module imports, type-checks, and reads and writes the tables of others."""

from __future__ import annotations

import asyncio
import importlib.util
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from click.testing import CliRunner

from resourcekit import load, query
from resourcekit.cli import main
from resourcekit.doctor import doctor
from resourcekit.errors import Invalid
from tests.support.databases import KINDS, Database, scratch

AUTH = Path(__file__).parents[2] / "support" / "django_auth.py"


@pytest.fixture(params=KINDS)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """An empty database."""
    with scratch(request.param, tmp_path) as place:
        yield place


@pytest.fixture
def printed(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., ModuleType]:
    """A function that runs the command and imports what it printed."""

    def run(*words: str) -> ModuleType:
        done = CliRunner().invoke(main, ["inspect", database.url, *words])
        assert 0 == done.exit_code, done.output
        file = tmp_path / f"inspected_{database.kind}.py"
        file.write_text(done.output, encoding="utf-8")
        monkeypatch.setenv("DATABASE_URL", database.url)
        spec = importlib.util.spec_from_file_location(file.stem, file)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, file.stem, module)
        spec.loader.exec_module(module)
        return module

    return run


def complaints(module: Any) -> list[str]:
    """Return what doctor finds in a module, besides what is accepted."""
    return [f"{each.id} {each.what}" for each in doctor(module.tables) if each.level != "info"]


def django(database: Database, *words: str) -> str:
    """Run Django on the database in a process of its own."""
    command = [sys.executable, str(AUTH), database.kind, database.url, *words]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert 0 == done.returncode, done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_tables_of_django_are_read_and_written(database, printed):
    """The module of a Django auth schema has no finding, reads what Django wrote, and Django reads what it writes."""
    django(database)
    module = printed()
    ann = query(module.AuthUser).filter(module.AuthUser.username == "ann").one()
    (membership,) = load(query(module.AuthUserGroups).all(), module.AuthUserGroups.user, module.AuthUserGroups.group)
    bob = asyncio.run(
        module.AuthUser.add.aio(
            **{name: getattr(ann, name) for name in ("password", "first_name", "last_name", "email")},
            username="bob",
            is_superuser=False,
            is_staff=True,
            is_active=True,
            date_joined=datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
        )
    )
    module.AuthUserGroups.add.bulk([{"user_id": bob.id, "group_id": membership.group.id}])

    assert [] == complaints(module)
    assert (ann, "staff") == (membership.user, membership.group.name)
    assert f"{bob.id} True ['staff']" == django(database, "--only-read").strip()
    assert bob == query(module.AuthUser).filter(module.AuthUser.is_staff).one()
    assert "Bob" == module.AuthUser.change(bob, first_name="Bob").first_name
    assert {"AuthUser", "AuthGroup", "AuthPermission", "DjangoContentType"} <= set(vars(module))


ODD = {
    "sqlite": ("integer PRIMARY KEY AUTOINCREMENT", "datetime", "point"),
    "postgresql": ("bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY", "timestamptz", "point"),
    "mariadb": ("bigint AUTO_INCREMENT PRIMARY KEY", "datetime(6)", "point"),
}


@pytest.fixture
def board(database: Database) -> Database:
    """Tables with composite keys and foreign keys, and with names that Python or a resource has."""
    serial, moment, unknown = ODD[database.kind]
    quote = "`" if database.kind == "mariadb" else '"'
    for statement in (
        "CREATE TABLE squares (board integer NOT NULL, place varchar(2) NOT NULL, price numeric(10, 2), PRIMARY KEY (board, place))",
        "CREATE TABLE codes (id integer PRIMARY KEY, code varchar(9) NOT NULL UNIQUE)",
        (
            f"CREATE TABLE {quote}domain{quote} (piece_id {serial}, {quote}class{quote} varchar(9) NOT NULL, {quote}Made On{quote} {moment}, "
            f"board integer NOT NULL, place varchar(2) NOT NULL, code varchar(9), add_ integer DEFAULT 3 NOT NULL, {quote}update{quote} integer, "
            f"odd {unknown}, twice integer GENERATED ALWAYS AS (board * 2) STORED, UNIQUE ({quote}class{quote}, board), "
            "FOREIGN KEY (board, place) REFERENCES squares (board, place) ON DELETE CASCADE, FOREIGN KEY (code) REFERENCES codes (code))"
        ),
        "CREATE TABLE logs (line varchar(9))",
        "INSERT INTO squares VALUES (1, 'a1', 12.5)",
        "INSERT INTO codes VALUES (1, 'x')",
    ):
        database.run(statement)
    return database


def test_composite_keys_and_foreign_keys_become_relationships(board, printed):
    """Each key and each foreign key has its declaration; names that would hide others are changed; nothing is left to find."""
    module = printed()
    piece = module.DomainRecord.add_record(class_="rook", board=1, place="a1", code="x", made_on=datetime(2026, 5, 6, tzinfo=UTC))
    (loaded,) = load([piece], module.DomainRecord.squares, module.DomainRecord.code_record)

    assert [] == complaints(module)
    assert (1, 3, 2, None) == (piece.piece_id, piece.add, piece.twice, piece.update_)
    assert (Decimal("12.50"), 1) == (loaded.squares.price, loaded.code_record.id)
    assert {("class_", "board")} == {each.fields for each in module.DomainRecord.__info__.identities.values()}
    assert "cascade" == module.DomainRecord.__info__.relationships["squares"].on_delete
    assert datetime(2026, 5, 6, tzinfo=UTC) == query(module.DomainRecord).one().made_on
    assert not hasattr(module, "Logs")


@pytest.mark.slow
def test_the_printed_module_passes_type_checkers(board, printed, tmp_path):
    """Mypy in strict mode and basedpyright find nothing in it."""
    file = printed().__spec__.origin
    folder = Path(__file__).parents[3]
    mypy = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--cache-dir", str(tmp_path), file]
    pyright = [str(Path(sys.executable).with_name("basedpyright")), "--pythonpath", sys.executable, "--level", "error", file]

    for command in (mypy, pyright):
        done = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True, timeout=300)
        assert 0 == done.returncode, done.stdout + done.stderr


MOODS = (
    "CREATE TYPE mood AS ENUM ('sad', 'ok', 'it''s \"fine\"')",
    "CREATE DOMAIN positive AS integer CHECK (VALUE > 0)",
    "CREATE DOMAIN small AS positive CHECK (VALUE < 10) DEFAULT 7",
    "CREATE DOMAIN feeling AS mood",
    "CREATE DOMAIN cents AS numeric(9, 2)",
    "CREATE TABLE people (id positive PRIMARY KEY, state mood, now mood NOT NULL, felt feeling, size small, price cents, tags text[], moods mood[])",
    "INSERT INTO people VALUES (1, 'sad', 'ok', 'ok', 3, 2.5, '{a}')",
)


@pytest.mark.slow
@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_enums_and_domains_of_postgresql(database, printed, tmp_path):
    """An enum is a Literal that is read, written, compared and sorted; a domain is the type below it; an array is a comment."""
    for statement in MOODS:
        database.run(statement)
    module = printed()
    people = module.People
    people.add.bulk([{"id": 2, "now": "ok"}, {"id": 3, "now": 'it\'s "fine"', "state": "ok"}])
    asyncio.run(people.add.aio(id=4, now="sad", size=9))
    people.change(1, state="ok", price=Decimal("1.25"))
    people.change.bulk(query(people).filter(people.now == "sad"), now="ok")
    text = Path(module.__spec__.origin).read_text(encoding="utf-8")

    assert [] == complaints(module)
    assert [1, 3] == sorted(each.id for each in query(people).filter(people.state == "ok").all())
    assert [1, 2, 4] == sorted(
        each.id for each in query(people).filter(people.now.in_(["ok", "sad"]), people.now.like("o%")).all()
    )
    assert [7, 9] == [each.size for each in query(people).filter(people.id.in_([2, 4])).sort("id").all()]
    assert [2, 4, 1, 3] == [each.id for each in query(people).sort("state", "now", "id").all()]
    assert (
        "    # The column is of the domain small, CHECK (((VALUE)::integer < 10)) CHECK ((VALUE > 0)).\n    size: Attr[int | None]"
        in text
    )
    assert (
        "    # The column felt is mood, by the domain feeling; PostgreSQL compares a domain over an enum only after a cast."
        in text
    )
    assert "    # The column tags is text[], an array; a list is kept as jsonb." in text
    assert "price: Attr[Decimal | None] = attribute(scale=2, default=None)" in text
    with pytest.raises(Invalid, match="violates the check positive_check"):
        people.add(id=-1, now="ok")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--cache-dir", str(tmp_path), module.__spec__.origin],
        cwd=Path(__file__).parents[3],
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert 0 == done.returncode, done.stdout + done.stderr


def test_tables_can_be_chosen(board, printed):
    """Named tables are printed alone, without relationships to others; an unknown name is an error with a suggestion."""
    module = printed("codes")
    wrong = CliRunner().invoke(main, ["inspect", board.url, "code"])

    assert ["Codes"] == [each.__name__ for each in module.tables.resources]
    assert 2 == wrong.exit_code
    assert "there is no table 'code'" in wrong.output
    assert "codes" in wrong.output


def test_names_that_python_reads_otherwise(database, printed):
    """Characters that Python changes in a name, quotes and line ends leave a module that runs, and that says nothing but facts."""
    quote = "`" if database.kind == "mariadb" else '"'
    evil = f"{quote}x\nHIDDEN = 1 #{quote}"
    database.run(f"CREATE TABLE {evil} (line integer)")
    name = 'a""b\\' if quote == '"' else 'a"""b\\'
    unknown = ODD[database.kind][2]
    database.run(
        f"CREATE TABLE {quote}{name}{quote} (id integer PRIMARY KEY, {quote}Ⅷ{quote} integer, {quote}n²{quote} integer, "
        f"{evil} {unknown}, other integer, FOREIGN KEY (other) REFERENCES {quote}{name}{quote} (id))"
    )
    database.run(f"INSERT INTO {quote}{name}{quote} (id, {quote}Ⅷ{quote}, {quote}n²{quote}, other) VALUES (1, 8, 2, 1)")
    module = printed()
    (record,) = load(query(module.AB).all(), module.AB.other_record)

    assert not hasattr(module, "HIDDEN")
    assert (8, 2, record) == (record.viii, record.n2, record.other_record)
    assert [] == complaints(module)


def test_foreign_keys_to_a_key_in_another_order(database, printed):
    """The columns of the foreign key are paired with those of the key, whose order is not that of the table."""
    database.run("CREATE TABLE squares (rank integer NOT NULL, file integer NOT NULL, name varchar(9), PRIMARY KEY (file, rank))")
    database.run(
        "CREATE TABLE pieces (id integer PRIMARY KEY, at_file integer, at_rank integer, "
        "FOREIGN KEY (at_file, at_rank) REFERENCES squares (file, rank))"
    )
    database.run("INSERT INTO squares VALUES (7, 1, 'a7')")
    database.run("INSERT INTO pieces VALUES (1, 1, 7)")
    module = printed()

    assert "a7" == load(query(module.Pieces).all(), module.Pieces.squares)[0].squares.name


@pytest.mark.parametrize("database", ["postgresql", "mariadb"], indirect=True)
def test_tables_whose_names_differ_in_case_or_accents_only(database, printed):
    """Each has its own columns and its own key."""
    quote = "`" if database.kind == "mariadb" else '"'
    for name, key, other in (("words", "a", "ä"), ("Words", "ä", "a"), ("wörds", "ä", "b")):
        database.run(
            f"CREATE TABLE {quote}{name}{quote} ({quote}{key}{quote} integer PRIMARY KEY, {quote}{other}{quote} integer)"
        )
    module = printed()

    assert [("a",), ("ä",), ("ä",)] == sorted(tuple(each.__info__.primary_key) for each in module.tables.resources)
    assert [] == complaints(module)


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_moments_without_a_time_zone(database, printed):
    """What a column of type timestamp gives is read in UTC, as it was written."""
    database.run("CREATE TABLE events (id integer PRIMARY KEY, at timestamp NOT NULL, made timestamp DEFAULT now())")
    event, moment = printed().Events, datetime(2026, 5, 6, 7, 8, 9, 10, tzinfo=UTC)
    made = event.add(id=1, at=moment)
    changed = event.change(made, made=moment)

    assert (moment, moment) == (changed.at, changed.made)
    assert made.at == query(event).filter(event.at == moment).one().at
    assert UTC is query(event).one().made.tzinfo


@pytest.mark.parametrize("database", ["mariadb"], indirect=True)
def test_values_of_an_enum(database, printed):
    """Each is printed as it is stored: with its capitals, quotes and backslashes, and the empty one."""
    database.run(
        "CREATE TABLE shops (id integer PRIMARY KEY, state ENUM('Open', 'it''s', 'a,b', '', 'c\\\\d', 'e\\nf') NOT NULL, "
        "number integer(5) ZEROFILL)"
    )
    shop = printed().Shops
    for number, state in enumerate(("Open", "it's", "a,b", "", "c\\d", "e\nf")):
        shop.add(id=number, state=state, number=7)
        assert (state, 7) == (query(shop).filter(shop.id == number).one().state, 7)


UNIQUE = {
    "sqlite": (
        "CREATE TABLE items (id integer PRIMARY KEY DESC, name text NOT NULL, code text NOT NULL UNIQUE)",
        "CREATE UNIQUE INDEX by_text ON items (lower(name))",
        "CREATE UNIQUE INDEX by_case ON items (name COLLATE NOCASE)",
    ),
    "postgresql": (
        "CREATE TABLE items (id integer, name text NOT NULL UNIQUE DEFERRABLE, code text NOT NULL, PRIMARY KEY (id) INCLUDE (name))",
        "CREATE UNIQUE INDEX by_code ON items (code) INCLUDE (name)",
        "CREATE UNIQUE INDEX by_text ON items (lower(name))",
    ),
    "mariadb": (
        "CREATE TABLE items (id integer PRIMARY KEY, name varchar(9) NOT NULL, code varchar(9) NOT NULL UNIQUE, UNIQUE (name(3)))",
    ),
}


def test_unique_indexes_that_are_no_identities(database, printed):
    """Expressions, other collations, beginnings of texts and deferrable constraints are none; columns that an index carries do not count."""
    for statement in UNIQUE[database.kind]:
        database.run(statement)
    module = printed()
    info = module.Items.__info__

    assert (("id",), [("code",)]) == (tuple(info.primary_key), [each.fields for each in info.identities.values()])
    assert 1 == module.Items.add(id=1, name="abc", code="x").id
    assert [] == complaints(module)


def test_what_cannot_be_inspected(tmp_path):
    """A missing file stays missing; a server that does not answer is an error without a traceback and without the password."""
    file = tmp_path / "missing.db"
    for url, words in ((f"sqlite:///{file}", "there is no file"), ("postgresql://ann:s3cret@127.0.0.1:1/crm", "Is it running")):
        done = CliRunner().invoke(main, ["inspect", url])
        assert 0 != done.exit_code
        assert isinstance(done.exception, SystemExit)
        assert words in done.output
        assert "s3cret" not in done.output
    assert not file.exists()
