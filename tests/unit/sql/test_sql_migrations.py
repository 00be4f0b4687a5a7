"""Alembic, as an application runs it, finds all of a resource's tables, and afterwards nothing to change."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from textwrap import dedent

import pytest
import sqlalchemy as sa

from resourcekit import Attr, Domain, Resource, attribute
from resourcekit.data_layers import Memory, Repo
from resourcekit.doctor import doctor
from resourcekit.errors import InvalidArgument
from tests.architecture import snippets

PAGE = snippets.read_page(snippets.ROOT / "docs" / "how-to" / "migrate-with-alembic.md")

APPLICATION = """
    import enum
    import os
    from dataclasses import dataclass
    from datetime import date, datetime, time, timedelta
    from decimal import Decimal
    from typing import Any, Literal
    from uuid import UUID

    import sqlalchemy as sa

    from resourcekit import Attr, Domain, Resource, SQLText, attribute, create, env, identity, index, now, query, value_type
    from resourcekit.data_layers import SQL
    from resourcekit_tokens import JWT, TokenRecord, TokenResource

    accounts = Domain("accounts")

    class Shade(enum.Enum):
        RED = 1

    @dataclass(frozen=True)
    class Place:
        zip: str

    class Code:
        pass

    value_type("Code", Code, stored=int, dump=hash, load=lambda number: Code())

    class Token(
        TokenRecord,
        domain=accounts,
        data_layer=SQL(env("DATABASE_URL"), table="tokens"),
        extensions=[TokenResource(jwt=JWT(env("TOKEN_SECRET")))],
    ):
        if "LATER" in os.environ:
            device: Attr[str | None] = attribute(default=None)

    class Wide(Resource, domain=accounts, data_layer=SQL(env("DATABASE_URL"))):
        id: Attr[UUID] = attribute(primary_key=True)
        order: Attr[str] = attribute()
        CamelCase: Attr[str | None] = attribute(default=None, max_length=150)
        größe: Attr[int | None] = attribute(default=None)
        number: Attr[int] = attribute(default=0)
        ratio: Attr[float | None] = attribute(default=None)
        flag: Attr[bool | None] = attribute(default=None)
        price: Attr[Decimal | None] = attribute(default=None, scale=2)
        moment: Attr[datetime | None] = attribute(default=None)
        day: Attr[date | None] = attribute(default=None)
        hour: Attr[time | None] = attribute(default=None)
        lasts: Attr[timedelta | None] = attribute(default=None)
        shade: Attr[Shade | None] = attribute(default=None)
        status: Attr[Literal["open", "closed"] | None] = attribute(default=None)
        facts: Attr[dict[str, Any] | None] = attribute(default=None)
        blob: Attr[bytes | None] = attribute(default=None)
        short: Attr[bytes | None] = attribute(default=None, max_length=20)
        home: Attr[Place | None] = attribute(default=None)
        code: Attr[Code | None] = attribute(default=None)
        login: Attr[str | None] = attribute(default=None, case="fold", max_length=30)

        by_login = identity("login")
        by_short = identity("short")
        by_order = identity("order", "number")
        by_case = index("CamelCase", "größe")
        by_price = index("price", "moment")
        a_name_that_is_longer_than_what_some_databases_keep_of_it_and_is_cut = index("moment")

        add = create(accept=["id", "order"])

    class Counted(Resource, domain=accounts, data_layer=SQL(env("DATABASE_URL"))):
        id: Attr[int] = attribute(primary_key=True, generated=True)
        price: Attr[int] = attribute()
        state: Attr[Literal["it's new", "old"]] = attribute(database_default="it's new")
        entered_at: Attr[datetime] = attribute(database_default=now())
        code: Attr[str] = attribute(database_default=SQLText("upper('12:a')"))
        twice: Attr[int] = attribute(computed=price * 2)

        by_twice = index("twice")
        enter = create(accept=["price"])
