"""What doctor collects, from whom, and that nothing it asks can stop it."""

from __future__ import annotations

import asyncio
import types
from collections.abc import Iterable

import attrs
import pytest

from resourcekit import Attr, Domain, Resource, attribute
from resourcekit import plugins as plugin_room
from resourcekit.data_layers import Memory
from resourcekit.data_layers.memory.store import MemoryStore
from resourcekit.doctor import doctor
from resourcekit.errors import DeclarationError, Unavailable
from resourcekit.extending import Check, DataLayer, Extension, Finding, Verifier
from resourcekit.plugins import Plugin


class Keyed(Resource, abstract=True):
    id: Attr[int] = attribute(primary_key=True)


class SoundStore(MemoryStore):
    found: object = ()

    async def health(self) -> Iterable[Finding]:
        if isinstance(self.found, Exception):
            raise self.found
        return self.found


@attrs.frozen(kw_only=True)
class Sound(Memory):
    """A layer whose health is what the test says; all is well unless it does."""

    found: object = ()

    def bind(self, info):
        store = SoundStore(info)
        store.found = self.found
        return store


@pytest.fixture(autouse=True)
def no_plugins(monkeypatch):
    """Let no installed plugin have a say."""
    monkeypatch.setattr(plugin_room, "_found", [()])


def declare(*, layer: DataLayer | None = None, checks=(), verifiers=(), domain: Domain | None = None, name: str = "Ticket"):
    """Return a resource, sound but for what is given."""

    class Checked(Extension):
        pass

    Checked.checks, Checked.verifiers = tuple(checks), tuple(verifiers)
    options = {"domain": domain or Domain("d"), "data_layer": layer or Sound(), "extensions": [Checked]}
    return types.new_class(name, (Keyed,), options, lambda body: body.update(__module__=__name__))


def check(outcome: object) -> type[Check]:
    """A check that returns what is given, or raises it."""

    class Looks(Check):
        async def check(self, info, options):
            if isinstance(outcome, BaseException):
                raise outcome
            return outcome

    return Looks


def finding(level: str = "warning", **facts: str) -> Finding:
    """Return a finding in which only what is given matters."""
    return Finding(**{"id": "XX001", "what": "w", "cure": "c", "level": level, **facts})


def test_a_sound_resource_has_no_finding():
    """Where all is well doctor returns nothing."""
    assert () == doctor(declare(checks=[check([])]))


def test_memory_is_found():
    """Records kept in one process are a warning, RK150, with the cure and the name of the resource."""
    (found,) = doctor(declare(layer=Memory()))

    assert ("RK150", "warning", "test_doctor.Ticket") == (found.id, found.level, found.resource)
    assert found.cure


def test_findings_of_checks_and_stores_carry_their_resource():
    """Who returns a finding need not name the resource; a resource that is named stays."""
    layer = Sound(found=(finding(id="XX002"),))
    found = doctor(declare(layer=layer, checks=[check([finding(), finding(resource="Other")])]))

    assert {("XX002", "test_doctor.Ticket"), ("XX001", "test_doctor.Ticket"), ("XX001", "Other")} == {
        (one.id, one.resource) for one in found
    }


def test_the_gravest_come_first_and_each_once():
    """Errors come first, then warnings, then information."""
    findings = [finding("info"), finding("warning"), finding("error"), finding("info")]

    assert ["error", "warning", "info"] == [one.level for one in doctor(declare(checks=[check(findings)]))]


def test_checks_get_facts_and_options():
    """A check sees the resource's facts and the options of its own extension."""
    seen: list[object] = []

    class Looks(Check):
        async def check(self, info, options):
            seen.extend((info.name, type(options).__name__))
            return ()

    doctor(declare(checks=[Looks]))

    assert ["Ticket", "Checked"] == seen


def test_a_check_that_fails_is_a_finding_and_stops_no_other():
    """RK081 names the check and the error's type, without its text; the next check runs."""
    found = doctor(declare(checks=[check(KeyError("secret")), check([finding()])]))

    assert ["RK081", "XX001"] == [one.id for one in found]
    assert "KeyError" in found[0].what
    assert "secret" not in str(found)


