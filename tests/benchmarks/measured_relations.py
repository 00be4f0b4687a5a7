"""Loads, conditions, aggregates and pages over relationships, against SQLAlchemy's ORM and against Core written by hand.

All sides read the same two tables. Those of an SQLite file are made once; those of PostgreSQL are made for the run.
"""

from __future__ import annotations

import asyncio
import functools
import importlib.util
import secrets
import statistics
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import server_databases as servers
import sqlalchemy as sa
from interleaving import Race
from plan import Run
from report import Line
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship, selectinload

from resourcekit import Attr, Domain, Many, One, Resource, attribute, belongs_to, create, has_many, load, query
from resourcekit.data_layers import SQL

__all__ = ["relations"]

_PARENTS, _CHILDREN = 1_000, 10
_NEWEST, _OF = 3, 200
_TASKS = 64
"""Tasks that load at the same time."""


class _Base(DeclarativeBase):
    pass


class _Author(_Base):
    __tablename__ = "authors"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(100))
    books: Mapped[list[_Book]] = relationship(lambda: _Book)


class _Book(_Base):
    __tablename__ = "books"

    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str] = mapped_column(sa.String(100))
    pages: Mapped[int]
    author_id: Mapped[int] = mapped_column(sa.ForeignKey("authors.id"))


def _declare(url: str) -> tuple[Any, Any]:
    """Declare two related resources on a database, and make their tables."""
    domain = Domain(f"benchmark {secrets.token_hex(4)}")

    class Author(Resource, domain=domain, data_layer=SQL(url, table="authors")):
        """An author."""

        id: Attr[int] = attribute(primary_key=True)
        name: Attr[str] = attribute(max_length=100)
        books: Many[Book] = has_many("author_id")
        add = create(accept=["id", "name"])

    class Book(Resource, domain=domain, data_layer=SQL(url, table="books")):
        """A book."""

        id: Attr[int] = attribute(primary_key=True)
        title: Attr[str] = attribute(max_length=100)
        pages: Attr[int] = attribute()
        author_id: Attr[int] = attribute()
        author: One[Author] = belongs_to("author_id")
        add = create(accept=["id", "title", "pages", "author_id"])

    domain.create_storage()
    return Author, Book


def relations(run: Run) -> Iterable[Line]:
    """Loads of has_many, the newest of each parent, to-one conditions, two aggregates, a page far into a table."""
    rows = min(_PARENTS, run.sizes.rows)
    path = run.folder / "relations.db"
    for left in run.folder.glob("relations.db*"):
        left.unlink()
    yield from _measured(run, f"sqlite:///{path}", "SQLite", rows)
    try:
        with servers.empty("postgresql") as url:
            yield from _measured(run, url, "PostgreSQL", rows)
    except servers.MissingServer as missing:
        yield Line(f"postgresql could not be measured: {missing}", 0, "server")


def _measured(run: Run, url: str, called: str, parents: int) -> Iterable[Line]:
    author, book = _declare(url)
    author.add.bulk([{"id": n, "name": f"Author {n}"} for n in range(parents)])
    every = range(parents * _CHILDREN)
    book.add.bulk([{"id": n, "title": f"Book {n}", "pages": n * 7919 % 1000, "author_id": n % parents} for n in every])
    engine = sa.create_engine(url)
    of, shape = min(_OF, parents), f"{parents:,} x {_CHILDREN}"
    for what, ours, theirs, peer, budget in (
        (f"has_many, {shape}", *_loads(author, engine), "selectinload of SQLAlchemy's ORM", 0.7),
        (f"the newest {_NEWEST} of each of {of} parents", *_newest(author, book, engine, of), "a window by hand", 1.2),
        ("a condition over a to-one path", *_path(author, book, engine), "Core by hand", 1.2),
        ("a list with two aggregates", *_aggregates(author, book, engine), "Core by hand", 1.3),
    ):
        assert ours(0) == theirs(0), what
        race = Race({"ours": ours, "theirs": theirs}, run.sizes.pace)
        yield Line.of(f"{what}, {called} / {peer}", race.ratio("ours", "theirs"), budget=budget)
    if (django := _django(url)) is not None:
        ours, _ = _loads(author, engine)
        assert ours(0) == django(0)
        race = Race({"ours": ours, "theirs": django}, run.sizes.pace)
        yield Line.of(f"has_many, {shape}, {called} / prefetch_related of Django", race.ratio("ours", "theirs"), budget=0.5)
    deep = query(book).sort("id")
    cursor = deep.page(limit=20, offset=len(every) - 40).end_cursor
    race = Race({"deep": lambda _: deep.page(limit=20, after=cursor), "first": lambda _: deep.page(limit=20)}, run.sizes.pace)
    yield Line.of(
        f"the last page by cursor of {len(every):,} rows, {called} / the first", race.ratio("deep", "first"), budget=1.5
    )
    engine.dispose()
    ratio = asyncio.run(_of_tasks(run, url, author, book))
    what = f"{_TASKS} tasks, each loads the parent of one record, {called} / the same tasks on SQLAlchemy's async ORM, loads a second"
    yield Line(what, ratio, budget=4.0, at_least=True)