"""


class Project:
    """A folder with an application, and Alembic set up as the page says."""

    def __init__(self, folder: Path, url: str) -> None:
        self._folder = folder
        self._environment = {
            **os.environ,
            "DATABASE_URL": url,
            "TOKEN_SECRET": "pXr1_6Xn0oTnC2mB8yq4Zs9dKf7hVg5jWl3aQe-uYiRt",
            "PYTHONPATH": os.pathsep.join([str(folder), *filter(None, sys.path)]),
        }
        (folder / "accounts.py").write_text(dedent(APPLICATION))

    def run(self, *words: str, later: bool = False) -> str:
        """Run Python in the folder, with the application of today or of later, and return what it prints."""
        environment = self._environment | ({"LATER": "1"} if later else {})
        done = subprocess.run(
            [sys.executable, *words],
            cwd=self._folder,
            env=environment,
            check=False,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert 0 == done.returncode, done.stdout + done.stderr
        return done.stdout

    def alembic(self, *commands: str, later: bool = False) -> str:
        """Run commands of Alembic, one after the other."""
        program = "import sys; from alembic.config import main; [main(each.split()) for each in sys.argv[1:]]"
        return self.run("-c", program, *commands, later=later)

    def migration(self, name: str) -> list[str]:
        """Return what the upgrade of a migration does, an operation each."""
        (file,) = self._folder.glob(f"migrations/versions/*_{name}.py")
        text = file.read_text(encoding="utf-8").partition("def upgrade")[2].partition("def downgrade")[0]
        return re.findall(r"^    (op\.\w+\('\w+'(?:, sa.Column\('\w+')?)", text, re.MULTILINE)


@pytest.fixture(scope="module")
def set_up(tmp_path_factory) -> Path:
    """What ``alembic init`` makes, with the env.py of the page."""
    folder = tmp_path_factory.mktemp("set_up")
    subprocess.run([sys.executable, "-m", "alembic", "init", "migrations"], cwd=folder, check=True, capture_output=True)
    (env,) = [block.text for block in PAGE.blocks if block.text.startswith("# migrations/env.py")]
    (folder / "migrations" / "env.py").write_text(env)
    return folder


@pytest.fixture
def project(database, set_up, tmp_path) -> Project:
    """An application on an empty database."""
    shutil.copytree(set_up, tmp_path, dirs_exist_ok=True)
    return Project(tmp_path, database.url)


TABLES = [
    "op.create_table('counted'",
    "op.create_table('resourcekit_leases'",
    "op.create_table('tokens'",
    "op.create_table('wide'",
]


def tables(database) -> list[str]:
    """Return the names of a database's tables."""
    engine = Repo(database.url).engine
    try:
        return sa.inspect(engine).get_table_names()
    finally:
        engine.dispose()


@pytest.mark.slow
def test_a_resource_is_migrated_there_and_back(project, database):
    """Tables and indexes come in one migration, a new attribute in another; each time nothing is left, and all goes back."""
    project.alembic("revision --autogenerate -m first", "upgrade head", "revision --autogenerate -m again")
    found = project.run("-m", "resourcekit", "doctor", "accounts")
    project.alembic("upgrade head", "revision --autogenerate -m later", "upgrade head", later=True)
    used = project.run(
        "-c",
        "from accounts import Token; t = Token.issue('ann').token; "
        "Token.store_token(t, values={'device': 'phone'}); print(Token.get_token(token=t).device)",
        later=True,
    )
    enter = "from accounts import Counted; made = Counted.enter(price=4); print(made.id, made.state, made.code, made.twice)"
    entered = project.run("-c", enter)
    project.alembic("check", "downgrade -1", later=True)
    project.alembic("downgrade base")

    assert TABLES == [each for each in project.migration("first") if "create_table" in each]
    assert "1 it's new 12:A 8\n" == entered
    assert 9 == len([each for each in project.migration("first") if "create_index" in each])
    assert [] == project.migration("again")
    assert "Nothing found.\n" == found
    assert ["op.add_column('tokens', sa.Column('device'"] == project.migration("later")
    assert "phone\n" == used
    assert ["alembic_version"] == tables(database)


