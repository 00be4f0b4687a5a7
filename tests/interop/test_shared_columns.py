"""Other programs on a table of this project: drivers, SQLAlchemy, pandas and Django read what we wrote, and we read what they wrote."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.dialects import mysql

from resourcekit import query
from tests.support.databases import Database, connect, scratch
from tests.support.shared_table import JSON_COLUMNS, OURS, TABLE, THEIRS, as_json, declared, values_of

SERVERS = [pytest.param(kind, marks=pytest.mark.slow) for kind in ("postgresql", "mariadb")]
MICROSECOND = dt.timedelta(microseconds=1)


@pytest.fixture(params=["sqlite", *SERVERS])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """An empty database."""
    with scratch(request.param, tmp_path) as place:
        yield place


def sent(kind: str, row: dict[str, Any]) -> dict[str, Any]:
    """Return values as a user of the plain driver sends them, and as the driver returns them."""
    utc = row["at"].replace(tzinfo=None)
    made = {**row, "level": row["level"].value}
    if kind == "sqlite":
        texts = {"at": utc.isoformat(" ", "microseconds"), "day": row["day"].isoformat(), "hour": row["hour"].isoformat()}
        made |= {**texts, "id": row["id"].hex, "lasts": row["lasts"] // MICROSECOND, "price": str(row["price"])}
        made["exact"] = f"{row['exact']:f}"
    if kind == "mariadb":
        hour = row["hour"]
        clock = dt.timedelta(hours=hour.hour, minutes=hour.minute, seconds=hour.second, microseconds=hour.microsecond)
        made |= {"at": utc, "hour": clock, "id": str(row["id"]), "lasts": row["lasts"] // MICROSECOND}
    return made


def test_a_driver_shares_the_table(database: Database) -> None:
    """psycopg, PyMySQL and sqlite3 return native values and write them; a condition in SQL finds ours."""
    item = declared(database.url)
    item.add(**OURS)
    connection = connect(database.url)
    cursor, mark = connection.cursor(), "?" if database.kind == "sqlite" else "%s"
    cursor.execute(f"SELECT {', '.join(OURS)} FROM {TABLE} WHERE at > {mark}", (sent(database.kind, THEIRS)["at"],))
    (found,) = (dict(zip(OURS, row, strict=True)) for row in cursor.fetchall())
    documents = {name: found.pop(name) for name in JSON_COLUMNS}
    assert as_json(OURS) == {name: json.loads(each) if isinstance(each, str) else each for name, each in documents.items()}
    assert {name: value for name, value in sent(database.kind, OURS).items() if name not in JSON_COLUMNS} == found

    written = {name: json.dumps(value, indent=1) for name, value in as_json(THEIRS).items()}
    assert "null" == written["noted"]
    row = {**sent(database.kind, THEIRS), **written}
    cursor.execute(f"INSERT INTO {TABLE} ({', '.join(row)}) VALUES ({', '.join([mark] * len(row))})", tuple(row.values()))
    connection.close()
    assert THEIRS == values_of(item, THEIRS["id"])


def model_of(kind: str) -> Any:
    """Return an ORM model with the types that SQLAlchemy's users declare for this database."""
    is_native = kind == "postgresql"
    moment: Any = sa.DateTime(timezone=True) if kind != "mariadb" else mysql.DATETIME(fsp=6)

    class Base(orm.DeclarativeBase):
        pass

    class Model(Base):
        __tablename__ = TABLE
        id: orm.Mapped[Any] = orm.mapped_column(sa.Uuid() if kind != "mariadb" else sa.CHAR(36), primary_key=True)
        name: orm.Mapped[str]
        at: orm.Mapped[dt.datetime] = orm.mapped_column(moment)
        day: orm.Mapped[dt.date]
        hour: orm.Mapped[dt.time] = orm.mapped_column(mysql.TIME(fsp=6) if kind == "mariadb" else sa.Time())
        lasts: orm.Mapped[Any] = orm.mapped_column(sa.Interval() if is_native else sa.BigInteger())
        flag: orm.Mapped[bool]
        price: orm.Mapped[Any] = orm.mapped_column(sa.Text() if kind == "sqlite" else sa.Numeric(38, 2))
        number: orm.Mapped[int] = orm.mapped_column(sa.BigInteger())
        ratio: orm.Mapped[float] = orm.mapped_column(sa.Double())
        facts: orm.Mapped[Any] = orm.mapped_column(sa.JSON())
        level: orm.Mapped[int]
        state: orm.Mapped[str]
        data: orm.Mapped[bytes]
        exact: orm.Mapped[Any] = orm.mapped_column(sa.Text() if kind == "sqlite" else sa.Numeric(38, 6))
        words: orm.Mapped[Any] = orm.mapped_column(sa.JSON())
        days: orm.Mapped[Any] = orm.mapped_column(sa.JSON())
        amounts: orm.Mapped[Any] = orm.mapped_column(sa.JSON())
        maybe: orm.Mapped[Any] = orm.mapped_column(sa.JSON())
        noted: orm.Mapped[Any] = orm.mapped_column(sa.JSON())

    return Model