async def _of_tasks(run: Run, url: str, author: Any, book: Any) -> float:
    """Return how many times as many parents of single records tasks load."""
    driver = "postgresql+psycopg" if url.startswith("postgresql") else "sqlite+aiosqlite"
    engine = create_async_engine(make_url(url).set(drivername=driver), pool_size=10, max_overflow=0)
    children = await query(book).sort("id").limit(_TASKS).all.aio()

    async def ours(each: Any) -> str:
        return (await load.aio(each, book.author)).author.name

    async def theirs(each: Any) -> str:
        async with AsyncSession(engine) as session:
            return (await session.scalars(sa.select(_Author).where(_Author.id == each.author_id))).one().name

    ratios = []
    try:
        assert [await ours(each) for each in children[:4]] == [await theirs(each) for each in children[:4]]
        for number in range(run.sizes.pace.rounds):
            first, second = (ours, theirs) if number % 2 else (theirs, ours)
            one, two = await _seconds(first, children), await _seconds(second, children)
            ratios.append(two / one if number % 2 else one / two)
    finally:
        await engine.dispose()
        for each in (author, book):
            await each.__runtime__.store.close()
    return statistics.median(ratios)


async def _seconds(work: Callable[[Any], Awaitable[str]], records: list[Any]) -> float:
    """Return the seconds in which tasks, one for each record, finish."""
    began = time.perf_counter()
    await asyncio.gather(*map(work, records))
    return time.perf_counter() - began


@functools.cache
def _django_models() -> Any:
    """Declare the tables as models of Django, once in a process."""
    import django
    from django.conf import settings

    if not settings.configured:
        nowhere = {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}
        settings.configure(DATABASES={"default": nowhere}, INSTALLED_APPS=[])
    django.setup()
    from django.db import models

    class DjangoAuthor(models.Model):  # noqa: DJ008  # never shown
        id = models.BigIntegerField(primary_key=True)
        name = models.CharField(max_length=100)

        class Meta:
            app_label, db_table, managed = "benchmark_relations", "authors", False

    class DjangoBook(models.Model):  # noqa: DJ008
        id = models.BigIntegerField(primary_key=True)
        title = models.CharField(max_length=100)
        pages = models.BigIntegerField()
        author = models.ForeignKey(DjangoAuthor, models.DO_NOTHING, related_name="books")

        class Meta:
            app_label, db_table, managed = "benchmark_relations", "books", False

    return DjangoAuthor


def _django(url: str) -> Callable[[int], int] | None:
    """Return the load of all authors with their books by Django; ``None`` if it is not installed."""
    if importlib.util.find_spec("django") is None:
        return None
    model, place = _django_models(), make_url(url)
    from django.db import connections

    alias = f"benchmark {secrets.token_hex(4)}"
    engine = "postgresql" if url.startswith("postgresql") else "sqlite3"
    given = {"ENGINE": f"django.db.backends.{engine}", "NAME": place.database}
    if engine == "postgresql":
        given |= {"HOST": place.host, "PORT": place.port or "", "USER": place.username or "", "PASSWORD": place.password or ""}
    connections.settings[alias] = connections.configure_settings({"default": given})["default"]

    def theirs(_: int) -> int:
        return sum(len(each.books.all()) for each in model.objects.using(alias).prefetch_related("books"))

    return theirs


def _loads(author: Any, engine: sa.Engine) -> tuple[Any, Any]:
    loaded = query(author).load(author.books)
    orm = sa.select(_Author).options(selectinload(_Author.books))

    def theirs(_: int) -> int:
        with Session(engine) as session:
            return sum(len(each.books) for each in session.scalars(orm).all())

    return lambda _: sum(len(each.books) for each in loaded.all()), theirs


def _newest(author: Any, book: Any, engine: sa.Engine, of: int) -> tuple[Any, Any]:
    asked = query(author).filter(author.id < of).load(author.books.sort(book.id.desc()).limit(_NEWEST))
    table = _Book.__table__
    place = sa.func.row_number().over(partition_by=table.c.author_id, order_by=table.c.id.desc()).label("place")
    ranked = sa.select(table, place).where(table.c.author_id < of).subquery()
    parents = sa.select(_Author.__table__).where(_Author.__table__.c.id < of)
    statement = sa.select(ranked).where(ranked.c.place <= _NEWEST)

    def theirs(_: int) -> list[list[int]]:
        with engine.connect() as connection:
            found: dict[int, list[Any]] = {row.id: [] for row in connection.execute(parents)}
            for row in connection.execute(statement):
                found[row.author_id].append(row)
        return sorted(sorted(row.id for row in rows) for rows in found.values())

    return lambda _: sorted(sorted(each.id for each in one.books) for one in asked.all()), theirs


def _path(author: Any, book: Any, engine: sa.Engine) -> tuple[Any, Any]:
    asked = query(book).filter(book.author[author.name] == "Author 7")
    books, authors = _Book.__table__, _Author.__table__
    statement = sa.select(books).join(authors, authors.c.id == books.c.author_id).where(authors.c.name == "Author 7")

    def theirs(_: int) -> int:
        with engine.connect() as connection:
            return len([dict(row) for row in connection.execute(statement).mappings()])

    return lambda _: len(asked.all()), theirs


def _aggregates(author: Any, book: Any, engine: sa.Engine) -> tuple[Any, Any]:
    asked = query(author).load(n=author.books.count(), most=author.books.max(book.pages))
    books, authors = _Book.__table__, _Author.__table__
    mine = books.c.author_id == authors.c.id
    counted = sa.select(sa.func.count()).select_from(books).where(mine).scalar_subquery()
    most = sa.select(sa.func.max(books.c.pages)).where(mine).scalar_subquery()
    statement = sa.select(authors, counted.label("n"), most.label("most"))

    def theirs(_: int) -> tuple[int, int]:
        with engine.connect() as connection:
            rows = [dict(row) for row in connection.execute(statement).mappings()]
        return sum(row["n"] for row in rows), max(row["most"] for row in rows)

    def ours(_: int) -> tuple[int, int]:
        rows = [each.extra for each in asked.all()]
        return sum(row["n"] for row in rows), max(row["most"] for row in rows)

    return ours, theirs
