"""Doctor looks when a supervisor starts: what it finds is logged once, at its level, and nothing waits for it."""

from __future__ import annotations

import asyncio
import logging
import types

import pytest
from supervised import Keyed, Sweep

from resourcekit import Domain
from resourcekit import plugins as plugin_room
from resourcekit.data_layers import SQL
from resourcekit.extending import Check, Extension, Finding, ambient_context
from resourcekit.supervisor import Supervisor


@pytest.fixture(autouse=True)
def quiet(monkeypatch, caplog):
    """Let no installed plugin have a say, and hear everything."""
    monkeypatch.setattr(plugin_room, "_found", [()])
    caplog.set_level(logging.DEBUG, "resourcekit.doctor")


@pytest.fixture
def declare(tmp_path):
    """A function that returns a resource with a service and these checks, on a database of its own."""
    kept = []

    def make(*checks):
        class Watched(Extension):
            pass

        Watched.checks, Watched.services = checks, (Sweep,)
        domain = Domain("d")
        options = {"domain": domain, "data_layer": SQL(f"sqlite:///{tmp_path}/d.db"), "extensions": [Watched]}
        made = types.new_class("Ticket", (Keyed,), options, lambda body: body.update(__module__=__name__))
        domain.create_storage()
        kept.append((domain, made))
        return made

    return make


def looking(*received: object, reads_all: bool = False):
    """A check that returns these findings, or raises, or does what a function says."""

    class Looks(Check):
        async def check(self, info, options):
            for one in received:
                if isinstance(one, Exception):
                    raise one
                if callable(one):
                    one()
            return [one for one in received if isinstance(one, Finding)]

    Looks.reads_all = reads_all
    return Looks


def finding(level):
    """Return a finding of a level."""
    return Finding(id="XX001", what=f"it is {level}", cure="Mend it.", level=level)


def received(caplog):
    """Return level and text of what doctor logged."""
    return [(record.levelname, record.getMessage()) for record in caplog.records if record.name == "resourcekit.doctor"]


def test_each_finding_is_logged_at_its_level_once(caplog, declare):
    """The gravest first; not again when the same supervisor is started anew."""
    supervisor = Supervisor(declare(looking(finding("info"), finding("error"), finding("warning"))))
    for _ in "12":
        with supervisor:
            pass

    assert [
        (level, f"XX001 test_supervisor_startup_check.Ticket: it is {level.lower()}. Mend it.")
        for level in ("ERROR", "WARNING", "INFO")
    ] == received(caplog)


def test_findings_are_structured(caplog, declare):
    """A handler that writes JSON gets id, level and resource by name."""
    with Supervisor(declare(looking(finding("error")))):
        (record,) = [record for record in caplog.records if record.name == "resourcekit.doctor"]

    assert {"finding": "XX001", "level": "error", "resource": "test_supervisor_startup_check.Ticket"} == record.resourcekit


def test_a_sound_set_up_is_not_talked_about(caplog, declare):
    """Nothing found, nothing logged."""
    with Supervisor(declare(looking())):
        pass

    assert [] == received(caplog)


def test_it_can_be_left_out(caplog, declare):
    """Who lets doctor look elsewhere says so."""
    with Supervisor(declare(looking(finding("error"))), startup_check=False):
        pass

    assert [] == received(caplog)


def test_what_reads_whole_tables_is_not_asked(caplog, declare):
    """A fleet that starts must not read its tables once a worker."""
    with Supervisor(declare(looking(finding("error"), reads_all=True))):
        pass

    assert [] == received(caplog)


def test_a_check_that_fails_keeps_nothing_from_starting(caplog, declare):
    """It is a finding like any other, without the text of the error."""
    with Supervisor(declare(looking(KeyError("secret")))) as supervisor:
        assert "running" == supervisor.state

    assert ["RK081"] == [text.split()[0] for _, text in received(caplog)]
    assert "secret" not in str(received(caplog))


def test_it_has_two_seconds(declare):
    """Stores ask how long a call may take; a start does not wait for those that do not answer."""
    left = []
    with Supervisor(declare(looking(lambda: left.append(ambient_context().deadline.remaining())))):
        pass

    assert 0 < left[0] <= 2.0


def test_it_looks_in_a_loop_too(caplog, declare):
    """Under ``async with`` it asks the async drivers, and finds a layer that does not wait for its own."""
    ticket = declare(looking(finding("warning")))

    async def start():
        async with Supervisor(ticket):
            pass

    asyncio.run(start())
    sound = [text.split()[0] for _, text in received(caplog)]
    store = ticket.__runtime__.store

    async def blocking(plan, params):
        return False  # however long that took, no other replica held the lease

    store.aggregate = blocking
    asyncio.run(start())

    assert ["XX001"] == sound
    assert ["RK082", "XX001"] == sorted({text.split()[0] for _, text in received(caplog)})
