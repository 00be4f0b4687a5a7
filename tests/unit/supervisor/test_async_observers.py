"""An async on_run and an async on_progress: awaited in an async program, refused in a sync one."""

from __future__ import annotations

import asyncio

import pytest
from supervised import Sweep, declare

from resourcekit.errors import InvalidArgument
from resourcekit.supervisor import Supervisor


def test_an_async_on_run_is_awaited():
    """It sees each run of an async program, also where it must wait for something."""
    seen: list[str] = []
    ticket = declare(Sweep)

    async def on_run(status) -> None:
        await asyncio.sleep(0)
        seen.append(status.service)

    async def life() -> None:
        await Supervisor(ticket, on_run=on_run, startup_check=False).run_now.aio(ticket)

    asyncio.run(life())

    assert ["Sweep"] == seen


class Watch:
    """An object that is called like an async function."""

    async def __call__(self, status: object) -> None: ...


async def on_run(status: object) -> None:
    """Do nothing with a status."""


@pytest.mark.parametrize("observer", [on_run, Watch()])
def test_an_async_on_run_is_refused_by_a_sync_supervisor(observer):
    """It could not be awaited, and would be a watchdog that never barks."""
    ticket = declare(Sweep)
    supervisor = Supervisor(ticket, on_run=observer, startup_check=False)

    with pytest.raises(InvalidArgument, match="on_run is an async function"):
        supervisor.start()
    with pytest.raises(InvalidArgument, match="on_run is an async function"):
        supervisor.run_now(ticket)

    assert 0 == supervisor.status()[0].runs


def test_a_coroutine_of_a_plain_on_run_fails_alone_in_a_sync_program():
    """The run is not undone by an observer that cannot end."""
    ticket = declare(Sweep)
    supervisor = Supervisor(ticket, on_run=lambda _status: asyncio.sleep(1), startup_check=False)

    assert {"Sweep": "done"} == supervisor.run_now(ticket)
