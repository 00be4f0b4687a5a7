"""Signs in the environment that this program runs with several workers, or in production."""

from __future__ import annotations

import multiprocessing
import os
import re
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

__all__ = ["signs"]

_COUNTS = ("WEB_CONCURRENCY", "UVICORN_WORKERS", "GRANIAN_WORKERS")
"""Variables with the number of workers, which servers and platforms read or set."""

_SERVERS = {
    "gunicorn": ("-w", "--workers"),
    "uvicorn": ("--workers",),
    "fastapi": ("--workers",),
    "hypercorn": ("-w", "--workers"),
    "granian": ("--workers",),
    "uwsgi": ("-p", "--processes", "--workers"),
}
"""Servers, and their options for the number of workers."""

_STAGES = ("ENV", "ENVIRONMENT", "APP_ENV", "PYTHON_ENV", "DJANGO_ENV", "FASTAPI_ENV", "FLASK_ENV")
_PRODUCTION = frozenset({"prod", "production", "live"})
_PLATFORMS = {
    "KUBERNETES_SERVICE_HOST": "Kubernetes",
    "DYNO": "Heroku",
    "K_SERVICE": "Cloud Run",
    "GAE_ENV": "App Engine",
    "AWS_LAMBDA_FUNCTION_NAME": "AWS Lambda",
    "ECS_CONTAINER_METADATA_URI_V4": "Amazon ECS",
    "WEBSITE_INSTANCE_ID": "Azure App Service",
    "FLY_APP_NAME": "Fly",
    "RENDER": "Render",
    "RAILWAY_ENVIRONMENT": "Railway",
}
"""Variables that platforms set for the programs they run."""


def signs(environment: Mapping[str, str] | None = None, words: Sequence[str] | None = None) -> Iterator[str]:
    """Yield each sign of several workers or of production, as a text that completes a sentence.

    environment, words: environment variables and command line; the default is those of this process.
    """
    environment = os.environ if environment is None else environment
    words = sys.argv if words is None else words
    for name in _COUNTS:
        if _several(environment.get(name, "")):
            yield f"several workers run it ({name}={environment[name]})"
    server = _server(words)
    arguments = _split(environment.get("GUNICORN_CMD_ARGS", "")) if server == "gunicorn" else []
    if count := _count([*words, *arguments]):
        yield f"several workers run it ({server} with {count} of them)"
    if multiprocessing.parent_process() is not None:
        yield f"this is a worker that another process started ({multiprocessing.current_process().name})"
    for name in _STAGES:
        if environment.get(name, "").strip().lower() in _PRODUCTION:
            yield f"this is production ({name}={environment[name]})"
    for name, platform in _PLATFORMS.items():
        if environment.get(name):
            yield f"a platform runs it, which starts and moves processes as it likes ({platform})"


def _several(text: str) -> bool:
    return text.strip().isdigit() and int(text) > 1


def _split(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:  # an unclosed quote; the server would not start either
        return []


def _server(words: Sequence[str]) -> str:
    """Return the server that a command line starts, by its name or as ``python -m``; ``""`` if it starts none."""
    if not words:
        return ""
    program = Path(words[0])
    name = program.parent.name if program.name == "__main__.py" else program.stem
    return name if name in _SERVERS else ""


def _count(words: Sequence[str]) -> str:
    """Return the number of workers in a server's command line, if it is more than one; the last option counts."""
    options = _SERVERS.get(_server(words), ())
    found = ""
    for place, word in enumerate(words):
        for option in options:
            if word == option and place + 1 < len(words):
                found = words[place + 1]
            elif match := re.fullmatch(re.escape(option) + (r"=(\d+)" if option.startswith("--") else r"=?(\d+)"), word):
                found = match[1]
    return found if _several(found) else ""
