"""A Django project with the blacklist of djangorestframework-simplejwt; only where the extra ``benchmarks`` is installed."""

from __future__ import annotations

import importlib.metadata
from datetime import UTC, datetime, timedelta
from pathlib import Path

import peers
from blacklist_settings import configure
from plan import Run

__all__ = ["is_there", "make_tables", "use"]


def is_there() -> bool:
    """Return whether the extra is installed."""
    try:
        for package in peers.EXTRA:
            importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def make_tables(path: Path, revoked: list[str], *, expired: int = 0) -> None:
    """Make the tables, by migrations as a project does, and fill in listed tokens, the first ``expired`` of them expired."""
    from django.core.management import call_command
    from django.db import connection

    connection.close()
    connection.settings_dict["NAME"] = str(path)
    call_command("migrate", verbosity=0)
    with connection.cursor() as cursor:  # the usual advice for SQLite, which resourcekit follows by itself
        cursor.execute("PRAGMA journal_mode=WAL")
    connection.close()
    moment, text = datetime.now(UTC), peers.a_token()
    past, future, now = (
        each.replace(tzinfo=None).isoformat(" ") for each in (moment - timedelta(days=1), moment + timedelta(days=14), moment)
    )
    outstanding = ((number, jti, text, now, past if number <= expired else future) for number, jti in enumerate(revoked, 1))
    listed = ((number, number, now) for number in range(1, len(revoked) + 1))
    into = "INSERT INTO token_blacklist_"
    peers.fill(
        path,
        [
            (f"{into}outstandingtoken (id, jti, token, created_at, expires_at) VALUES (?, ?, ?, ?, ?)", outstanding),
            (f"{into}blacklistedtoken (id, token_id, blacklisted_at) VALUES (?, ?, ?)", listed),
        ],
    )


def use(run: Run) -> None:
    """Let Django work on the blacklist of this run, which lists as many tokens as our table holds."""
    from django.conf import settings

    if not settings.configured:
        configure(str(run.folder / "none.db"))
    path = run.made("blacklist.db", lambda path: make_tables(path, peers.jtis(run.sizes.rows)))
    from django.db import connection

    connection.close()
    connection.settings_dict["NAME"] = str(path)
