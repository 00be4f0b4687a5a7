"""A named group of resources: seals and verifies them, and makes their storage."""

from __future__ import annotations

import copy
import threading
import weakref
from collections.abc import Callable, Hashable
from typing import Any

from resourcekit.dsl.compiler import raise_all, verify
from resourcekit.engine.drive import BothColours
from resourcekit.errors import DeclarationError
from resourcekit.resource import Resource, adopt_with, info, registered

__all__ = ["Domain", "Resource", "default_domain", "info"]


class Domain:
    """A named group of resources.

    It is sealed before the first use of any of its resources: verifiers that look across resources run then, once for
    the members of that moment. What they find is raised at each use until the group changes.

    watchers: called with each resource that joins, before anybody can use it.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.watchers: list[Callable[[Any], object]] = []
        self._members: list[weakref.ref[Any]] = []
        self._sealed = False
        self._error: DeclarationError | None = None
        self._lock = threading.RLock()

    @property
    def resources(self) -> tuple[Any, ...]:
        """The members, in the order of declaration; of classes declared again in this domain, the last one."""
        alive = [member for reference in self._members if (member := reference()) is not None]
        latest = {(member.__module__, member.__qualname__): member for member in alive}
        return tuple(latest.values())

    def join(self, resource: Any) -> None:
        """Take a resource in; the domain is open again until the next use."""
        with self._lock:
            self._members.append(weakref.ref(resource))
            self.reopen()
            resource.__runtime__.ready = self.before_first_use
            for watch in self.watchers:
                watch(resource)

    def reopen(self) -> None:
        """Let the domain be sealed anew before the next use, because a member, or where one is kept, has changed."""
        with self._lock:
            self._sealed, self._error = False, None

    def before_first_use(self) -> None:
        """Seal the domain where it is open. Raises what sealing found, each time again."""
        if not self._sealed:
            self.seal()

    def seal(self) -> None:
        """Verify the members against each other. Raises DeclarationError, or several together."""
        with self._lock:
            if self._error is not None:
                raise copy.copy(self._error)
            if self._sealed:
                return
            errors = [error for member in self.resources for error in verify(member.__info__, across=True)]
            errors += _shared_places(self.resources)
            try:
                raise_all(errors)
            except DeclarationError as error:
                # A copy each time: an error that was raised holds the frames of all who saw it.
                self._error = copy.copy(error)
                raise
            self._sealed = True

    @property
    def create_storage(self) -> BothColours[[], None]:
        """Create tables and indexes of all members; does nothing where they stand, and is safe when processes race."""
        return BothColours(self._create_storage)

    async def _create_storage(self) -> None:
        self.before_first_use()
        for member in self.resources:
            await member.__runtime__.store.create_storage()

    def __repr__(self) -> str:
        """``<domain accounts: Token, User>``."""
        return f"<domain {self.name}: {', '.join(member.__name__ for member in self.resources)}>"


def _shared_places(members: tuple[Any, ...]) -> list[DeclarationError]:
    """Find two resources, of whatever domain, that would keep their records in one place."""
    places: dict[Hashable, Any] = {}
    errors: list[DeclarationError] = []
    for resource in registered():
        if resource not in members and not resource.__runtime__.is_bound:
            continue  # another domain's, with a setting that is read when that one is sealed
        place = resource.__runtime__.store.place
        other = resource if place is None else places.setdefault(place, resource)
        if other is not resource and (resource in members or other in members):
            errors.append(
                DeclarationError(
                    "RK051",
                    f"keeps its records where {other.__info__.qualified_name} ({other.__info__.origin}) does",
                    resource=resource.__name__,
                    path=("data_layer",),
                    origin=resource.__info__.origin,
                    hint="Give one of the two a table of its own: SQL(..., table='...').",
                )
            )
    return errors


default_domain = Domain("default")
"""Takes all resources that name no domain."""

adopt_with(default_domain)
