"""Moves resources to Memory for the duration of a test."""

from __future__ import annotations

from types import ModuleType, TracebackType
from typing import Any, Self

from resourcekit.actions.runtime import BoundStore, Runtime
from resourcekit.data_layers.memory import Memory
from resourcekit.data_layers.named import bound
from resourcekit.discovery import find_resources
from resourcekit.domain import Domain, default_domain
from resourcekit.resource import info

__all__ = ["in_memory"]


class in_memory:  # noqa: N801  # a context manager, named as it is used: with in_memory(accounts):
    """Keep the records of resources on a new, empty Memory inside a block, instead of their data layer.

    ``with in_memory(accounts): ...`` or ``async with``: every resource of a domain, including those that are declared inside
    the block. It also takes resources, modules and texts, as ``Supervisor`` does. Settings are not read: ``SQL(env(...))``
    works with the variable unset. After the block, even after an error, each resource has its former data layer and records;
    the records of the block are gone.

    The block applies to all threads and tasks. Blocks may be nested: the inner one starts empty. Raise DeclarationError if no
    resource is found, or if Memory cannot keep a resource.
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
            block.watch()
            for resource in dict.fromkeys(resources):
                block.move(resource)
            self._blocks.append(block)
            return self  # noqa: TRY300  # an exception at this very line is one of those that are caught here
        except BaseException:
            self._blocks = [each for each in self._blocks if each is not block]
            block.put_back()
            raise

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Restore the resources."""
        try:
            self._leave()
        except BaseException:  # from outside; going on with what is left changes nothing else
            self._leave()
            raise

    def _leave(self) -> None:
        if self._blocks and self._blocks[-1].put_back():
            self._blocks.pop()

    async def __aenter__(self) -> Self:
        """Move the resources."""
        return self.__enter__()

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Restore the resources."""
        self.__exit__(kind, error, trace)


class _Moved:
    """The resources of one block, with their former stores."""

    def __init__(self, domains: list[Domain]) -> None:
        self._layer = Memory()
        self._domains = domains
        self._former: list[tuple[Any, BoundStore]] = []

    def watch(self) -> None:
        """Also move resources that are declared from now on."""
        for domain in self._domains:
            domain.watchers.append(self.move)

    def move(self, resource: Any) -> None:
        """Give a resource a new store in memory."""
        runtime: Runtime = resource.__runtime__
        self._former.append((resource, runtime.bound))
        runtime.swap(BoundStore(bound(self._layer, runtime.info), {}))
        _domain_of(resource).reopen()

    def put_back(self) -> bool:
        """Restore the store of each resource, the last one first. Doing it again goes on with what is left. Return True."""
        for domain in self._domains:
            while self.move in domain.watchers:
                domain.watchers.remove(self.move)
        while self._former:
            resource, bound_store = self._former[-1]
            resource.__runtime__.swap(bound_store)
            _domain_of(resource).reopen()
            self._former.pop()
        return True


def _domain_of(resource: Any) -> Domain:
    named = info(resource).options.get("domain")
    return named if isinstance(named, Domain) else default_domain
