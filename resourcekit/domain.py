"""Domains: named groups of resources, which are sealed, verified and stored together."""

from __future__ import annotations

import copy
import threading
import weakref
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any

from resourcekit.actions.calculation_checks import check_calculations
from resourcekit.actions.drive import SyncAndAsync
from resourcekit.actions.joins import join_all
from resourcekit.actions.references import parents_first, refer_all
from resourcekit.actions.related_steps import compile_related_steps
from resourcekit.actions.runtime import Seal
from resourcekit.data_layers.named import read_extension
from resourcekit.dsl.compiler import expand, gathering, raise_all, verify, verify_domain
from resourcekit.dsl.diagnostics import Origin
from resourcekit.dsl.extension import Extension
from resourcekit.dsl.lazy import unresolved
from resourcekit.environment import EnvironmentVariable
from resourcekit.errors import DeclarationError, FieldFinding, InvalidArgument
from resourcekit.expressions.calls import checked_call
from resourcekit.forks import free_after_fork
from resourcekit.known_names import KnownNames, shown
from resourcekit.metaclass import adopt_with, registered
from resourcekit.resource import Resource, info
from resourcekit.resource_info import ResourceInfo

__all__ = ["Domain", "Resource", "default_domain", "info", "refuse_shared"]


class Domain(KnownNames):
    """A named group of resources.

    A domain is sealed before the first use of a member. Sealing runs the verifiers that involve several resources, once for
    the current members. Their errors are raised at each use until the domain changes.

    name: for messages.
    extensions: extensions that every member has, as if it named them: classes, instances, or names. A member, or its base
        class, that names one itself has that in its place. ``Audited.of(accounts)`` returns the options.
    cursor_secret: encrypts and authenticates the cursors of pages; at least 16 bytes, or ``env("NAME")``. An order by attributes
        that are sensitive or not public needs it, because cursors hold the values of their sort keys.
    watchers: functions that are called with each resource that joins, before its first use.

    Raise DeclarationError for extensions that cannot be read, and InvalidArgument for a secret that is too short.
    """

    @checked_call("Domain", "its parameters are: name, extensions, cursor_secret")
    def __init__(
        self,
        name: str,
        *,
        extensions: Sequence[Extension | type[Extension] | str] = (),
        cursor_secret: str | bytes | EnvironmentVariable | None = None,
    ) -> None:
        if not isinstance(name, str) or not name:  # type: ignore[redundant-expr]  # a number, for example
            what, hint = f"the name of a domain must be a text, is {name!r}", 'Write Domain("accounts").'
            raise DeclarationError("RK003", what, path=("Domain", "name"), origin=Origin.here(), hint=hint)
        self.name = name
        self.extensions = _read(extensions, name)
        if isinstance(cursor_secret, (str, bytes)):
            _secret_bytes(cursor_secret)
        self._cursor_secret = cursor_secret
        self.watchers: list[Callable[[Any], object]] = []
        self._members: list[weakref.ref[Any]] = []
        self._state = Seal()
        self._sealing = False
        self._error: DeclarationError | None = None
        self._lock = free_after_fork(threading.RLock())
        _domains.add(self)

    @property
    def resources(self) -> tuple[Any, ...]:
        """The members, in the order of declaration. If a class was declared again in this domain, only the last one counts."""
        alive = [member for reference in self._members if (member := reference()) is not None]
        latest = {(member.__module__, member.__qualname__): member for member in alive}
        return tuple(latest.values())

    def join(self, resource: Any) -> None:
        """Add a resource. The domain is sealed again before the next use."""
        with self._lock:
            self._members.append(weakref.ref(resource))
            self.reopen()
            resource.__runtime__.ready, resource.__runtime__.seal = self.before_first_use, self._state
            resource.__runtime__.cursor_secret = self._secret
            for watch in self.watchers:
                watch(resource)

    def _secret(self) -> bytes | None:
        given = self._cursor_secret
        if given is None:
            return None
        return _secret_bytes(given.read() if isinstance(given, EnvironmentVariable) else given)

    def reopen(self) -> None:
        """Seal the domain again before the next use, because a member or its data layer has changed."""
        with self._lock:
            self._state.is_done, self._error = False, None

    def before_first_use(self) -> None:
        """Seal the domain if it is not sealed. Raise the errors that sealing found, at every use."""
        if not self._state.is_done:
            self._seal()

    def seal(self) -> None:
        """Verify the members against each other, and what they need at run time, such as secrets. Call it when your program starts.

        The domains to which relationships lead are verified, too. Raise DeclarationError, or DeclarationErrors for several. The first use verifies the members too, but reads no secrets.
        """
        self._seal()
        for other in self._named_resources():
            other.__runtime__.ready()
        errors = [error for member in self.resources for error in verify(member.__info__, at_start=True)]
        raise_all([*errors, *verify_domain(self._facts(), self.name, at_start=True)])

    def _facts(self) -> list[ResourceInfo]:
        return [member.__info__ for member in self.resources]

    def _named_resources(self) -> list[Any]:
        """Return the resources of other domains to which relationships lead."""
        joins = [join for member in self.resources for join in member.__runtime__.joins.values()]
        named = [other for join in joins for other in (join.destination, join.through) if other is not None]
        return [other for other in named if other not in self.resources]

    def _seal(self) -> None:
        with self._lock:
            if self._error is not None:
                raise copy.copy(self._error)
            if self._state.is_done or self._sealing:  # a verifier that looks across resources may ask for the runtime of one
                return
            self._sealing = True
            try:
                errors = [error for member in self.resources for error in verify(member.__info__, across=True)]
                errors += verify_domain(self._facts(), self.name)
                errors += [error for member in self.resources for error in _unresolved(member.__info__)]
                errors += join_all(self.resources)
                errors += _shared_places(self.resources)
                errors += [] if errors else refer_all(self.resources)
                errors += [] if errors else compile_related_steps(self.resources)
                errors += [] if errors else check_calculations(self.resources)
            finally:
                self._sealing = False
            try:
                raise_all(errors)
            except DeclarationError as error:
                # A new copy for each raise: a raised error keeps a reference to the frames that it passed.
                self._error = copy.copy(error)
                raise
            self._state.is_done = True

    @property
    def create_storage(self) -> SyncAndAsync[[], None]:
        """Create the tables, indexes and foreign keys of all members, and of resources to which their foreign keys refer.

        Existing ones are kept, and processes may run this at the same time.
        """
        return SyncAndAsync(self._create_storage)

    async def _create_storage(self) -> None:
        self.before_first_use()
        for other in self._named_resources():
            other.__runtime__.ready()
        for member in parents_first(self.resources):
            await member.__runtime__.store.create_storage()
        raise_all(_shared_places(self.resources))  # the files exist now, so that two paths to one file can be detected
        for member in self.resources:
            await refuse_shared(member)

    def __repr__(self) -> str:
        """Return ``<domain accounts: Token, User>``."""
        return f"<domain {self.name}: {', '.join(member.__name__ for member in self.resources)}>"


