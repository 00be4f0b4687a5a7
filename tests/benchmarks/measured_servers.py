"""Checks and revocations on PostgreSQL and Redis, against drivers used by hand."""

from __future__ import annotations

import asyncio
import importlib.util
import secrets
import statistics
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import peers
import sqlalchemy as sa
from interleaving import Race
from plan import Run
from report import Line
from sqlalchemy.engine import make_url

from resourcekit import Domain
from resourcekit.data_layers import SQL, Redis
from resourcekit_tokens import JWT, TokenRecord, TokenResource
from tests.support import valkey
from tests.support.databases import run_sql, server_url

__all__ = ["postgresql", "redis", "together"]

_LATER, _ONCE = datetime(2096, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)

_ASKED = 20_000
"""Identities that are asked for in turn: every other one is revoked."""

_TASKS, _POOL = 64, 8
"""Tasks that ask at once, and connections of the peer's pool."""


def _declared(layer: Any, **options: Any) -> Any:
    domain = Domain(f"benchmark {secrets.token_hex(4)}")

    class Token(TokenRecord, domain=domain, data_layer=layer, extensions=[TokenResource(**options)]):
        """Tokens of a benchmark."""

    domain.create_storage()
    Token.__kept__ = domain  # type: ignore[attr-defined]  # the registry holds it weakly
    return Token


