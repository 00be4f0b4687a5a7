"""Servers with two workers, also when the app is made before they are forked: one sweep for all, and no connection of two processes."""

from __future__ import annotations

import itertools
import json
import secrets
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import attrs
import pytest

from tests.support.databases import scratch
from tests.support.web_hosts import Host, serving
from tests.support.web_requests import Sent
from tests.support.web_sockets import socket_sender

pytestmark = pytest.mark.slow

EVERY, SWEEPS = 3, 3
"""Seconds between two sweeps, and the sweeps that are waited for."""

SUBJECTS = ("alice", "bob", "carol")
FLEETS = {
    "gunicorn --preload, Flask": {"framework": "flask", "preload": True},
    "gunicorn --preload, Django": {"framework": "django", "preload": True},
    "gunicorn, Flask": {"framework": "flask"},
    "uvicorn, FastAPI": {"framework": "fastapi"},
    "hypercorn, Litestar": {"framework": "litestar", "server": "hypercorn"},
}


@pytest.fixture(params=FLEETS)
def fleet(request, tmp_path):
    """The port of a server with two workers over one PostgreSQL, its token resource, and its log."""
    log = tmp_path / "resourcekit.log"
    with scratch("postgresql", tmp_path) as place:
        host = Host(
            **FLEETS[request.param],
            url=place.url,
            table=f"fleet_{secrets.token_hex(4)}",
            keys=[("first", "HS256", secrets.token_urlsafe(48))],
            workers=2,
            log=str(log),
            sweeps=EVERY,
        )
        token = attrs.evolve(host, preload=False).resource(storage=True)
        with serving(tmp_path, host) as (address,):
            yield int(address.rpartition(":")[2]), token, log


def lines_of(log, text):
    """Return moment and process of each line of a log with this text."""
    rows = [line.split(" ", 2) for line in log.read_text().splitlines()] if log.exists() else []
    return [(float(row[0]), int(row[1])) for row in rows if len(row) == 3 and text in row[2]]


def until(condition, seconds=90):
    """Wait in real time, as real servers need it, and return what the condition is at last."""
    end = time.monotonic() + seconds
    while not (found := condition()) and time.monotonic() < end:
        time.sleep(0.05)
    return found


def sockets_of(pid):
    """Return the sockets of a process, without those that listen, by the number that the kernel gives each."""
    links = [str(entry.readlink()) for entry in Path(f"/proc/{pid}/fd").iterdir() if entry.exists()]
    own = {link[8:-1] for link in links if link.startswith("socket:[")}
    tcp = [line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/{pid}/net/{name}").read_text().splitlines()[1:]]
    unix = [line.split() for line in Path(f"/proc/{pid}/net/unix").read_text().splitlines()[1:]]
    listening = {row[9] for row in tcp if row[3] == "0A"} | {row[6] for row in unix if row[3] == "00010000"}
    return own - listening


def test_a_fleet_sweeps_once_in_each_interval_and_shares_no_connection(fleet):
    """Each worker has a Supervisor of its own, one sweep runs in each interval, and each answer is for the user who asked."""
    port, token, log = fleet
    issued = {name: token.issue(name).token for name in SUBJECTS}
    send = socket_sender(port)

    def ask(number):
        name = SUBJECTS[number % len(SUBJECTS)]
        reply = send(Sent(headers=(("authorization", f"Bearer {issued[name]}".encode()),)))
        return reply.status, json.loads(reply.body) == {"sub": name}

    with ThreadPoolExecutor(8) as pool:
        answers = set(pool.map(ask, range(400)))
        workers = until(lambda: both if len(both := {pid for _, pid in lines_of(log, "supervising")}) == 2 else None)
        swept = until(lambda: len(lines_of(log, "ran for")) >= SWEEPS and sorted(lines_of(log, "ran for")))
        answers |= set(pool.map(ask, range(100)))

    assert {(200, True)} == answers
    assert workers
    gaps = [later - earlier for (earlier, _), (later, _) in itertools.pairwise(swept)]
    assert all(gap > EVERY - 1 for gap in gaps), gaps
    assert lines_of(log, "is done elsewhere")
    (parent,) = {int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]) for pid in workers}
    assert parent not in workers
    # A worker holds what its parent had open, and leaves it alone: to close it would end the session of the parent at the database.
    first, second = (sockets_of(pid) - sockets_of(parent) for pid in workers)
    assert first
    assert second
    assert set() == first & second
