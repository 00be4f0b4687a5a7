"""Parameters of MariaDB URLs: those that PyMySQL and asyncmy take, and the errors for those of other drivers."""

from __future__ import annotations

import asyncio

import pytest
import sqlalchemy as sa

from resourcekit import query
from resourcekit.data_layers import SQL, Repo
from resourcekit.errors import DeclarationError
from tests.support.notes import declared

HOST = "mariadb://user:hunter2@127.0.0.1:1/none"


def refused(url):
    """Return the error that a domain with a resource at this URL raises when it is sealed."""
    note = declared(url, storage=False)
    with pytest.raises(DeclarationError) as caught:
        query(note).count()
    return caught.value


@pytest.mark.parametrize(
    ("parameter", "cure"),
    [
        ("ssl-mode=REQUIRED", "ssl_ca="),
        ("sslmode=require", "ssl_ca="),
        ("ssl=true", "ssl_ca="),
        ("useSSL=true", "ssl_ca="),
        ("sslrootcert=/a.pem", '"ssl_ca"'),
        ("serverTimezone=UTC", "UTC"),
        ("parseTime=true", "UTC"),
        ("characterEncoding=UTF-8", "utf8mb4"),
        ("collation=utf8mb4_bin", "utf8mb4"),
        ("connectTimeout=5000", "connect_timeout"),
        ("conect_timeout=5", "connect_timeout"),
        ("unheard_of=1", "Known: "),
        ("connect_timeout=soon", "digits"),
        ("local_infile=perhaps", "true"),
        ("init_command=a&init_command=b", "once"),
        ("charset=latin1", "utf8mb4"),
        ("charset=utf16", "utf8mb4"),
    ],
)
def test_a_parameter_that_cannot_serve_is_named_when_the_domain_is_sealed(parameter, cure):
    """RK102 names the parameter and what to write, before a driver sees it; no value of the URL is shown."""
    error = refused(f"{HOST}?{parameter}")

    assert "RK102" == error.code
    assert parameter.partition("=")[0] in str(error)
    assert cure in error.hint
    assert "hunter2" not in str(error)


def test_engines_of_a_url_with_a_wrong_parameter_are_refused():
    """Engines that a program asks for by itself, as migrations do, raise the same error."""
    repo = Repo(f"{HOST}?sslmode=require")
    for engine in ("engine", "async_engine"):
        with pytest.raises(DeclarationError, match="sslmode"):
            getattr(repo, engine)


def test_an_engine_of_ones_own_may_have_parameters_of_its_driver():
    """What an engine was made with is not looked at: only an engine that is made from a URL needs parameters of both drivers."""
    engine = sa.create_engine("mariadb+pymysql://user@127.0.0.1:1/none?ssl_verify_cert=true")

    assert engine is Repo(engine=engine).engine


@pytest.mark.parametrize("charset", ["utf8", "utf8mb3", "utf8mb4", "UTF8"])
def test_the_usual_character_sets_of_a_url_keep_every_character(mariadb, charset):
    """``utf8``, which countless URLs have, is taken for utf8mb4, in sync and in async calls."""
    note = declared(f"{mariadb.url}?charset={charset}")
    note.write(key="session-😀", text="Zoë 😀")
    asyncio.run(note.write.aio(key="session-😁", text="Zoë 😁"))

    assert ["Zoë 😀", "Zoë 😁"] == [each.text for each in query(note).sort("key").all()]


@pytest.mark.parametrize("parameter", ["write_timeout=4", "read_timeout=4&connect_timeout=4&write_timeout=4"])
def test_timeouts_of_a_url_serve_both_drivers(mariadb, parameter):
    """An engine over asyncmy, which has no bound for writing, is made without it."""
    note = declared(SQL(f"{mariadb.url}?{parameter}"))
    note.write(key="a", text="a")

    assert 1 == asyncio.run(query(note).count.aio())
