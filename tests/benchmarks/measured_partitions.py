"""Partitions by expiry on PostgreSQL: what they cost those who check and revoke, and what a sweep takes that drops them."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import peers
import server_databases as servers
from interleaving import Race
from plan import Run
from report import Line

from resourcekit import Domain
from resourcekit.data_layers import SQL, Partitions
from resourcekit.testing import ManualClock
from resourcekit_tokens import TokenRecord, TokenResource

__all__ = ["partitions"]

_DAYS = 30
_DAY = timedelta(days=1)
_ASKED = 20_000
_ROWS = (
    "INSERT INTO {table} (jti, subject, purpose, expires_at, revoked_at, revocation_reason, created_at, updated_at{column}) "
    "SELECT md5(n::text), 'alice', 'revocation', e, e, 'revoked', e, e{value} FROM (SELECT n, "
    "to_timestamp({first}) + (n % {days}) * interval '1 day' AS e FROM generate_series(1, {rows}) AS n) AS numbered"
)


def partitions(run: Run) -> Iterable[Line]:
    """``jti_revoked`` and ``revoke_jti`` on a table in thirty partitions against one without, and a sweep that drops them."""
    try:
        with servers.empty("postgresql") as url:
            yield from _measured(run, url)
    except servers.MissingServer as missing:
        yield Line(f"postgresql could not be measured: {missing}", 0, "server")


def _measured(run: Run, url: str) -> Iterable[Line]:
    rows, today = run.sizes.rows, datetime.now(UTC)
    plain, parted = _filled(url, "plain", rows, today), _filled(url, "parted", rows, today)
    asked = [row[0] for row in servers.run_sql(url, f"SELECT md5(n::text) FROM generate_series(1, {_ASKED}) AS n")]
    fresh = peers.jtis(100_000, time.time_ns())
    race = Race(
        {
            "check, plain": lambda number: plain.jti_revoked(asked[number % _ASKED]),
            "check, partitions": lambda number: parted.jti_revoked(asked[number % _ASKED]),
            "revoke, plain": lambda number: plain.revoke_jti(fresh[number]),
            "revoke, partitions": lambda number: parted.revoke_jti(fresh[number]),
        },
        run.sizes.pace,
    )
    what = f"{_DAYS + 1} partitions / without, PostgreSQL, {rows:,} rows"
    yield Line.of(f"jti_revoked with {what}", race.ratio("check, partitions", "check, plain"))
    yield Line.of(f"revoke_jti with {what}", race.ratio("revoke, partitions", "revoke, plain"))
    for name, microseconds in race.microseconds().items():
        yield Line(f"one call: {name}", microseconds, "us")
    expired = _filled(url, "expired", run.sizes.expired, today - 2 * _DAYS * _DAY)
    result = expired.expunge_expired()
    assert result.removed == run.sizes.expired
    yield Line(f"expunge_expired takes, {result.removed:,} rows in {_DAYS} partitions that are all behind", result.seconds, "s")


def _filled(url: str, table: str, rows: int, first: datetime) -> Any:
    """Declare a token resource whose records expire evenly over thirty days, from a moment on."""
    layout = None if table == "plain" else Partitions(every=_DAY, ahead=_DAYS * _DAY)
    domain = Domain(f"benchmark {secrets.token_hex(4)}")

    class Token(TokenRecord, domain=domain, data_layer=SQL(url, table=table, partitions=layout), extensions=[TokenResource()]):
        """Tokens of a benchmark."""

    with ManualClock(first):
        domain.create_storage()
    column, value = ("", "") if layout is None else (", resourcekit_part", ", trunc(extract(epoch FROM e) / 86400)::bigint")
    seconds = round(first.timestamp())
    servers.run_sql(
        url,
        _ROWS.format(table=table, rows=rows, first=seconds, days=_DAYS, column=column, value=value),
        f"ANALYZE {table}",
    )
    return Token
