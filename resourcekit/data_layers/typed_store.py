"""A store for values of types that data layers do not know: embedded values, types of ``value_type``, text that ignores case.

It is between the engine and the store of the data layer, and converts rows, parameters and expressions. Only resources that
have such an attribute have it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Hashable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from datetime import datetime, timedelta
from typing import Any, NoReturn

import attrs

from resourcekit.data_layers.base import (
    Aggregate,
    Delete,
    DeleteInBatches,
    Insert,
    Lease,
    Operation,
    Params,
    Plan,
    Reference,
    Row,
    Select,
    Store,
    Transaction,
    Update,
)
from resourcekit.data_layers.owned_streams import OwnedStream
from resourcekit.data_layers.stored_expressions import Converted, Forms, Lowering
from resourcekit.data_layers.stored_forms import loader
from resourcekit.data_layers.stored_info import folded_name, folded_value
from resourcekit.data_layers.unstorable import PartialRow, unfit_value
from resourcekit.dsl.diagnostics import Finding
from resourcekit.errors import FieldFinding, Invalid, UniqueViolation, UnreadableValue
from resourcekit.resource_info import ResourceInfo
from resourcekit.results import WriteFailure, WriteResult
from resourcekit.signals import require_no_signal

__all__ = ["TypedStore"]


class _TypedPlan(Plan):
    """The plan of the data layer, with the parameters to convert."""

    __slots__ = ("converted", "inner", "loads")

    def __init__(self, operation: Operation, inner: Plan, converted: Iterable[Converted], loads: Mapping[str, Any]) -> None:
        super().__init__(operation)
        self.inner = inner
        self.converted = tuple(converted)
        self.loads = loads

    def params(self, given: Params) -> Params:
        """Return the parameters with their stored forms."""
        if not self.converted:
            return given
        return {**given, **{each.name: each.value(given) for each in self.converted}}


def _is_partial(operation: Operation) -> bool:
    return isinstance(operation, Select) and operation.partial


class TypedStore(Store):
    """The store of a data layer, for the types of the application.

    inner: the store of the data layer, which was bound to ``stored_info(info)``.
    """

    def __init__(self, inner: Store, info: ResourceInfo) -> None:
        self.inner, self.info, self.capabilities = inner, info, inner.capabilities
        self._forms = Forms(info)
        self._loads = {name: load for name, each in info.attributes.items() if (load := loader(each.type)) is not None}
        self._dumps = {name: form for name in info.attributes if (form := self._forms.of(name)) is not None}
        self._unfolded = {folded_name(name): name for name in self._forms.folded}

    def __getattr__(self, name: str) -> Any:
        """Return what only the store of this data layer has, such as its table."""
        return getattr(self.inner, name)

    # Plans

    def compile(self, operation: Operation) -> Plan:
        """Compile an operation with values in their stored form."""
        lowering = Lowering(self._forms)
        lowered, loads = self._lowered(operation, lowering)
        return _TypedPlan(operation, self.inner.compile(lowered), lowering.converted.values(), loads)

    def _lowered(self, operation: Operation, lowering: Lowering) -> tuple[Operation, Mapping[str, Any]]:
        match operation:
            case Select():
                return self._lowered_select(operation, lowering)
            case Insert(fields, conflict):
                if conflict is not None:
                    conflict = attrs.evolve(
                        conflict,
                        target=self._compared(conflict.target),
                        set=lowering.assigned(conflict.set),
                        where=lowering.condition(conflict.where),
                    )
                folded = tuple(folded_name(name) for name in fields if name in self._forms.folded)
                return attrs.evolve(operation, fields=(*fields, *folded), on_conflict=conflict), self._loads
            case Update(condition, assignments):
                lowered = attrs.evolve(
                    operation, condition=lowering.condition(condition), assignments=lowering.assigned(assignments)
                )
                return lowered, self._loads
            case Delete() | DeleteInBatches():
                return attrs.evolve(operation, condition=lowering.condition(operation.condition)), self._loads
            case Aggregate():
                loads = {name: load for name, load in self._loads.items() if name == operation.field}
                condition, order = lowering.condition(operation.condition), lowering.order(operation.order)
                return attrs.evolve(operation, condition=condition, order=order), loads

    def _lowered_select(self, operation: Select, lowering: Lowering) -> tuple[Operation, Mapping[str, Any]]:
        loads = dict(self._loads)
        for name, figure in (operation.figures or {}).items():
            loads.pop(name, None)
            if figure.kind != "count" and figure.field in self._loads:
                loads[name] = self._loads[figure.field]
        computed = {}
        for name, node in operation.computed.items():
            computed[name], form = lowering.computed(node)
            if form in self._loads:
                loads[name] = self._loads[form]
        fields = operation.fields
        if fields is None and self._unfolded:  # the folded attributes are not read
            fields = tuple(self.info.attributes)
        lowered = attrs.evolve(
            operation,
            condition=lowering.condition(operation.condition),
            order=lowering.order(operation.order),
            fields=fields,
            computed=computed,
            distinct=self._compared(operation.distinct),
            each=self._compared(operation.each),
        )
        return lowered, loads

    def _compared(self, names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(folded_name(name) if name in self._forms.folded else name for name in names)

    # Rows

    def _stored(self, row: Row) -> Row:
        stored = dict(row)
        for name, form in self._dumps.items():
            if name in stored:
                stored[name] = form.of(stored[name])
        for name in self._forms.folded:
            if name in stored:
                stored[folded_name(name)] = folded_value(stored[name])
        return stored

    def _loaded(self, row: Row, loads: Mapping[str, Callable[[Any], Any]], *, partial: bool = False) -> Row:
        """Return a row in the types of the application. partial: a row with an unreadable value becomes a PartialRow."""
        for folded in self._unfolded:
            row.pop(folded, None)
        wrong = list[str]()
        for name, load in loads.items():
            if row.get(name) is None:
                continue
            try:
                row[name] = load(row[name])
            except Exception as error:  # its text may contain the value
                require_no_signal(error)
                wrong.append(name)
        if not wrong:
            return row
        errors = {name: self._unreadable(name, row) for name in wrong}
        if not partial or not errors.keys().isdisjoint(self.info.primary_key):
            raise errors[wrong[0]]
        kept = {name: value for name, value in row.items() if name not in errors}
        return PartialRow(kept, {**getattr(row, "unreadable", {}), **errors})

    def _unreadable(self, name: str, row: Row) -> UnreadableValue:
        """Return the error for a stored value that does not fit its type, as if another program wrote it."""
        shown = [each for each in self.info.primary_key if each in row and not self.info.attributes[each].sensitive]
        return unfit_value(name, {each: row[each] for each in shown}, self.info.name)

    def _result(self, result: WriteResult, plan: _TypedPlan) -> WriteResult:
        failures = tuple(WriteFailure(each.index, self._renamed(each.error)) for each in result.failures)
        rows = tuple(self._loaded(row, plan.loads) for row in result.rows)
        return attrs.evolve(result, rows=rows, failures=failures)

    def _renamed(self, error: Exception) -> Exception:
        """Return an error that names an attribute in place of its folded one."""
        if not self._unfolded or not isinstance(error, Invalid):
            return error
        if isinstance(error, UniqueViolation):
            fields = [self._unfolded.get(name, name) for name in error.fields]
            return UniqueViolation(error.identity, fields, resource=error.resource, action=error.action)
        if type(error) is not Invalid:
            return error
        findings = [FieldFinding(self._unfolded.get(each.path, each.path), each.message) for each in error.findings]
        return Invalid(findings, resource=error.resource, action=error.action)

    def _raise(self, error: Invalid) -> NoReturn:
        renamed = self._renamed(error)
        raise renamed if renamed is not error else error

    # Calls

    async def select(self, plan: Plan, params: Params) -> Sequence[Row]:
        """Return the rows of a Select."""
        assert isinstance(plan, _TypedPlan)
        rows, partial = await self.inner.select(plan.inner, plan.params(params)), _is_partial(plan.operation)
        return [self._loaded(row, plan.loads, partial=partial) for row in rows]

    def stream(self, plan: Plan, params: Params) -> AsyncIterator[Row]:
        """Yield the rows of a Select on demand."""
        assert isinstance(plan, _TypedPlan)
        rows = OwnedStream(self.inner.stream(plan.inner, plan.params(params)))
        return self._streamed(rows, plan.loads, partial=_is_partial(plan.operation))

    async def _streamed(self, rows: OwnedStream[Row], loads: Mapping[str, Any], *, partial: bool) -> AsyncIterator[Row]:
        try:
            async for row in rows:
                yield self._loaded(row, loads, partial=partial)
        finally:
            await rows.aclose()

    async def insert(self, plan: Plan, rows: Sequence[Row], params: Params) -> WriteResult:
        """Insert rows in one transaction."""
        assert isinstance(plan, _TypedPlan)
        try:
            result = await self.inner.insert(plan.inner, [self._stored(row) for row in rows], plan.params(params))
        except Invalid as error:
            self._raise(error)
        return self._result(result, plan)

    async def update(self, plan: Plan, params: Params) -> WriteResult:
        """Run an Update atomically."""
        assert isinstance(plan, _TypedPlan)
        try:
            result = await self.inner.update(plan.inner, plan.params(params))
        except Invalid as error:
            self._raise(error)
        return self._result(result, plan)

    async def delete(self, plan: Plan, params: Params) -> WriteResult:
        """Run a Delete atomically."""
        assert isinstance(plan, _TypedPlan)
        return self._result(await self.inner.delete(plan.inner, plan.params(params)), plan)

    def delete_in_batches(
        self, plan: Plan, params: Params, *, pace: timedelta = timedelta(milliseconds=50), size: int | None = None
    ) -> AsyncIterator[int]:
        """Delete all rows that match, and yield the count of each batch."""
        assert isinstance(plan, _TypedPlan)
        return self.inner.delete_in_batches(plan.inner, plan.params(params), pace=pace, size=size)

    async def aggregate(self, plan: Plan, params: Params) -> Any:
        """Return the value of an Aggregate, for a figure of an attribute in the type of that attribute."""
        assert isinstance(plan, _TypedPlan)
        value = await self.inner.aggregate(plan.inner, plan.params(params))
        return value if value is None or not plan.loads else next(iter(plan.loads.values()))(value)

    # The rest of the port, as the data layer has it

    @property
    def group(self) -> Hashable:
        """Return the transaction group."""
        return self.inner.group

    @property
    def plain(self) -> Store:
        """Return the store of the data layer."""
        return self.inner

    @property
    def converted(self) -> frozenset[str]:
        """Return the attributes with a stored form or a folded text."""
        return self._forms.folded | frozenset(self._dumps)

    def keep_reference(self, reference: Reference[Store]) -> None:
        """Keep a foreign key: the store of the data layer does."""
        self.inner.keep_reference(reference)

    @property
    def place(self) -> Hashable:
        """Return where the rows are."""
        return self.inner.place

    @property
    def written_place(self) -> Hashable:
        """Return the place as the declaration writes it."""
        return self.inner.written_place

    async def identity(self) -> Hashable:
        """Return the identity that the server reports for the place."""
        return await self.inner.identity()

    async def record_setting(self, name: str, value: int, *, lowered_after: timedelta) -> int:
        """Record a number that the processes of a deployment share."""
        return await self.inner.record_setting(name, value, lowered_after=lowered_after)

    async def recorded_setting(self, name: str) -> int | None:
        """Return the number that was recorded last for a name."""
        return await self.inner.recorded_setting(name)

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        """Open a transaction, or a savepoint inside an open one."""
        return self.inner.transaction()

    def current_transaction(self) -> Transaction | None:
        """Return the open transaction of this thread or task."""
        return self.inner.current_transaction()

    def after_end(self, function: Callable[[BaseException | None], object]) -> bool:
        """Call a function after the open transaction ends."""
        return self.inner.after_end(function)

    def outside(self) -> AbstractContextManager[None] | None:
        """Return a context manager whose reads see what others have committed by now."""
        return self.inner.outside()

    def lease(self, name: str, ttl: timedelta) -> Lease:
        """Return a Lease on a name."""
        return self.inner.lease(name, ttl)

    async def now(self) -> datetime:
        """Return the time of the store's own clock."""
        return await self.inner.now()

    async def health(self) -> Iterable[Finding]:
        """Return a finding for each unsafe or missing thing."""
        return await self.inner.health()

    async def create_storage(self) -> None:
        """Create tables and indexes."""
        await self.inner.create_storage()

    async def close(self) -> None:
        """Close connections."""
        await self.inner.close()