@pytest.mark.slow
def test_storage_that_was_created_needs_no_migration(project):
    """What create_storage makes, and what a migration makes, is the same."""
    project.run("-c", "import accounts; accounts.accounts.create_storage()")

    assert "No new upgrade operations detected." in project.alembic("check")


@pytest.mark.slow
def test_a_migration_can_be_written_out_for_others_to_run(project, database):
    """The statements that Alembic prints for a database administrator make the same tables."""
    project.alembic("revision --autogenerate -m first")
    database.run("DROP TABLE alembic_version")
    for statement in project.alembic("upgrade head --sql").split(";"):
        if statement.strip():
            database.run(statement)

    assert "No new upgrade operations detected." in project.alembic("check")


@pytest.mark.slow
def test_a_value_that_must_be_there_is_given_by_the_migration(project, database):
    """With a server_default, rows of before have it, and a process with the old declaration goes on."""
    project.alembic("revision --autogenerate -m first", "upgrade head")
    add = "from accounts import Wide; from uuid import uuid4; Wide.add(id=uuid4(), order='{}')"
    project.run("-c", add.format("before"))
    engine = Repo(database.url).engine
    migration = "op.add_column('wide', sa.Column('place', sa.Text(), server_default='here', nullable=False))"
    with engine.begin() as connection:
        program = (
            "from alembic.migration import MigrationContext; from alembic.operations import Operations\n"
            f"op = Operations(MigrationContext.configure(connection)); {migration}"
        )
        exec(program, {"connection": connection, "sa": sa})
    project.run("-c", add.format("beside"))
    engine.dispose()
    found = [tuple(row) for row in database.run("SELECT place FROM wide")]

    assert [("here",), ("here",)] == found


OTHER_TYPE = {
    "sqlite": "ALTER TABLE notes ADD COLUMN number TEXT",
    "postgresql": "ALTER TABLE notes ADD COLUMN number INTEGER",
    "mariadb": "ALTER TABLE notes ADD COLUMN number INT",
}


def test_a_column_as_another_database_would_have_it_is_found(repo, declare, database):
    """Doctor compares types, because a migration that was made on another kind of database runs without an error."""
    note = declare(repo)
    sound = doctor(note)
    database.run("ALTER TABLE notes DROP COLUMN number")
    database.run(OTHER_TYPE[database.kind])
    finding, more = doctor(note)

    assert () == sound
    assert ("RK116", "warning") == (finding.id, finding.level)
    assert "number of notes is " in finding.what
    assert "number of notes may be NULL" in more.what


def test_a_statement_on_a_repo_s_engine_may_take_its_time(database):
    """What bounds our own calls does not cut a migration off."""
    slow = {"sqlite": "SELECT 1", "postgresql": "SELECT 1 FROM pg_sleep(1.2)", "mariadb": "SELECT SLEEP(1.2) + 1"}
    repo = Repo(database.url, timeout=timedelta(seconds=0.2))
    with repo.engine.connect() as connection:
        found = connection.execute(sa.text(slow[database.kind])).scalar()
    repo.engine.dispose()

    assert 1 == found


def test_the_repo_of_a_resource(repo, declare, tmp_path):
    """The migration folder is found for each way to name the database; a wrong, ambiguous or missing one is an error."""
    note, by_url = declare(repo, "one"), declare(f"sqlite:///{tmp_path}/other.db", "two")

    class Kept(Resource, domain=Domain("kept"), data_layer=Memory()):
        key: Attr[str] = attribute(primary_key=True)

    assert repo is Repo.of(note) is Repo.of(note, note)
    assert {"resourcekit_leases", "two"} == set(Repo.of(by_url).metadata.tables)
    for resources, words in (((), "name a resource"), ((note, by_url), "several databases"), ((Kept,), "not kept in an SQL")):
        with pytest.raises(InvalidArgument, match=words):
            Repo.of(*resources)
