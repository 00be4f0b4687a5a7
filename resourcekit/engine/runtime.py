"""What the engine keeps for one resource: its facts, its store, and what was compiled for them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Any, NamedTuple, Protocol, TypeVar

from resourcekit.data_layers.base import Operation, Plan, Row, Select, Store
from resourcekit.engine.casting import Cast, compile_cast
from resourcekit.engine.conditions import Conditions
from resourcekit.errors import DeclarationError, InvalidArgument
from resourcekit.flow.expression import Compare, Expression, Field, Param, all_of
from resourcekit.flow.shape import Shaper
from resourcekit.resource_info import ResourceInfo

__all__ = ["Bench", "Resource", "Runtime", "runtime_of"]

T = TypeVar("T")


_MOST_KEPT = 1000
"""Things compiled for one store. A program has some dozens of shapes; one that builds shapes without end must not grow."""

_keeping = threading.Lock()


class Resource(Protocol):
    """What the engine needs of a resource class; the class itself is made two floors up."""

    __name__: str
    __info__: ResourceInfo
    __runtime__: Runtime


class Bench(NamedTuple):
    """A store with what was compiled for it, which no other store can run. store: ``None`` until it is bound."""

    store: Store | None
    kept: dict[Hashable, Any]


class Runtime:
    """The working side of a resource.

    ready: seals the domain before the first use; raises what sealing found, each time again.
    """

    def __init__(self, resource: Any, info: ResourceInfo, bind: Callable[[], Store], ready: Callable[[], None]) -> None:
        self.resource = resource
        self.info = info
        self.ready = ready
        self._bind = bind
        self._store: Store | None = None
        self._kept: dict[Hashable, Any] = {}
        self.key = info.primary_key
        self.fields = tuple(info.attributes)
        self.casts: dict[str, Cast] = {
            name: compile_cast(attribute.type, attribute.constraints) for name, attribute in info.attributes.items()
        }
        self.conditions = Conditions(info)
        self.by_key = all_of(*(Compare("==", Field(name), Param(f"key_{name}")) for name in self.key))

    @property
    def store(self) -> Store:
        """The store, bound when it is first needed. Raises DeclarationError for settings that cannot be."""
        if self._store is None:
            try:
                self._store = self._bind()
            except DeclarationError as error:  # a layer does not know whose it is
                error.resource = error.resource or self.info.name
                error.origin = error.origin or str(self.info.origin)
                raise
        return self._store

    @property
    def is_bound(self) -> bool:
        """The store is there already."""
        return self._store is not None

    def swap(self, bench: Bench) -> Bench:
        """Work with another store, and with what was compiled for that one; returns the former ones, to be put back."""
        former = Bench(self._store, self._kept)
        self._store, self._kept = bench
        return former

    def keep(self, key: Hashable, make: Callable[..., T], *args: Any) -> T:
        """Return what was compiled under this key, by ``make(*args)`` the first time."""
        try:
            return self._kept[key]  # type: ignore[no-any-return]  # the key decides the type
        except KeyError:
            made = make(*args)
        with _keeping:
            self._kept[key] = made
            if len(self._kept) > _MOST_KEPT:  # the oldest goes; what is still used is compiled once more
                del self._kept[next(iter(self._kept))]
        return made

    def plan(self, key: Hashable, operation: Callable[[], Operation]) -> Plan:
        """Return the plan of an operation shape, compiling it the first time."""
        return self.keep(("plan", key), lambda: self.store.compile(operation()))

    def shape(self, shaper: Shaper, condition: Expression | None) -> tuple[Expression | None, object]:
        """Part a condition into its shape and its values; see Conditions for what is refused."""
        return (None, None) if condition is None else shaper.shape(self.conditions.condition(condition))

    def record(self, row: Row) -> Any:
        """Make a record of a row; the row becomes the record's own."""
        record = object.__new__(self.resource)
        object.__setattr__(record, "__dict__", row)
        return record

    def key_params(self, record_or_key: Any) -> dict[str, Any]:
        """Return the parameters of ``by_key`` for a record, a key, or a tuple of a composite key's parts.

        Raises CastError for a key of the wrong type, and InvalidArgument for a record of another resource or a key with
        too few parts.
        """
        if isinstance(record_or_key, self.resource):
            return {f"key_{name}": getattr(record_or_key, name) for name in self.key}
        if hasattr(type(record_or_key), "__runtime__"):
            raise InvalidArgument(f"needs a {self.info.name} or its key, not a {type(record_or_key).__name__}")
        parts = record_or_key if len(self.key) > 1 and isinstance(record_or_key, tuple) else (record_or_key,)
        if len(parts) != len(self.key):
            raise InvalidArgument(f"needs the key as a tuple of {', '.join(self.key)}", resource=self.info.name)
        return {f"key_{name}": self.casts[name](part) for name, part in zip(self.key, parts, strict=True)}

    def is_record(self, value: object) -> bool:
        """Tell whether a value is a record of this resource (and no key)."""
        return isinstance(value, self.resource)

    async def fetch(self, key: dict[str, Any], condition: Expression | None = None) -> Any:
        """Return the record with a key, if the condition holds of it; ``None`` where there is none."""
        shaper = Shaper()
        extra, shape = self.shape(shaper, condition)
        plan = self.plan(("by key", shape), lambda: Select(all_of(self.by_key, extra)))
        rows = await self.store.select(plan, {**key, **shaper.params})
        return self.record(rows[0]) if rows else None


def runtime_of(resource: Any) -> Runtime:
    """Return the working side of a resource, ready for use.

    Raises InvalidArgument for what is no resource, and for an abstract one; and what sealing found.
    """
    runtime = getattr(resource, "__runtime__", None)
    if not isinstance(runtime, Runtime) or runtime.resource is not resource:
        named = getattr(resource, "__name__", type(resource).__name__)
        what = "is abstract: declare a resource of it" if hasattr(resource, "__info__") else "is no resource class"
        raise InvalidArgument(f"{named} {what}")
    runtime.ready()
    return runtime
