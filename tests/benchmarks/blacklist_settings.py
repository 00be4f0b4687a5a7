"""The settings of a Django project with a blacklist, alone, so that a start can be timed that loads nothing else."""

from __future__ import annotations

__all__ = ["SECRET", "configure"]

SECRET = "a-secret-for-benchmarks-that-is-long-enough-for-every-hash-0123456789"


def configure(path: str) -> None:
    """Set Django up over an SQLite file, with what the blacklist needs; once in a process."""
    import django
    from django.conf import settings

    settings.configure(
        SECRET_KEY=SECRET,
        USE_TZ=True,
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": path}},
        INSTALLED_APPS=[
            "django.contrib.contenttypes",
            "django.contrib.auth",
            "rest_framework_simplejwt",
            "rest_framework_simplejwt.token_blacklist",
        ],
        SIMPLE_JWT={"SIGNING_KEY": SECRET, "USER_ID_FIELD": "username"},
    )
    django.setup()
