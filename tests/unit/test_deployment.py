"""How several workers, and production, are recognised by what a program was started with."""

from __future__ import annotations

import multiprocessing

import pytest

from resourcekit.data_layers.memory.deployment import signs


@pytest.mark.parametrize(
    "words",
    [
        "gunicorn app:app -w 4",
        "/venv/bin/gunicorn --workers 4 app:app",
        "gunicorn --workers=4 app:app",
        "gunicorn -w4 app:app",
        "uvicorn app:app --workers 2",
        "/venv/lib/python3.13/site-packages/uvicorn/__main__.py app:app --workers 2",
        "fastapi run app.py --workers 2",
        "hypercorn -w 3 app:app",
        "granian --workers 2 app:app",
        "uwsgi --processes=8 --http :80",
        "uwsgi -p 8",
        "gunicorn -w 1 -w 4 app:app",
    ],
)
def test_a_server_with_several_workers_is_told_by_its_command_line(words):
    """Whatever its option is called, and however it is written; the last one counts."""
    (sign,) = signs({}, words.split())

    assert sign.startswith("several workers run it")


@pytest.mark.parametrize(
    "words",
    [
        "",
        "gunicorn app:app",
        "gunicorn -w 1 app:app",
        "gunicorn -w",
        "gunicorn -w many app:app",
        "gunicorn --worker-class uvicorn.workers.UvicornWorker app:app",
        "uvicorn app:app --reload",
        "pytest -n 4",
        "mytool --workers 4",
        "python -w 4",
    ],
)
def test_nothing_is_told_of_one_worker(words):
    """Nor of other programs, whose options may mean anything."""
    assert [] == list(signs({}, words.split()))


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("WEB_CONCURRENCY", "2", "uvicorn app:app"),
        ("UVICORN_WORKERS", "3", "uvicorn app:app"),
        ("GUNICORN_CMD_ARGS", "--bind=127.0.0.1 --workers=3", "gunicorn app:app"),
        ("APP_ENV", "Production", "python"),
        ("ENVIRONMENT", "prod", "python"),
        ("DYNO", "web.1", "python"),
        ("KUBERNETES_SERVICE_HOST", "10.0.0.1", "python"),
    ],
)
def test_it_is_told_by_the_environment(name, value, words):
    """By settings of servers, arguments of programs, and variables of platforms."""
    assert 1 == len(list(signs({name: value}, words.split())))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WEB_CONCURRENCY", "1"),
        ("WEB_CONCURRENCY", "auto"),
        ("APP_ENV", "development"),
        ("APP_ENV", "staging"),
        ("DYNO", ""),
        ("GUNICORN_CMD_ARGS", "--workers=3"),
        ("GUNICORN_CMD_ARGS", "--workers='3"),
    ],
)
def test_other_settings_tell_nothing(name, value):
    """One worker, a name that is no production, or what another server would read."""
    assert [] == list(signs({name: value}, ["uvicorn", "app:app"]))


def _in_child(results):
    results.put(list(signs({}, ["uvicorn"])))


def test_a_process_that_another_one_started_is_a_worker():
    """As uvicorn and others start theirs."""
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    child = context.Process(target=_in_child, args=(results,))
    child.start()
    (sign,) = results.get(timeout=60)
    child.join(60)

    assert sign.startswith("this is a worker")
