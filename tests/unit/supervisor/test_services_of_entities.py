"""Services that run for each entity of a kind, and services that need something of the data layer."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, ClassVar

import attrs
import pytest
from supervised import Keyed, Sweep, declare, scripted

from resourcekit import Domain
from resourcekit.data_layers import Memory
from resourcekit.errors import DeclarationError
from resourcekit.extending import Capability, Entity, Extension, Origin, Service, ServiceContext
from resourcekit.supervisor import Supervisor
from resourcekit.testing import declaration_errors


@attrs.frozen(kw_only=True, eq=False)
class Trigger(Entity):
    """Something to do again and again."""

    section: ClassVar[str] = "triggers"
    every: timedelta = timedelta(hours=1)


def trigger(every: timedelta) -> Any:
    """Declare a trigger."""
    return Trigger(every=every, origin=Origin.here())


class Pull(Service):
    """Runs a trigger."""

    name = "pull"
    each = Trigger
    once_per_fleet = True

    def interval(self, options: object) -> timedelta:
        every: timedelta = self.entity.every
        return every

    async def run(self, context: ServiceContext) -> str:
        return f"pulled {context.entity.name}"


class Triggers(Extension):
    """Brings triggers, and the service that runs them."""

    entities: ClassVar[tuple[type[Entity], ...]] = (Trigger,)
    services: ClassVar[tuple[type[Service], ...]] = (Pull,)


class NoLeases(Memory):
    """Memory that says it has no leases."""

    capabilities = Memory.capabilities - {Capability.LEASE}


def test_each_entity_has_an_interval_and_a_run_of_its_own():
    """A resource with two triggers has two jobs; each knows its entity."""

    class Ticket(Keyed, domain=Domain("d"), data_layer=Memory(), extensions=[Triggers]):
        nightly = trigger(timedelta(days=1))
        often = trigger(timedelta(minutes=1))

    supervisor = Supervisor(Ticket)

    assert {"pull.nightly": "pulled nightly", "pull.often": "pulled often"} == supervisor.run_now(Ticket)
    assert [timedelta(days=1), timedelta(minutes=1)] == [status.interval for status in supervisor.status()]


def test_the_interval_of_an_entity_is_checked():
    """An entity with an interval under a second is refused with the name of its job."""

    class Ticket(Keyed, domain=Domain("d"), data_layer=Memory(), extensions=[Triggers]):
        hasty = trigger(timedelta(0))

    with pytest.raises(DeclarationError, match=r"interval of pull\.hasty") as caught:
        Supervisor(Ticket)
    assert "RK075" == caught.value.code


def test_a_service_that_needs_leases_is_refused_on_a_layer_without_them():
    """The capability is asked for when the resource is declared, not when the service runs."""

    class Needy(Sweep):
        name = "needy"
        needs = frozenset({Capability.LEASE})

    class Needing(Extension):
        services = (Needy,)

    class Sound(Keyed, data_layer=Memory(), extensions=[Needing]):
        pass

    with declaration_errors() as errors:

        class Ticket(Keyed, data_layer=NoLeases(), extensions=[Needing]):
            pass

    assert [("RK050", ("services", "needy"), "of Needing needs leases, which NoLeases cannot do")] == [
        (error.code, error.path, error.what) for error in errors
    ]


def test_a_need_that_is_no_capability_is_the_author_s_mistake():
    """A text in place of the capability would never be met."""

    class Needy(Sweep):
        needs = frozenset({"lease"})

    with pytest.raises(DeclarationError, match="needs has 'lease', which is no capability") as caught:
        declare(Needy)
    assert "RK015" == caught.value.code


def test_two_services_of_one_name_are_refused():
    """They would share a lease and a result."""
    with pytest.raises(DeclarationError, match="two of this name") as caught:
        declare(scripted(name="sweep"), scripted(name="sweep"))
    assert "RK018" == caught.value.code


def test_a_service_that_cannot_be_made_is_named_with_its_extension():
    """An error of its own comes as a DeclarationError, with the extension."""

    class Broken(Sweep):
        def interval(self, options: Any) -> timedelta:
            return {}["every"]

    ticket = declare(Broken)
    with pytest.raises(DeclarationError, match=r"the service Broken of Sweeping cannot be made: KeyError: 'every'") as caught:
        Supervisor(ticket)
    assert "RK016" == caught.value.code


def test_a_kind_that_is_no_entity_is_refused():
    """``each`` names a class of entities."""
    with pytest.raises(DeclarationError, match="each must be a kind of entity"):

        class Odd(Extension):
            services = (type("Odd", (Sweep,), {"each": int}),)
