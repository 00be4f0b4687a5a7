"""Domains and the registry: sealing, what is remembered of a broken one, and classes that go away."""

from __future__ import annotations

import gc
import threading
import traceback
import weakref
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any, ClassVar

import attrs
import pytest

from resourcekit import Attr, Domain, Resource, attribute, create, get, query
from resourcekit.domain import default_domain
from resourcekit.errors import DeclarationError, DeclarationErrors
from resourcekit.extending import Extension, Finding, ResourceInfo, Service, Verifier, registered

SEEN: list[str] = []


class NoTwin(Verifier):
    """No two resources of the domain have the same docstring."""

    across: ClassVar[bool] = True

    def verify(self, info: ResourceInfo, options: object) -> Iterable[Finding]:
        """Look at the others."""
        SEEN.append(info.name)
        domain = info.options["domain"]
        twins = [each for each in domain.resources if each.__info__.doc == info.doc and each.__name__ != info.name]  # type: ignore[attr-defined]
        for twin in twins:
            yield Finding(id="TWIN", what=f"says the same as {twin.__name__}", cure="Say something else.", origin=info.origin)


class Idle(Service):
    """A service that does nothing."""

    def interval(self, options: object) -> timedelta:
        """Run once an hour."""
        return timedelta(hours=1)

    async def run(self, context: object) -> None:
        """Do nothing."""


@attrs.frozen(kw_only=True)
class Unique(Extension):
    """Brings the verifier, and a service."""

    verifiers = (NoTwin,)
    services = (Idle,)


def declare(domain: Domain, name: str, doc: str) -> Any:
    """Declare a resource of that name with that docstring."""
    body = type(Resource).__prepare__(name, (Resource,))
    body.update({"__module__": __name__, "__qualname__": name, "__doc__": doc, "__annotations__": {"id": Attr[int]}})
    body["id"] = attribute(primary_key=True)
    body["write"] = create(accept=["id"])
    return type(Resource)(name, (Resource,), body, domain=domain, extensions=[Unique])


def test_sealing_looks_across_once() -> None:
    """Verifiers that look at other resources run at the first use, for all members, and not again."""
    domain = Domain("apart")
    one, two = declare(domain, "One", "one"), declare(domain, "Two", "two")
    SEEN.clear()
    one.write(id=1)
    two.write(id=1)
    domain.seal()

    assert ["One", "Two"] == SEEN


def test_a_broken_domain_says_so_at_every_use() -> None:
    """All findings come together, each use raises them again, and no frame of an earlier use is kept."""
    domain = Domain("twins")
    one, two = declare(domain, "One", "same"), declare(domain, "Two", "same")
    uses: list[Callable[[], object]] = [
        lambda: one.write(id=1),
        lambda: two.write.bulk([{"id": 1}]),
        lambda: query(one).all(),
        lambda: get(two, 1),
        domain.create_storage,
        domain.seal,
    ]
    depths = []
    for use in uses * 3:
        with pytest.raises(DeclarationErrors) as caught:
            use()
        assert [("TWIN", "One"), ("TWIN", "Two")] == [(each.code, each.resource) for each in caught.value.exceptions]
        depths.append(len(traceback.extract_tb(caught.value.__traceback__)))

    assert depths[6:12] == depths[12:]


def test_a_domain_opens_again_when_a_class_joins() -> None:
    """Declaring the wrong class again, right, mends the domain; a new member can break it."""
    domain = Domain("mended")
    one, two = declare(domain, "One", "same"), declare(domain, "Two", "same")
    with pytest.raises(DeclarationError):
        one.write(id=1)
    two = declare(domain, "Two", "other")

    assert 1 == one.write(id=1).id
    assert (one, two) == domain.resources
    three = declare(domain, "Three", "other")
    with pytest.raises(DeclarationErrors):
        one.write(id=2)
    assert three in domain.resources


def test_a_class_declared_again_replaces_the_old_one() -> None:
    """Under the same module and name, the last one counts, in the registry and in its domain."""
    domain = Domain("again")
    first = declare(domain, "Again", "one")
    second = declare(domain, "Again", "two")

    assert first is not second
    assert (second,) == domain.resources
    assert [second] == [each for each in registered() if each.__name__ == "Again"]


def test_classes_can_go_away() -> None:
    """Neither the registry nor a domain keeps an unused class alive, not even the error of a broken one."""
    domain = Domain("gone")
    one, two = declare(domain, "Gone", "same"), declare(domain, "GoneToo", "same")
    with pytest.raises(DeclarationError):
        one.write(id=1)
    with pytest.raises(DeclarationError):
        query(two).all()
    reference = weakref.ref(one), weakref.ref(two)
    del one, two
    gc.collect()

    assert (None, None) == (reference[0](), reference[1]())
    assert () == domain.resources
    assert not [each for each in registered() if each.__name__.startswith("Gone")]


def test_the_default_domain_takes_all_others() -> None:
    """A resource that names no domain belongs to the default one."""

    class Homeless(Resource):
        id: Attr[int] = attribute(primary_key=True)
        write = create(accept=["id"])

    assert Homeless in default_domain.resources
    assert 1 == Homeless.write(id=1).id


def test_a_domain_is_sealed_once_by_many_threads() -> None:
    """Threads that begin at once wait for one sealing, and all find it done."""
    domain = Domain("threads")
    one = declare(domain, "Threaded", "one")
    SEEN.clear()
    barrier, failures = threading.Barrier(8), list[Exception]()

    def use(number: int) -> None:
        barrier.wait()
        try:
            one.write(id=number)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=use, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    assert ["Threaded"] == SEEN
    assert 8 == query(one).count()


def test_the_text_of_a_domain() -> None:
    """It names its members."""
    domain = Domain("shown")
    kept = [declare(domain, "One", "one"), declare(domain, "Two", "two")]

    assert 2 == len(kept)
    assert "<domain shown: One, Two>" == repr(domain)