def test_a_check_that_suspends_fails_alone_in_a_sync_call():
    """Asked in a sync program it is RK081; in a loop it is a check like any other."""

    class Waits(Check):
        async def check(self, info, options):
            await asyncio.sleep(0)
            return [finding()]

    ticket = declare(checks=[Waits, check([])])

    assert ["RK081"] == [one.id for one in doctor(ticket)]
    assert ["XX001"] == [one.id for one in asyncio.run(doctor.aio(ticket))]


class Blocking(SoundStore):
    """The store of a layer that keeps records somewhere else, and never gives way while it waits for them."""

    place = "somewhere else"


@attrs.frozen(kw_only=True)
class BlockingLayer(Sound):
    """Keeps records there."""

    def bind(self, info):
        return Blocking(info)


def test_a_layer_that_blocks_the_loop_is_found_where_it_is_awaited():
    """RK082 in an event loop, whose other tasks would wait; not in a sync call. Memory waits for nothing."""
    blocking, memory = declare(layer=BlockingLayer()), declare(layer=Memory(), name="Other")

    assert () == doctor(blocking)
    assert ["RK082"] == [one.id for one in asyncio.run(doctor.aio(blocking))]
    assert ["RK150"] == [one.id for one in asyncio.run(doctor.aio(memory))]


def test_a_store_that_cannot_be_read_is_a_finding():
    """Its health is good, and the first record that is asked for cannot be had."""

    class Closed(Blocking):
        async def aggregate(self, plan, params):
            raise Unavailable("grant this user what it needs")

    @attrs.frozen(kw_only=True)
    class ClosedLayer(Sound):
        def bind(self, info):
            return Closed(info)

    (found,) = doctor(declare(layer=ClosedLayer()))

    assert "RK080" == found.id
    assert "grant this user what it needs" in found.what


def test_a_store_that_cannot_be_asked_is_a_finding():
    """RK080 reports what the store answers; the other checks still run."""
    layer = Sound(found=Unavailable("no answer from the server"))
    found = doctor(declare(layer=layer, checks=[check([finding()])]))

    assert {"RK080", "XX001"} == {one.id for one in found}
    assert "Unavailable: no answer from the server" in found[0].what


def test_a_declaration_error_of_a_store_or_check_keeps_its_code():
    """A missing setting is reported as such, and not as a store that is down."""
    error = DeclarationError("RK020", "X is not set", hint="Set X.")
    found = doctor(declare(layer=Sound(found=error), checks=[check(error)]))

    assert [("RK020", "Set X.")] == [(one.id, one.cure) for one in found]


def test_what_sealing_refuses_is_found():
    """All errors of a domain that cannot be sealed are findings, each once though several members report it."""

    class Across(Verifier):
        across = True

        def verify(self, info, options):
            return [Finding(id="XX009", what=f"{info.name} is wrong", cure="c")]

    domain = Domain("broken")
    members = declare(domain=domain, verifiers=[Across]), declare(domain=domain, verifiers=[Across], name="Other")

    assert members == domain.resources
    assert [("XX009", "error")] * 2 == [(one.id, one.level) for one in doctor(domain)]


def test_warnings_of_verifiers_are_told():
    """A verifier's warning does not refuse the declaration; doctor is where it is heard."""

    class Warns(Verifier):
        def verify(self, info, options):
            return [finding("warning")]

    assert [("XX001", "test_doctor.Ticket")] == [(one.id, one.resource) for one in doctor(declare(verifiers=[Warns]))]


def test_a_broken_plugin_is_found(monkeypatch):
    """RK060 names plugin, package and error, whatever is examined."""
    monkeypatch.setattr(plugin_room, "_found", [(Plugin(name="p", package="pack", version="1", error="ImportError: x"),)])
    (found,) = doctor(declare())

    assert ("RK060", "warning") == (found.id, found.level)
    assert "ImportError: x" in found.what


def test_nothing_to_examine_is_an_error():
    """A target that names no resource raises; an empty answer would read as all is well."""
    with pytest.raises(DeclarationError) as caught:
        doctor(Domain("empty"))

    assert "RK071" == caught.value.code