def modelled(kind: str, row: dict[str, Any]) -> dict[str, Any]:
    """Return values as the model has them."""
    made = {**row, **as_json(row), "level": row["level"].value}
    if kind != "postgresql":
        made |= {"at": row["at"].replace(tzinfo=None), "lasts": row["lasts"] // MICROSECOND}
    if kind == "sqlite":
        return made | {name: f"{row[name]:f}" for name in ("price", "exact")}
    return made | ({"id": str(row["id"])} if kind == "mariadb" else {})


def test_a_model_of_sqlalchemy_shares_the_table(database: Database) -> None:
    """An ORM session reads our record, filters by its types, and adds one that we read."""
    item = declared(database.url)
    item.add(**OURS)
    model, ours = model_of(database.kind), modelled(database.kind, OURS)
    engine = sa.create_engine(_engine_url(database))
    with orm.Session(engine) as session:
        found = session.scalars(
            sa.select(model).where(model.at == ours["at"], model.flag.is_(True), model.day == ours["day"])
        ).one()
        assert ours == {name: getattr(found, name) for name in ours}
        session.add(model(**modelled(database.kind, THEIRS)))
        session.commit()
    engine.dispose()
    assert [("null",)] == [
        tuple(row)
        for row in database.run(f"SELECT CAST(noted AS char(4)) FROM {TABLE} WHERE noted IS NOT NULL AND name = 'other'")
    ]
    assert THEIRS == values_of(item, THEIRS["id"])


def test_pandas_shares_the_table(database: Database) -> None:
    """A frame of the table has our values; rows that a frame appends become records."""
    pandas = pytest.importorskip("pandas")
    item = declared(database.url)
    item.add(**OURS)
    engine = sa.create_engine(_engine_url(database))
    names = "id, name, at, flag, price, number, exact, data, hour, lasts, words, noted, maybe"
    frame = pandas.read_sql(sa.text(f"SELECT {names} FROM {TABLE}"), engine, coerce_float=False)
    first = frame.iloc[0]
    assert (OURS["name"], True, OURS["price"], OURS["number"]) == (
        first["name"],
        bool(first["flag"]),
        Decimal(str(first["price"])),
        int(first["number"]),
    )
    assert OURS["id"] == UUID(str(first["id"]))
    assert (OURS["data"], OURS["exact"]) == (bytes(first["data"]), Decimal(str(first["exact"])))
    assert (sent(database.kind, OURS)["hour"], sent(database.kind, OURS)["lasts"]) == (first["hour"], first["lasts"])
    for name in ("words", "noted"):
        assert OURS[name] == (json.loads(first[name]) if isinstance(first[name], str) else first[name])
    assert first["maybe"] is None
    assert OURS["at"] == pandas.to_datetime(frame["at"], utc=True).iloc[0].to_pydatetime()

    row = {**sent(database.kind, THEIRS), **{name: json.dumps(value) for name, value in as_json(THEIRS).items()}}
    kinds: dict[str, Any] = {}
    if database.kind == "postgresql":
        row |= as_json(THEIRS)
        kinds = {
            **dict.fromkeys(JSON_COLUMNS, sa.JSON()),
            "exact": sa.Numeric(),
            "data": sa.LargeBinary(),
            "lasts": sa.Interval(),
            "id": sa.Uuid(),
            "price": sa.Numeric(),
            "at": sa.DateTime(timezone=True),
        }
    pandas.DataFrame([row], dtype=object).to_sql(TABLE, engine, if_exists="append", index=False, dtype=kinds or None)
    engine.dispose()
    assert THEIRS == values_of(item, THEIRS["id"])


def _engine_url(database: Database) -> sa.URL:
    url = sa.make_url(database.url)
    drivers = {"postgresql": "postgresql+psycopg", "mariadb": "mariadb+pymysql"}
    return url.set(drivername=drivers.get(database.kind, url.drivername))


def test_a_model_of_django_shares_the_table(database: Database, tmp_path: Path) -> None:
    """A model without migrations reads and writes our table; a foreign key of Django's table goes to it, and one of it to Django's."""
    item = declared(database.url)
    item.add(**OURS)
    program = Path(__file__).parent / "django_beside.py"
    done = subprocess.run(
        [sys.executable, str(program), database.kind, _engine_url(database).render_as_string(hide_password=False)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (0, "read, written, referred") == (done.returncode, done.stdout.strip()), done.stderr[-3000:]
    assert THEIRS == values_of(item, THEIRS["id"])


@pytest.mark.parametrize(("column", "value"), [("state", "'gone'"), ("level", "7")])
def test_the_check_keeps_strangers_out(database: Database, column: str, value: str) -> None:
    """Another program cannot write an option that the resource has not, as long as the CHECK is there."""
    declared(database.url).add(**OURS)
    with pytest.raises(Exception, match=rf"(?i)constraint.*ck_{TABLE}_{column}"):
        database.run(f"UPDATE {TABLE} SET {column} = {value}")


@pytest.mark.parametrize(
    "spelled", ["1999-12-31", "1999-12-31 00:00:00", "1999-12-31T00:00", "1999-12-31 05:00:00+05:00", "1999-12-31T00:00:00Z"]
)
def test_spellings_of_a_datetime_in_sqlite(tmp_path: Path, spelled: str) -> None:
    """Each that another program writes is read as the same moment, with a zone."""
    with scratch("sqlite", tmp_path) as database:
        item = declared(database.url)
        item.add(**OURS)
        database.run(f"UPDATE {TABLE} SET at = '{spelled}'")
        found = query(item).one().at
        assert (dt.datetime(1999, 12, 31, tzinfo=dt.UTC), dt.timedelta(0)) == (found, found.utcoffset())
