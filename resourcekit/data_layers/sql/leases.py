"""Leases: a name that at most one caller holds, kept as records of a small resource in the same database.

They are counted by a clock that all who share the database have in common (``common_time``), and that nobody sets where
there is such a one. What was counted by a clock of another name, before the host was started, is free.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Protocol

from resourcekit.data_layers.base import Delete, Insert, OnConflict, Operation, Params, Plan, Row, Select, Update
from resourcekit.data_layers.base import Lease as PortLease
from resourcekit.declarations.attribute import Attribute, Constraints
from resourcekit.declarations.value_type import read_annotation
from resourcekit.dsl.origin import Origin
from resourcekit.flow.clock import current_clock
from resourcekit.flow.expression import Existing, Field, Incoming, Param, all_of
from resourcekit.flow.result import WriteResult
from resourcekit.resource_info import ResourceInfo

__all__ = ["LEASE", "Lease"]


def _attribute(name: str, annotation: Any, **more: Any) -> Attribute:
    return Attribute(name=name, type=read_annotation(annotation), **more)


LEASE = ResourceInfo(
    name="Lease",
    module=__name__,
    origin=Origin(),
    entities=(
        _attribute("name", str, primary_key=True, constraints=Constraints(max_length=255)),
        _attribute("holder", str, constraints=Constraints(max_length=32)),
        _attribute("clock", str, constraints=Constraints(max_length=64)),
        _attribute("until", int),
    ),
    extensions={},
    options={},
    persisted={},
    functions={},
    history={},
)
"""The resource whose records are leases."""

_FREE = OnConflict(
    ("name",),
    set={field: Incoming(field) for field in ("holder", "clock", "until")},
    where=(Existing("until") <= Param("now")) | (Existing("clock") != Param("clock")),
)
_NAMED = Field("name") == Param("name")
_OURS = all_of(_NAMED, Field("holder") == Param("holder"), Field("clock") == Param("clock"))
_KEPT = Update(all_of(_OURS, Field("until") > Param("now")), {"until": Param("until")})


class _Keeps(Protocol):
    """What a lease needs of the store of leases."""

    async def create_storage_once(self) -> None:
        """Make the table where it is missing."""

    async def common_time(self) -> tuple[str, int]:
        """Return the name and the microseconds of the clock that counts."""
        ...

    def compile(self, operation: Operation) -> Plan:
        """Compile an operation."""
        ...

    async def insert(self, plan: Plan, rows: Sequence[Row], params: Params) -> WriteResult:
        """Insert rows."""
        ...

    async def update(self, plan: Plan, params: Params) -> WriteResult:
        """Update rows."""
        ...

    async def delete(self, plan: Plan, params: Params) -> WriteResult:
        """Delete rows."""
        ...

    async def select(self, plan: Plan, params: Params) -> Sequence[Row]:
        """Select rows."""
        ...


def _microseconds(ttl: timedelta) -> int:
    return ttl // timedelta(microseconds=1)


def _here(ttl: timedelta) -> datetime:
    """Return when a time is over by the clock of this call; records are kept by the database's."""
    return current_clock().now() + ttl


class Lease(PortLease):
    """See the port."""

    def __init__(self, store: _Keeps, name: str, ttl: timedelta) -> None:
        self._store, self._name, self._ttl = store, name, ttl
        self._holder, self._clock = "", ""
        self._holds = self._is_kept = False

    async def __aenter__(self) -> bool:
        """Try to take it; does not wait for whoever holds it."""
        await self._store.create_storage_once()
        self._clock, now = await self._store.common_time()
        self._holder = secrets.token_hex(16)
        plan = self._store.compile(Insert(("name", "holder", "clock", "until"), _FREE, returning=False))
        row = {"name": self._name, "holder": self._holder, "clock": self._clock, "until": now + _microseconds(self._ttl)}
        result = await self._store.insert(plan, [row], {"now": now, "clock": self._clock})
        for failure in result.failures:
            raise failure.error
        self._holds = result.count == 1
        self.until = _here(self._ttl) if self._holds else await self._free_at(now)
        return self._holds

    async def _free_at(self, now: int) -> datetime | None:
        plan = self._store.compile(Select(_NAMED, fields=("until",)))
        rows = await self._store.select(plan, {"name": self._name})
        return _here(timedelta(microseconds=rows[0]["until"] - now)) if rows else None

    async def keep(self, ttl: timedelta) -> bool:
        """See the port."""
        clock, now = await self._store.common_time()
        params = {**self._ours(), "clock": clock, "now": now, "until": now + _microseconds(ttl)}
        if (await self._store.update(self._store.compile(_KEPT), params)).count == 0:
            return False
        self._is_kept, self.until = True, _here(ttl)
        return True

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Give it back, if it is still ours and was not to be kept."""
        if self._holds and not self._is_kept:
            await self._store.delete(self._store.compile(Delete(_OURS)), self._ours())

    def _ours(self) -> Params:
        return {"name": self._name, "holder": self._holder, "clock": self._clock}
