"""Leases in an SQL database: names that at most one caller holds, stored as records of a small resource.

Their times are those of a clock that all users of the database share (``common_time``). If possible it is a monotonic clock,
which is never set. A lease from before a restart of the host has another clock name, and counts as free.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Protocol

from resourcekit.call_context import Call, apart
from resourcekit.clock import current_clock
from resourcekit.data_layers.base import Delete, Insert, OnConflict, Operation, Params, Plan, Row, Select, Update
from resourcekit.data_layers.base import Lease as PortLease
from resourcekit.data_layers.sql.dialects.columns import encode_moment
from resourcekit.declarations.attribute import Attribute, Constraints
from resourcekit.declarations.value_type import read_annotation
from resourcekit.dsl.diagnostics import Origin
from resourcekit.errors import Unavailable
from resourcekit.expressions.nodes import Existing, Field, Incoming, Param, all_of
from resourcekit.resource_info import ResourceInfo
from resourcekit.results import WriteResult

__all__ = ["LEASE", "Lease", "record_setting", "recorded_setting"]


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


_SETTING = "setting"
"""The clock of a row that holds a shared setting: ``until`` is its value, ``holder`` the moment at which it was recorded last."""

_RAISED = OnConflict(
    ("name",),
    set={field: Incoming(field) for field in ("holder", "clock", "until")},
    where=(Existing("until") <= Incoming("until")) | (Existing("holder") < Param("before")),
)


class _Keeps(Protocol):
    """The part of the store of leases that a lease needs."""

    async def create_storage_once(self) -> None:
        """Create the table if it is missing."""

    async def create_storage(self) -> None:
        """Create the table if it is missing, even if this process has created it before."""

    async def common_time(self) -> tuple[str, int]:
        """Return name and time in microseconds of the shared clock."""
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
    """Return the end of a duration by the clock of this call; records use the shared clock."""
    return current_clock().now() + ttl


class Lease(PortLease):
    """A lease whose record is in the database."""

    def __init__(self, store: _Keeps, name: str, ttl: timedelta) -> None:
        self._store, self._name, self._ttl = store, name, ttl
        self._holder, self._clock = "", ""
        self._holds = self._is_kept = False

    async def __aenter__(self) -> bool:
        """Try to take the lease, without waiting for its holder. If the table was dropped meanwhile, create it again."""
        with apart(Call()):  # a lease surrounds long work, so it has a timeout of its own
            return await self._take_anew()

    async def _take_anew(self) -> bool:
        await self._store.create_storage_once()
        try:
            return await self._take()
        except Unavailable as gone:
            if not gone.is_storage_missing:
                raise
        await self._store.create_storage()
        return await self._take()

    async def _take(self) -> bool:
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
        with apart(Call()):
            return await self._keep(ttl)

    async def _keep(self, ttl: timedelta) -> bool:
        clock, now = await self._store.common_time()
        params = {**self._ours(), "clock": clock, "now": now, "until": now + _microseconds(ttl)}
        try:
            kept = (await self._store.update(self._store.compile(_KEPT), params)).count
        except Unavailable as gone:
            if not gone.is_storage_missing:
                raise
            kept = 0  # the lease is gone with the table
        if kept == 0:
            return False
        self._is_kept, self.until = True, _here(ttl)
        return True

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Release the lease, if it is still held and was not kept with ``keep``."""
        if self._holds and not self._is_kept:
            try:
                with apart(Call()):
                    await self._store.delete(self._store.compile(Delete(_OURS)), self._ours())
            except Unavailable as gone:
                if not gone.is_storage_missing:
                    raise

    def _ours(self) -> Params:
        return {"name": self._name, "holder": self._holder, "clock": self._clock}


async def record_setting(store: _Keeps, name: str, value: int, lowered_after: timedelta) -> int:
    """Record a setting in one statement, whatever other processes record at once, and return the value in force."""
    moment = current_clock().now()
    row = {"name": name, "holder": _as_text(moment), "clock": _SETTING, "until": value}
    params = {"before": _as_text(moment - lowered_after)}
    with apart(Call()):
        await store.create_storage_once()
        plan = store.compile(Insert(("name", "holder", "clock", "until"), _RAISED, returning=False))
        try:
            result = await store.insert(plan, [row], params)
        except Unavailable as gone:
            if not gone.is_storage_missing:
                raise
            await store.create_storage()
            result = await store.insert(plan, [row], params)
    for failure in result.failures:
        raise failure.error
    there = None if result.count else await recorded_setting(store, name)
    return value if there is None else there


async def recorded_setting(store: _Keeps, name: str) -> int | None:
    """Return the value of a setting; ``None`` if it, or the table, is not there."""
    try:
        with apart(Call()):
            rows = await store.select(store.compile(Select(_NAMED, fields=("until",))), {"name": name})
    except Unavailable as gone:
        if not gone.is_storage_missing:
            raise
        return None
    return rows[0]["until"] if rows else None


def _as_text(moment: datetime) -> str:
    """Return a moment as text of one length, which is ordered as moments are."""
    return f"{max(0, encode_moment(moment)):020d}"
