"""Two resources whose places are written differently and are one: refused (RK051) before they share a record (promise P8)."""

from __future__ import annotations

import itertools
import os
from typing import Any

import pytest
import sqlalchemy as sa

from resourcekit import Attr, Domain, Resource, attribute, create, query
from resourcekit.data_layers import SQL, Repo
from resourcekit.doctor import doctor
from resourcekit.errors import DeclarationError
from tests.support.databases import run_sql
from tests.support.proxy import Proxy

NUMBERS = itertools.count()


def declared(layer, *, storage=True) -> Any:
    """Return a resource in a domain of its own, with its storage made."""
    domain = Domain(f"places {next(NUMBERS)}")

    class Note(Resource, domain=domain, data_layer=layer):
        key: Attr[str] = attribute(primary_key=True)
        write = create(accept=["key"])

    Note.__kept__ = domain
    if storage:
        domain.create_storage()
    return Note


def assert_refused(one, other):
    """Hold that the second of two declarations is refused, and the first one goes on."""
    first = declared(one)
    with pytest.raises(DeclarationError) as caught:
        declared(other)

    assert "RK051" == caught.value.code
    assert 0 == query(first).count()


def assert_apart(one, other):
    """Hold that two resources are accepted and share nothing."""
    first, second = declared(one), declared(other)
    first.write(key="a")

    assert 0 == query(second).count()


class TestSQLite:
    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("{0}/t.db", "{0}/./sub/../t.db"),
            ("{0}/t.db", "{0}/link/t.db"),
            ("{0}/t.db", "{0}/hard.db"),
            ("{0}/t.db", "{0}/soft.db"),
            ("{0}/t.db", "file:{0}/t.db?uri=true"),
            ("{0}/t.db", "{0}/t.db?timeout=3"),
        ],
    )
    @pytest.mark.parametrize("exists", [True, False], ids=["there", "not there yet"])
    def test_paths_of_one_file(self, tmp_path, one, other, exists):
        """Links, dots, file: URLs and parameters lead to one file, also before it is made; a hard link needs the file."""
        (tmp_path / "sub").mkdir()
        (tmp_path / "link").symlink_to(tmp_path)
        (tmp_path / "soft.db").symlink_to(tmp_path / "t.db")
        if exists or "hard" in other:
            sa.create_engine(f"sqlite:///{tmp_path}/t.db").connect().close()
            (tmp_path / "t.db").touch()
            os.link(tmp_path / "t.db", tmp_path / "hard.db")

        assert_refused(*(SQL(f"sqlite:///{each.format(tmp_path)}", table="t") for each in (one, other)))

    def test_names_of_one_table(self, tmp_path):
        """SQLite takes ASCII letters of both cases as equal in names, and no other letters."""
        url = f"sqlite:///{tmp_path}/t.db"
        assert_refused(SQL(url, table="Tokens"), SQL(url, table="tOKENS"))
        assert_apart(SQL(url, table="größe"), SQL(url, table="grÖße"))

    def test_ways_to_a_repo(self, tmp_path):
        """A URL, a Repo of it and an engine are one place."""
        url = f"sqlite:///{tmp_path}/t.db"
        assert_refused(SQL(url, table="a"), SQL(Repo(url), table="a"))
        assert_refused(SQL(url, table="b"), SQL(Repo(engine=sa.create_engine(url)), table="b"))
        assert_refused(SQL(Repo(f"{url}?timeout=7"), table="c"), SQL(Repo(url), table="c"))

    def test_other_files_and_tables(self, tmp_path):
        """What is apart stays accepted: another file, another table, the same class declared again."""
        url = f"sqlite:///{tmp_path}/t.db"
        assert_apart(SQL(url, table="t"), SQL(f"sqlite:///{tmp_path}/u.db", table="t"))
        assert_apart(SQL(url, table="v"), SQL(url, table="w"))
        again = declared(SQL(url, table="v"))

        assert 1 == query(again).count()