def _asked(rows: int) -> list[str]:
    """Return jtis of which every other one is revoked, spread over the whole table."""
    count = min(rows, _ASKED // 2)
    pairs = zip(peers.jtis(rows)[:: rows // count], peers.jtis(count, seed=1), strict=False)
    return [jti for pair in pairs for jti in pair]


@contextmanager
def _table_on_postgresql(rows: int) -> Iterator[tuple[str, Any]]:
    """Give a database with a token resource of so many revoked tokens; it is removed afterwards."""
    import psycopg

    server, name = server_url("postgresql"), f"resourcekit_benchmark_{secrets.token_hex(4)}"
    run_sql(server, f"CREATE DATABASE {name}")
    url = make_url(server).set(database=name).render_as_string(hide_password=False)
    try:
        token = _declared(SQL(url, table="tokens"))
        columns = "jti, purpose, expires_at, revoked_at, revocation_reason, created_at, updated_at"
        with psycopg.connect(url, autocommit=True) as connection, connection.cursor() as cursor:
            with cursor.copy(f"COPY tokens ({columns}) FROM STDIN") as copy:
                for jti in peers.jtis(rows):
                    copy.write_row((jti, "revocation", _LATER, _ONCE, "revoked", _ONCE, _ONCE))
            cursor.execute("VACUUM ANALYZE tokens")
        yield url, token
    finally:
        run_sql(server, f"DROP DATABASE {name} WITH (FORCE)")


def postgresql(run: Run) -> Iterable[Line]:
    """``jti_revoked`` and ``revoke`` on PostgreSQL against psycopg, prepared, on a connection that is kept."""
    import psycopg

    rows = run.sizes.rows
    with _table_on_postgresql(rows) as (url, token), psycopg.connect(url, autocommit=True, prepare_threshold=0) as bare:
        asked, find = _asked(rows), "SELECT revoked_at FROM tokens WHERE jti = %s"

        def found(number: int) -> bool:
            row = bare.execute(find, (asked[number % len(asked)],)).fetchone()
            return row is not None and row[0] is not None

        sides: dict[str, Any] = {"jti_revoked": lambda number: token.jti_revoked(asked[number % len(asked)]), "psycopg": found}
        assert [sides["jti_revoked"](number) for number in range(4)] == [found(number) for number in range(4)]
        race = Race(sides, run.sizes.pace)
        what = f"jti_revoked, PostgreSQL, {rows:,} rows / psycopg prepared, kept connection"
        yield Line.of(what, race.ratio("jti_revoked", "psycopg"), budget=1.5, aim=1.15)
        for name, microseconds in race.microseconds().items():
            yield Line(f"one call: {name}", microseconds, "us")
        yield from _revocations(run, url, token, bare)


def _revocations(run: Run, url: str, token: Any, bare: Any) -> Iterable[Line]:
    engine = sa.create_engine(make_url(url).set(drivername="postgresql+psycopg"))
    upsert = _upsert()
    built = sa.text(upsert.replace("%s", ":v{}").format(*range(6)))
    texts = [peers.a_token(jti=secrets.token_hex(16)) for _ in range(2_000)]

    def values() -> tuple[object, ...]:
        now = datetime.now(UTC)
        return secrets.token_hex(16), "alice@example.com", _LATER, now, now, now

    def write_in_begin(_: int) -> None:
        with engine.begin() as connection:
            connection.execute(built, {f"v{place}": value for place, value in enumerate(values())})

    sides = {
        "revoke": lambda number: token.revoke(texts[number % 2_000]),
        "begin": write_in_begin,
        "bare": lambda _: bare.execute(upsert, values()),
    }
    race = Race(sides, run.sizes.pace)
    what = "revoke(token), PostgreSQL / an upsert by hand"
    yield Line.of(f"{what} in engine.begin()", race.ratio("revoke", "begin"), budget=1.5)
    yield Line.of(f"{what}, psycopg prepared, kept connection, which commits alone", race.ratio("revoke", "bare"))
    engine.dispose()


def _upsert() -> str:
    return (
        "INSERT INTO tokens AS t (jti, subject, purpose, expires_at, revoked_at, revocation_reason, created_at, updated_at) "
        "VALUES (%s, %s, 'revocation', %s, %s, 'revoked', %s, %s) ON CONFLICT (jti) DO UPDATE SET "
        "revoked_at = coalesce(t.revoked_at, excluded.revoked_at), expires_at = greatest(t.expires_at, excluded.expires_at), "
        "revocation_reason = coalesce(t.revocation_reason, excluded.revocation_reason), updated_at = excluded.updated_at"
    )


def together(run: Run) -> Iterable[Line]:
    """``jti_revoked.aio`` from 64 tasks on PostgreSQL against the same tasks on a pool of asyncpg."""
    if importlib.util.find_spec("asyncpg") is None:
        yield Line("asyncpg is not installed; the extra benchmarks brings it", 0.0)
        return
    rows = run.sizes.rows
    with _table_on_postgresql(rows) as (url, token):
        yield from asyncio.run(_together(run, url, token, _asked(rows)))


async def _together(run: Run, url: str, token: Any, asked: list[str]) -> list[Line]:
    import asyncpg

    async with asyncpg.create_pool(url, min_size=_POOL, max_size=_POOL) as pool:

        async def by_hand(jti: str) -> bool:
            return await pool.fetchval("SELECT revoked_at FROM tokens WHERE jti = $1", jti) is not None

        ours = token.jti_revoked.aio
        assert [await ours(jti) for jti in asked[:4]] == [await by_hand(jti) for jti in asked[:4]]
        each = max(2, round(run.sizes.pace.seconds * 1_000))
        pairs = []
        for number in range(run.sizes.pace.rounds):
            first, second = (ours, by_hand) if number % 2 else (by_hand, ours)
            one, two = await _throughput(first, asked, each), await _throughput(second, asked, each)
            pairs.append((one, two) if number % 2 else (two, one))
        await token.__runtime__.store.close()
    what = f"{_TASKS} tasks, jti_revoked.aio, PostgreSQL / the same tasks on an asyncpg pool of {_POOL}, checks a second"
    ratio = statistics.median(ours / hand for ours, hand in pairs)
    return [
        Line(what, ratio, budget=5.0, aim=7.0, at_least=True),
        Line("checks a second: jti_revoked.aio", statistics.median(ours for ours, _ in pairs), ""),
        Line("checks a second: asyncpg", statistics.median(hand for _, hand in pairs), ""),
    ]


async def _throughput(check: Callable[[str], Awaitable[bool]], asked: list[str], each: int) -> float:
    """Return checks a second of all tasks together."""

    async def ask(task: int) -> None:
        for number in range(each):
            await check(asked[(task * each + number) % len(asked)])

    began = time.perf_counter()
    await asyncio.gather(*(ask(task) for task in range(_TASKS)))
    return _TASKS * each / (time.perf_counter() - began)


def redis(run: Run) -> Iterable[Line]:
    """``jti_revoked`` on Redis against EXISTS of redis-py, and ``verify`` against flask-jwt-extended with a blocklist there."""
    from redis import Redis as Client

    url = valkey.machine_url()
    if url is None:
        raise LookupError("no Redis server listens on 127.0.0.1:6379; set RESOURCEKIT_TEST_REDIS_URL")
    tag = f"benchmark-{secrets.token_hex(6)}"
    layer = Redis(url, tag=tag, accept=("maxmemory-policy", "appendonly"))  # a machine of developers; nothing here must last
    token, client = _declared(layer, jwt=JWT(peers.SECRET)), Client.from_url(url)
    asked = _asked(min(run.sizes.rows, 2_000))
    try:
        for jti in asked[::2]:
            token.revoke_jti(jti)
            client.set(f"{tag}:{jti}", "", ex=3600)
        sides: dict[str, Any] = {
            "jti_revoked": lambda number: token.jti_revoked(asked[number % len(asked)]),
            "EXISTS": lambda number: client.exists(f"{tag}:{asked[number % len(asked)]}") > 0,
        }
        assert [sides["jti_revoked"](number) for number in range(4)] == [sides["EXISTS"](number) for number in range(4)]
        race = Race(sides, run.sizes.pace)
        yield Line.of("jti_revoked, Redis / EXISTS by redis-py", race.ratio("jti_revoked", "EXISTS"), budget=1.3)
        for name, microseconds in race.microseconds().items():
            yield Line(f"one call: {name}", microseconds, "us")
        if importlib.util.find_spec("flask_jwt_extended") is not None:
            verified = _flask(client, tag)
            text = token.issue("alice@example.com").token
            race = Race({"verify": lambda _: token.verify(text), "flask": verified}, run.sizes.pace)
            what = "verify_jwt_in_request of flask-jwt-extended, blocklist on Redis / verify(token), Redis"
            yield Line.of(what, race.ratio("flask", "verify"))
    finally:
        for key in client.scan_iter(f"*{tag}*", count=1000):
            client.delete(key)
        client.close()


def _flask(client: Any, tag: str) -> Callable[[int], object]:
    """Return what a view of a Flask app does before it lets a request in."""
    from flask import Flask
    from flask_jwt_extended import JWTManager, create_access_token, verify_jwt_in_request

    app = Flask("benchmark")
    app.config["JWT_SECRET_KEY"] = peers.SECRET
    manager = JWTManager(app)

    @manager.token_in_blocklist_loader
    def _listed(_header: dict[str, Any], payload: dict[str, Any]) -> bool:
        return client.get(f"{tag}:{payload['jti']}") is not None

    with app.app_context():
        text = create_access_token("alice@example.com")

    def verified(_: int) -> None:
        with app.test_request_context(headers={"Authorization": f"Bearer {text}"}):
            verify_jwt_in_request()

    return verified