def _read(given: Sequence[Any], domain: str) -> tuple[Extension, ...]:
    """Return the extensions that a domain names. Raise DeclarationError, or several together."""
    origin = Origin.here()
    errors: list[DeclarationError] = []
    found: list[Extension] = []
    if not isinstance(given, (list, tuple)):
        hint = "Write extensions=[...]."
        raise DeclarationError(
            "RK003",
            f"extensions must be a list, is {shown(given)}",
            resource=domain,
            path=("extensions",),
            origin=origin,
            hint=hint,
        )
    for each in given:
        with gathering(errors, domain, origin, ("extensions",)):
            found.append(read_extension(each))
    with gathering(errors, domain, origin):
        expand(found)
    raise_all(errors)
    return tuple(found)


def _unresolved(facts: ResourceInfo) -> Iterator[DeclarationError]:
    """Yield the errors of lazy references in the options and entities of a resource."""
    errors: list[DeclarationError] = []
    for kind, options in facts.extensions.items():
        with gathering(errors, facts.name, facts.origin):
            raise_all(list(unresolved(options, (kind.__name__,))))
    for entity in facts.entities:
        with gathering(errors, facts.name, facts.origin):
            raise_all(list(unresolved(entity, (entity.section, entity.name))))
    yield from errors


_SHORTEST_SECRET = 16
"""Fewest bytes of a secret for cursors: 128 bits."""


def _secret_bytes(given: str | bytes) -> bytes:
    secret = given.encode() if isinstance(given, str) else given
    if len(secret) >= _SHORTEST_SECRET:
        return secret
    what = f"must have at least {_SHORTEST_SECRET} bytes, for example of secrets.token_hex(32)"
    raise InvalidArgument(FieldFinding("cursor_secret", what))


_domains: weakref.WeakSet[Domain] = weakref.WeakSet()
_identities: weakref.WeakKeyDictionary[Any, Hashable] = weakref.WeakKeyDictionary()
"""Identities that servers reported for the places of resources whose storage this process created."""


def _bound() -> list[tuple[Domain, Any]]:
    """Return all resources whose data layer is bound, with their domains. Of a class declared again in a domain, only the
    last counts.
    """
    return [(domain, each) for domain in list(_domains) for each in domain.resources if each.__runtime__.is_bound]


def _is_same(one: tuple[Domain, Any], other: tuple[Domain, Any]) -> bool:
    """Return whether two classes are one resource that was declared again, as in a test or a notebook."""
    (domain, first), (other_domain, second) = one, other
    if first is second or first.__runtime__.declared_as != second.__runtime__.declared_as:
        return first is second
    written, other_written = first.__runtime__.store.written_place, second.__runtime__.store.written_place
    return domain.name == other_domain.name or written == other_written


def _shared_places(members: tuple[Any, ...]) -> list[DeclarationError]:
    """Find two resources, of any domains, that would store their records in the same place."""
    for member in members:
        _ = member.__runtime__.store  # bound now, if it binds late
    places: dict[Hashable, list[tuple[Domain, Any]]] = {}
    errors: list[DeclarationError] = []
    known = {id(resource): number for number, resource in enumerate(registered())}
    for found in sorted(_bound(), key=lambda each: known.get(id(each[1]), -1)):
        place = found[1].__runtime__.store.place
        if place is None:
            continue
        others = places.setdefault(place, [])
        other = next((each[1] for each in others if not _is_same(each, found)), None)
        if other is not None and (found[1] in members or other in members):
            errors.append(_shared(found[1], other))
        others.append(found)
    return errors


async def refuse_shared(member: Any) -> None:
    """Raise DeclarationError if the server reports that another resource stores its records in the same place."""
    identity = await member.__runtime__.store.identity()
    if identity is None:
        return
    _identities[member] = identity
    bound = _bound()
    mine = next((each for each in bound if each[1] is member), None)
    for each in bound:
        if mine is not None and _identities.get(each[1]) == identity and not _is_same(each, mine):
            raise _shared(member, each[1])


def _shared(resource: Any, other: Any) -> DeclarationError:
    return DeclarationError(
        "RK051",
        f"keeps its records where {other.__info__.qualified_name} ({other.__info__.origin}) does",
        resource=resource.__name__,
        path=("data_layer",),
        origin=resource.__info__.origin,
        hint="Give one of the two a table of its own: SQL(..., table='...').",
    )


default_domain = Domain("default")
"""The domain of all resources that name none."""

adopt_with(default_domain)