def host(url, **parts):
    """Return a URL with other parts."""
    return sa.make_url(url).set(**parts).render_as_string(hide_password=False)


class TestServers:
    @pytest.mark.parametrize(
        "other",
        [
            lambda url: host(url, drivername="postgresql+psycopg"),
            lambda url: url.replace(":5432", "").replace(":3306", ""),
            lambda url: host(url, host="localhost"),
            lambda url: host(url, query={**sa.make_url(url).query, "application_name": "x"}),
            Repo,
            lambda url: Repo(engine=sa.create_engine(host(url, drivername="postgresql+psycopg"))),
            lambda url: Repo(
                host(url, query={}), metadata=sa.MetaData(schema=sa.make_url(url).query["options"].partition("=")[2])
            ),
        ],
        ids=["driver", "port", "host", "parameter", "Repo", "engine", "schema"],
    )
    def test_spellings_of_one_database_of_postgresql(self, postgresql, other):
        """Drivers, hosts, ports, parameters, schemas and search paths."""
        assert_refused(SQL(postgresql.url, table="t"), SQL(other(postgresql.url), table="t"))

    @pytest.mark.parametrize(
        "other",
        [
            lambda url: host(url, drivername="mysql"),
            lambda url: host(url, drivername="mariadb+pymysql"),
            lambda url: url.replace(":5432", "").replace(":3306", ""),
            lambda url: host(url, host="localhost"),
            lambda url: host(url, query={"charset": "utf8", "connect_timeout": "9"}),
            Repo,
        ],
        ids=["name", "driver", "port", "host", "parameter", "Repo"],
    )
    def test_spellings_of_one_database_of_mariadb(self, mariadb, other):
        """Drivers, hosts, ports and parameters."""
        assert_refused(SQL(mariadb.url, table="t"), SQL(other(mariadb.url), table="t"))

    def test_names_of_tables_on_postgresql(self, postgresql):
        """Names in quotes that differ in case are two tables there."""
        assert_apart(SQL(postgresql.url, table="t"), SQL(postgresql.url, table="T"))

    @pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
    def test_two_names_of_one_server(self, kind, request):
        """If the URLs differ, the server's identity is compared when storage is made: here by another address of this host."""
        place = request.getfixturevalue(kind)
        url = sa.make_url(place.url)
        try:
            other = host(url, host="127.0.0.2")
            sa.create_engine(
                sa.make_url(other).set(drivername=f"{kind}+{'psycopg' if kind == 'postgresql' else 'pymysql'}")
            ).connect().close()
        except sa.exc.SQLAlchemyError:
            pytest.skip("the server does not listen at 127.0.0.2")

        assert_refused(SQL(place.url, table="t"), SQL(other, table="t"))

    @pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
    def test_what_a_server_says_of_a_place(self, kind, request):
        """The identity is that of server, database and table, and the same by whatever way it is asked for."""
        place = request.getfixturevalue(kind)
        one, two = declared(SQL(place.url, table="t")), declared(SQL(place.url, table="u"))
        from resourcekit.actions.drive import drive

        def identity(resource):
            return drive(resource.__runtime__.store.identity())

        assert identity(one) == identity(one)
        assert identity(one) is not None
        assert identity(one) != identity(two)

    @pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
    def test_doctor_asks_the_server_of_tables_that_migrations_made(self, kind, request):
        """A program that never makes its storage itself learns of two resources in one place from doctor."""
        url = request.getfixturevalue(kind).url
        proxy = Proxy(sa.make_url(url).port)
        first, second = (declared(SQL(each, table="t"), storage=False) for each in (url, proxy.url(url)))
        column = "key VARCHAR" if kind == "postgresql" else "`key` VARCHAR(768) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin"
        run_sql(url, f"CREATE TABLE t ({column} NOT NULL PRIMARY KEY)")
        alone = [finding for finding in doctor(first) if finding.id == "RK051"]
        (found,) = [finding for finding in doctor(second) if finding.id == "RK051"]
        proxy.close()

        assert [] == alone
        assert "keeps its records where" in found.what
