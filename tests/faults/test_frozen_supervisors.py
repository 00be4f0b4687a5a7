"""A supervisor whose sweep waits for a frozen server: it ends in time, however it is run, and goes on afterwards."""

from __future__ import annotations

import asyncio
import signal
import time
from datetime import timedelta

import pytest

from resourcekit.supervisor import Scheduling, Supervisor
from tests.support.callers import Watch
from tests.support.commands import running

pytestmark = pytest.mark.slow

TIMEOUT = 0.3
GRACE = 2.0
"""Seconds of real time that a busy machine may take more; a call to a frozen server is bounded by five only."""

at_once = Scheduling(first_within=0.0, retry_within=0.1)
INTERVAL = timedelta(seconds=1)

APP = """
from datetime import timedelta
from resourcekit import Domain
from resourcekit.data_layers import SQL
from resourcekit_tokens import TokenRecord, TokenResource

accounts = Domain("accounts")

class Token(TokenRecord, domain=accounts, data_layer=SQL({url!r}, table={table!r}),
            extensions=[TokenResource(expunge_interval=timedelta(seconds=1), max_lifetime=timedelta(days=1))]):
    pass
"""


def until_stuck(supervisor: Supervisor) -> None:
    """Wait until a run has begun, which does not end as long as the server is frozen."""
    ends_at = time.monotonic() + 60
    while supervisor.status()[0].state != "running" and time.monotonic() < ends_at:
        time.sleep(0.01)  # there is nothing that announces it


@pytest.mark.parametrize("swept_before", [True, False], ids=["on a kept connection", "while it connects"])
def test_a_supervisor_in_threads_stops_in_time(server, declare_token, swept_before):
    """The run is left behind; started again, when the server goes on, it sweeps."""
    token = declare_token(server.url, expunge_interval=INTERVAL)
    supervisor = Supervisor(token, startup_check=False, scheduling=at_once)
    if swept_before:
        supervisor.run_now(token)
    server.freeze()
    try:
        supervisor.start()
        until_stuck(supervisor)
        with Watch() as stopping:
            all_ended = supervisor.stop(TIMEOUT)
    finally:
        server.thaw()

    assert not all_ended
    assert stopping.seconds < TIMEOUT + 0.5 + GRACE
    assert supervisor.run_now(token)["expunger"].removed == 0


@pytest.mark.parametrize("swept_before", [True, False], ids=["on a kept connection", "while it connects"])
def test_a_supervisor_in_a_loop_stops_in_time(server, declare_token, swept_before):
    """Its task is cancelled, and lets go of a connection that does not answer."""
    token = declare_token(server.url, expunge_interval=INTERVAL)
    supervisor = Supervisor(token, startup_check=False, scheduling=at_once)

    async def live() -> tuple[str, bool, float]:
        if swept_before:
            await supervisor.run_now.aio(token)
        server.freeze()
        try:
            await supervisor.start.aio()
            await asyncio.sleep(0.3)  # so that it waits for the server, and not for its turn in the loop
            state = supervisor.status()[0].state
            with Watch() as stopping:
                all_ended = await supervisor.stop.aio(TIMEOUT)
        finally:
            server.thaw()
        await supervisor.run_now.aio(token)
        return state, all_ended, stopping.seconds

    state, all_ended, seconds = asyncio.run(asyncio.wait_for(live(), 60))

    assert ("running", True) == (state, all_ended)
    assert seconds < TIMEOUT + 0.5 + GRACE


@pytest.mark.parametrize("call_mode", ["sync", "async"])
def test_a_start_does_not_wait_for_a_server_that_stands_still(server, declare_token, caplog, call_mode):
    """Doctor waits for two seconds, reports that it got no answer, and the services begin."""
    token = declare_token(server.url, expunge_interval=INTERVAL)
    supervisor = Supervisor(token, scheduling=at_once)

    async def live() -> None:
        with starting:
            await supervisor.start.aio()
        await supervisor.stop.aio(TIMEOUT)

    server.freeze()
    try:
        with Watch() as starting:
            if call_mode == "sync":
                supervisor.start()
        if call_mode == "sync":
            supervisor.stop(TIMEOUT)
        else:
            asyncio.run(live())
    finally:
        server.thaw()

    assert starting.seconds < 2.0 + GRACE
    assert "RK080" in " ".join(record.getMessage() for record in caplog.records if record.name == "resourcekit.doctor")


@pytest.mark.parametrize("frozen_from", ["start", "sweep"])
def test_the_command_ends_in_time(server, declare_token, tmp_path, frozen_from):
    """At SIGTERM, it ends after its stop timeout, also if the server was frozen from the start; exit code 1 reports it."""
    table = declare_token(server.url).__runtime__.store.table.name
    (tmp_path / "frozen_app.py").write_text(APP.format(url=server.url, table=table))
    if frozen_from == "start":
        server.freeze()
    try:
        with running(tmp_path, "supervise", "frozen_app", "--stop-timeout", str(TIMEOUT)) as process:
            sweeps = 0
            for line in process.stdout:
                sweeps += " removed in " in line
                if sweeps or (frozen_from == "start" and "Supervising" in line):
                    break
            server.freeze()
            time.sleep(2.5)  # its first, or next, sweep comes within two seconds, and then waits
            with Watch() as stopping:
                process.send_signal(signal.SIGTERM)
                rest, errors = process.communicate(timeout=60)
    finally:
        server.thaw()

    assert ("", 1) == (errors, process.returncode)
    assert "left behind" in rest
    assert stopping.seconds < TIMEOUT + 0.5 + GRACE
