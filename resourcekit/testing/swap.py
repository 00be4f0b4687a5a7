"""Puts resources on Memory for the time of a test. It knows domains and what the engine keeps, and no other data layer."""

from __future__ import annotations

from types import ModuleType, TracebackType
from typing import Any, Self

from resourcekit.data_layers.memory import Memory
from resourcekit.discovery import find_resources
from resourcekit.domain import Domain, default_domain
from resourcekit.engine.runtime import Bench, Runtime
from resourcekit.resource import info

__all__ = ["in_memory"]


class in_memory:  # noqa: N801  # a context manager, named as it is used: with in_memory(accounts):
    """Keep the records of resources on a fresh, empty Memory inside a block, whatever data layer they name.

    ``with in_memory(accounts): ...`` or ``async with``: every resource of a domain, those too that are declared inside the
    block. Also takes resources, modules and texts, as ``Supervisor`` does. Settings are not read: ``SQL(env(...))`` works
    with the variable unset. Afterwards, after an error too, each resource works as before, with the records it had;
    those of the block are gone.

    All threads and tasks see it. Blocks may be nested: the inner one begins empty. Raises DeclarationError where nothing
    is found, or where Memory cannot keep a resource.
    """

    def __init__(self, *targets: Domain | type | ModuleType | str) -> None:
        self._targets = targets
        self._blocks: list[_Moved] = []

    def __enter__(self) -> Self:
        """Move the resources."""
        domains = [target for target in self._targets if isinstance(target, Domain)]
        others = [target for target in self._targets if not isinstance(target, Domain)]
        resources = [resource for domain in domains for resource in domain.resources]
        if others or not domains:
            resources += find_resources(*others)
        block = _Moved(domains)
        try:
            for resource in dict.fromkeys(resources):
                block.move(resource)
        except BaseException:
            block.put_back()
            raise
        self._blocks.append(block)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Put the resources back where they were."""
        self._blocks.pop().put_back()

    async def __aenter__(self) -> Self:
        """Move the resources."""
        return self.__enter__()

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Put the resources back where they were."""
        self.__exit__(kind, error, trace)


class _Moved:
    """The resources of one block, and what they worked with before."""

    def __init__(self, domains: list[Domain]) -> None:
        self._layer = Memory()
        self._domains = domains
        self._former: list[tuple[Any, Bench]] = []
        for domain in domains:
            domain.watchers.append(self.move)

    def move(self, resource: Any) -> None:
        """Give a resource a new store in memory."""
        runtime: Runtime = resource.__runtime__
        self._former.append((resource, runtime.swap(Bench(self._layer.bind(runtime.info), {}))))
        _domain_of(resource).reopen()

    def put_back(self) -> None:
        """Give each resource what it had, the last one first."""
        for domain in self._domains:
            domain.watchers.remove(self.move)
        while self._former:
            resource, bench = self._former.pop()
            resource.__runtime__.swap(bench)
            _domain_of(resource).reopen()


def _domain_of(resource: Any) -> Domain:
    named = info(resource).options.get("domain")
    return named if isinstance(named, Domain) else default_domain
