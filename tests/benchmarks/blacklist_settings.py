"""The settings of a Django project with a blacklist, alone, so that a start can be timed that loads nothing else."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

__all__ = ["SECRET", "configure"]

SECRET = "a-secret-for-benchmarks-that-is-long-enough-for-every-hash-0123456789"


def configure(place: str) -> None:
    """Set Django up over an SQLite file, or the database of a URL, with what the blacklist needs; once in a process."""
    import django
    from django.conf import settings

    settings.configure(
        SECRET_KEY=SECRET,
        USE_TZ=True,
        DATABASES={"default": _database(place)},
        INSTALLED_APPS=[
            "django.contrib.contenttypes",
            "django.contrib.auth",
            "rest_framework_simplejwt",
            "rest_framework_simplejwt.token_blacklist",
        ],
        SIMPLE_JWT={"SIGNING_KEY": SECRET, "USER_ID_FIELD": "username"},
    )
    django.setup()


def _database(place: str) -> dict[str, Any]:
    if not place.startswith("postgresql"):
        return {"ENGINE": "django.db.backends.sqlite3", "NAME": place.removeprefix("sqlite:///")}
    url = urlsplit(place)
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": url.path.removeprefix("/"),
        "HOST": url.hostname or "",
        "PORT": url.port or "",
        "USER": url.username or "",
        "PASSWORD": url.password or "",
    }
