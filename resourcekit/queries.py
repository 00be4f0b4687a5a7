"""Queries that can run: the functions ``query``, ``get``, ``reload``, ``load`` and ``transaction``."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, TypeVar, overload

from resourcekit.actions.casting import CastError
from resourcekit.actions.drive import async_form
from resourcekit.actions.loaded import copied
from resourcekit.actions.loading import attach, check_loads, compute
from resourcekit.actions.read import fetch_one, primary_read, shown_query
from resourcekit.actions.resource_query import ResourceQuery
from resourcekit.actions.runtime import Runtime, runtime_of
from resourcekit.actions.single_loads import NOT_SINGLE, load_single
from resourcekit.call_context import ambient_context, drive, in_call_mode
from resourcekit.data_layers.base import Transaction
from resourcekit.dsl.option import MISSING
from resourcekit.errors import FieldFinding, Invalid, InvalidArgument, NotFound, NotInTransaction
from resourcekit.expressions.calls import checked_call
from resourcekit.expressions.nodes import Compare, Field, Operand, Value, all_of
from resourcekit.expressions.query import Loadable, Query
from resourcekit.known_names import KnownNames, shown

__all__ = ["ResourceQuery", "get", "load", "query", "reload", "transaction"]

R = TypeVar("R")


@checked_call("query", "write query(Ticket)")
def query(resource: type[R]) -> ResourceQuery[R]:
    """Start a query over the records that the resource's primary read shows. Raise InvalidArgument for any other class."""
    if not hasattr(resource, "__info__"):
        raise InvalidArgument(f"{shown(resource)} is no resource class")
    if not isinstance(resource, type):
        name = type(resource).__name__
        raise InvalidArgument(f"takes a resource class, not a record; write query({name}), or reload(record)", resource=name)
    return ResourceQuery(resource=resource)


class _Get:
    """Find one record by its primary key or an identity: ``get(Ticket, key)``, ``await get.aio(Ticket, subject="x")``."""

    @checked_call("get", "a composite key is one tuple: get(Ticket, (1, 2))")
    def __call__(self, resource: type[R], key: object = MISSING, /, **fields: object) -> R:
        """Return the record with this primary key, or with these values of an identity.

        resource: the resource class.
        key: the primary key; a tuple for a composite one.
        fields: the values of all attributes of one identity, or of the primary key, by name.

        Raise NotFound if there is no such record, or the primary read does not show it. Raise Invalid for a value of a wrong
        type. Raise InvalidArgument if the names are not those of an identity.
        """
        return drive(_get(resource, key, fields))

    @checked_call("get.aio", "a composite key is one tuple: get.aio(Ticket, (1, 2))")
    @async_form
    def aio(self, resource: type[R], key: object = MISSING, /, **fields: object) -> Coroutine[Any, Any, R]:
        """Return the record with this primary key, or with these values of an identity, async."""
        return in_call_mode(_get(resource, key, fields))


get = _Get()


class _Reload:
    """Read a record again: ``reload(ticket)``, ``await reload.aio(ticket)``."""

    @checked_call("reload", "it takes one record")
    def __call__(self, record: R) -> R:
        """Return the record as it is stored now. The given record does not change.

        Raise NotFound if the record was removed, or the primary read does not show it anymore. Raise InvalidArgument if the
        value is not a record.
        """
        return drive(_reload(record))

    @async_form
    def aio(self, record: R) -> Coroutine[Any, Any, R]:
        """Return the record as it is stored now, async."""
        return in_call_mode(_reload(record))


reload = _Reload()


class _LoadRelated:
    """Load related records: ``ticket = load(ticket, Ticket.tags)``, ``tickets = await load.aio(tickets, Ticket.tags)``."""

    @overload
    def __call__(self, records: Sequence[R], /, *relations: Loadable | Operand, **named: Loadable | Operand) -> list[R]: ...
    @overload
    def __call__(self, records: R, /, *relations: Loadable | Operand, **named: Loadable | Operand) -> R: ...
    @checked_call("load", "its first argument is a record, or a list of records")
    def __call__(self, records: Any, /, *relations: Loadable | Operand, **named: Loadable | Operand) -> Any:
        """Return the record, or a list of the records, with these relationships loaded, in one statement each.

        records: one record, or a list or tuple of records of one resource. They do not change; their attributes are not read
            again, and what was loaded before stays.
        relations, named: as for ``query(...).load``.

        Raise NotLoaded if the key of a relationship was not loaded. Raise InvalidArgument for a relationship of another resource.
        """
        return drive(_load(records, relations, named))

    @overload
    def aio(
        self, records: Sequence[R], /, *relations: Loadable | Operand, **named: Loadable | Operand
    ) -> Coroutine[Any, Any, list[R]]: ...
    @overload
    def aio(self, records: R, /, *relations: Loadable | Operand, **named: Loadable | Operand) -> Coroutine[Any, Any, R]: ...
    @async_form
    def aio(self, records: Any, /, *relations: Loadable | Operand, **named: Loadable | Operand) -> Any:
        """Return the record, or a list of the records, with these relationships loaded, async."""
        return in_call_mode(_load(records, relations, named))


load = _LoadRelated()


def _is_record(value: object) -> bool:
    return isinstance(getattr(type(value), "__runtime__", None), Runtime)


async def _load(given: Any, relations: Sequence[Loadable | Operand], named: Mapping[str, Loadable | Operand]) -> Any:
    if len(relations) == 1 and not named and _is_record(given) and isinstance(relations[0], Loadable):
        ambient_context().require_time()
        if (found := await load_single(given, relations[0])) is not NOT_SINGLE:
            return found
    asked = Query[Any]().load(*relations, **named)
    records = [given] if _is_record(given) else given
    if not isinstance(records, (list, tuple)) or not all(map(_is_record, records)):
        raise InvalidArgument(f"takes a record or a list of records, not {type(given).__name__}")
    kinds = {type(record) for record in records}
    if len(kinds) > 1:
        raise InvalidArgument(f"takes records of one resource, not of {' and '.join(sorted(kind.__name__ for kind in kinds))}")
    if not kinds:
        return []
    runtime = runtime_of(kinds.pop())
    ambient_context().require_time()
    check_loads(runtime, asked.loads)
    copies = list(map(copied, records))
    await attach(runtime, copies, asked.loads, shown_query)
    await compute(runtime, copies, asked.computed, shown_query)
    return copies if records is given else copies[0]


async def _reload(record: R) -> R:
    if not isinstance(getattr(type(record), "__runtime__", None), Runtime):
        raise InvalidArgument(f"needs a record, not {type(record).__name__}")
    return await _get(type(record), record, {})


def _identity(runtime: Runtime, fields: Mapping[str, object]) -> tuple[str, ...]:
    """Return the attributes of the identity that has exactly these names."""
    info = runtime.info
    groups = {"the primary key": runtime.key, **{name: one.fields for name, one in info.identities.items()}}
    found = next((group for group in groups.values() if set(group) == set(fields)), None)
    if found is None:
        known = "; ".join(f"{name} ({', '.join(group)})" for name, group in groups.items())
        what = (
            f"{', '.join(fields)} is no identity of {info.name}. Known: {known}. Use query(...).filter(...) for other attributes"
        )
        raise InvalidArgument(what, resource=info.name)
    return found


async def _get_by_identity(runtime: Runtime, fields: Mapping[str, object]) -> Any:
    names = _identity(runtime, fields)
    findings, values = list[FieldFinding](), dict[str, Any]()
    for name in names:
        try:
            values[name] = runtime.casts[name](fields[name])
        except CastError as error:
            findings += error.findings(name)
    if findings:
        raise Invalid(findings, resource=runtime.info.name)
    asked: Query[Any] = Query(all_of(*(Compare("==", Field(name), Value(value)) for name, value in values.items())))
    return await fetch_one(runtime, await primary_read(runtime).prepare(asked, {}, ambient_context()))


async def _get(resource: type[R], key: object, fields: Mapping[str, object]) -> R:
    runtime = runtime_of(resource)
    if (key is MISSING) is not bool(fields):
        raise InvalidArgument("takes a primary key, or the values of an identity by name", resource=runtime.info.name)
    if fields:
        ambient_context().require_time()
        by_identity: R = await _get_by_identity(runtime, fields)
        return by_identity
    try:
        params = runtime.key_params(key)
    except CastError as error:
        raise Invalid(error.findings(runtime.key[0]), resource=runtime.info.name) from None
    deployment = ambient_context()
    deployment.require_time()
    read = primary_read(runtime)
    shown = None if read.is_plain else await read.prepare(Query(), {}, deployment)
    found: R | None = await runtime.fetch(params, None if shown is None else shown.condition)
    if found is None:
        raise NotFound("there is no record with this key", resource=runtime.info.name)
    if shown is not None and shown.loads:
        check_loads(runtime, shown.loads)
        await attach(runtime, [found], shown.loads, shown_query)
    if shown is not None and shown.computed:
        await compute(runtime, [found], shown.computed, shown_query)
    return found


class transaction(KnownNames):  # noqa: N801  # a context manager, named as it is used: with transaction(Token, Ticket) as tx:
    """Run all calls inside the block as one transaction: all of their writes are committed, or none.

    For ``with`` and ``async with``. Inside an open transaction it is a savepoint. The resources must be able to share a
    transaction; otherwise InvalidArgument names the two that cannot.
    """

    __instead__ = dict.fromkeys(
        ("after_commit", "begin", "commit", "rollback"),
        "Open a block: with transaction(Ticket) as tx. It commits at its end, and rolls back at an error.",
    )

    @checked_call("transaction", "it takes resources, and no options")
    def __init__(self, *resources: type) -> None:
        if not resources:
            msg = "name the resources whose writes belong together: transaction(Token, Ticket)"
            raise InvalidArgument(msg)
        self._resources = resources
        self._open: AbstractAsyncContextManager[Transaction] | None = None

    def _begin(self) -> AbstractAsyncContextManager[Transaction]:
        stores = [runtime_of(resource).store for resource in self._resources]
        for resource, store in zip(self._resources, stores, strict=True):
            if store.group != stores[0].group:
                first = self._resources[0].__name__
                msg = f"{first} and {resource.__name__} are kept in different stores, which cannot share a transaction"
                raise InvalidArgument(msg)
        self._open = stores[0].transaction()
        return self._open

    def _end(self) -> AbstractAsyncContextManager[Transaction]:
        if self._open is None:
            msg = "the transaction was not begun; write: with transaction(...):"
            raise NotInTransaction(msg)
        return self._open

    def __enter__(self) -> Transaction:
        """Begin the transaction."""
        return drive(self._begin().__aenter__())

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> bool | None:
        """Commit, or roll back after an error."""
        return drive(self._end().__aexit__(kind, error, trace))

    async def __aenter__(self) -> Transaction:
        """Begin the transaction."""
        return await in_call_mode(self._begin().__aenter__())

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        """Commit, or roll back after an error."""
        return await in_call_mode(self._end().__aexit__(kind, error, trace))
