"""Queries for groups of records: one dict for each combination of values, with figures that the store computes."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, Self

import attrs

from resourcekit.actions.drive import SyncAndAsync
from resourcekit.actions.figures import figure_field, group_key
from resourcekit.actions.pages import PageRequest
from resourcekit.actions.runtime import Runtime
from resourcekit.actions.selects import refuse_distinct
from resourcekit.call_context import ambient_context
from resourcekit.data_layers.base import Capability, Select, UnsupportedExpression
from resourcekit.data_layers.rows.groups import Grouping
from resourcekit.data_layers.stored_forms import Convert, dumper, loader
from resourcekit.declarations.grouped_query import GroupedQuery, GroupPageCall, Groups
from resourcekit.declarations.value_type import ValueType
from resourcekit.errors import FieldFinding, InvalidArgument, Misuse, did_you_mean
from resourcekit.expressions.aggregates import Figure, rank
from resourcekit.expressions.calls import checked_methods
from resourcekit.expressions.context_values import with_facts
from resourcekit.expressions.evaluation import compile_expression
from resourcekit.expressions.nodes import And, Expression, Field, Not, Operand, Or, Sort
from resourcekit.expressions.query import Query
from resourcekit.expressions.rewriting import children, fields_of, rebuild
from resourcekit.expressions.shape import Shaper
from resourcekit.known_names import KnownNames, shown
from resourcekit.results import Page

__all__ = ["ResourceGroups"]

Group = dict[str, Any]
Run = Callable[[Callable[[Runtime, Query[Any]], Coroutine[Any, Any, Any]]], Coroutine[Any, Any, Any]]
"""Runs a function with the prepared query, in its context."""


@checked_methods()
@attrs.frozen(eq=False)
class ResourceGroups(KnownNames, Groups):
    """The groups of a query, by the values of some attributes."""

    __instead__: ClassVar[Mapping[str, str]] = dict.fromkeys(
        ("all", "count", "first", "page"), "Name the figures first: .values(n=count()).all()."
    )

    run: Run
    runtime: Runtime
    keys: tuple[str, ...]

    @classmethod
    def of(cls, run: Run, runtime: Runtime, keys: tuple[object, ...]) -> ResourceGroups:
        """Return the groups. Raise InvalidArgument for something that is no attribute, or has values that cannot be grouped."""
        if not keys:
            raise InvalidArgument("group_by takes at least one attribute", resource=runtime.info.name)
        return cls(run, runtime, tuple(group_key(runtime, key) for key in keys))

    def values(self, **figures: Figure) -> GroupedQuery:
        """Name the figures of each group. Raise InvalidArgument with a finding for each figure that cannot be computed."""
        findings = []
        for name, figure in figures.items():
            if name in self.keys:
                findings.append(FieldFinding(name, "is the name of a key of the groups; choose another name"))
            elif not isinstance(figure, Figure):
                findings.append(
                    FieldFinding(name, f"must be a figure, such as count() or Order.price.sum(), not {shown(figure)}")
                )
            elif figure.kind != "count":
                try:
                    figure_field(self.runtime, figure.kind, Field(figure.field, figure.owner))
                except InvalidArgument as error:
                    findings += [FieldFinding(name, str(finding)) for finding in error.findings]
        if findings:
            raise InvalidArgument(findings, resource=self.runtime.info.name)
        return _Grouped(self, dict(figures))


@checked_methods()
@attrs.frozen(eq=False)
class _Grouped(KnownNames, GroupedQuery):
    """Groups with figures. Conditions, order and limit apply to the groups."""

    groups: ResourceGroups
    figures: Mapping[str, Figure]
    over: Query[Any] = Query()

    if not TYPE_CHECKING:  # type checkers refuse these anyway

        def _refused(self, *_: object) -> NoReturn:
            raise Misuse("a query of groups is no list, and has no truth value; run it: .all(), .first(), .page(limit=20)")

        __bool__ = __len__ = __iter__ = __getitem__ = __contains__ = _refused

    def filter(self, *conditions: Operand) -> Self:
        return self._with(self.over.filter(*conditions))

    def sort(self, *keys: Sort | Operand | str) -> Self:
        return self._with(self.over.sort(*keys))

    def limit(self, groups: int) -> Self:
        return self._with(self.over.limit(groups))

    def offset(self, groups: int) -> Self:
        return self._with(self.over.offset(groups))

    def _with(self, over: Query[Any]) -> Self:
        known = (*self.groups.keys, *self.figures)
        nodes = [*([] if over.condition is None else [over.condition]), *(key.by for key in over.order)]
        unknown = sorted({name for node in nodes for name in fields_of(node) if name not in known})
        if unknown:
            findings = [FieldFinding(name, f"is no key or figure. {did_you_mean(name, known)}".rstrip()) for name in unknown]
            raise InvalidArgument(findings, resource=self.groups.runtime.info.name)
        return attrs.evolve(self, over=over)

    @property
    def all(self) -> SyncAndAsync[[], list[Group]]:
        return SyncAndAsync(self._all)

    @property
    def first(self) -> SyncAndAsync[[], Group | None]:
        return SyncAndAsync(self._first)

    @property
    def count(self) -> SyncAndAsync[[], int]:
        return SyncAndAsync(self._count)

    @property
    def page(self) -> GroupPageCall:
        return SyncAndAsync(self._page)

    async def _all(self) -> list[Group]:
        found = await self.groups.run(self._read)
        first, most = self.over.row_offset, self.over.row_limit
        return self._sorted(found)[first : None if most is None else first + most]

    async def _first(self) -> Group | None:
        return next(iter(await self._all()), None)

    async def _count(self) -> int:
        return len(await self._all())

    async def _page(self, *, limit: int, offset: int = 0, count: bool = False) -> Page[Group]:
        resource = self.groups.runtime.info.name
        if self.over.row_limit is not None or self.over.row_offset:
            raise InvalidArgument("a page cannot be taken of groups with limit() or offset()", resource=resource)
        given = {"limit": limit, "after": None, "before": None, "offset": offset, "count": count}
        request = PageRequest.of(given, None, None, resource)
        found = await self._all()
        shown = found[offset : offset + request.limit]
        more, total = len(found) > offset + request.limit, len(found) if count else None
        return Page(tuple(shown), has_next=more, has_previous=offset > 0 and bool(found), count=total)

    def _sorted(self, found: list[Group]) -> list[Group]:
        dumps = self._forms(dumper)
        by_keys = tuple(Sort(key.by, key.descending, key.nulls) for key in Query().sort(*self.groups.keys).order)
        try:
            for key in reversed((*self.over.order, *by_keys)):
                evaluate = compile_expression(with_facts(key.by, ambient_context()))
                places_none_last = key.nulls is not None and (key.nulls == "first") is key.descending

                def place(group: Group, evaluate: Any = evaluate, flips: bool = places_none_last) -> Any:
                    stored = {**group, **{name: dump(group[name]) for name, dump in dumps.items() if group[name] is not None}}
                    is_value, value = rank(evaluate(stored, {}, stored))
                    return (is_value is not flips, value if is_value else 0)

                found.sort(key=place, reverse=key.descending)
        except TypeError:
            raise self._meaningless("an order") from None
        return found

    def _forms(self, form: Callable[[ValueType], Convert | None]) -> dict[str, Convert]:
        """Return the conversions of keys and figures of the application's types, by name."""
        attributes = self.groups.runtime.info.attributes
        held = {name: name for name in self.groups.keys}
        held.update({name: each.field for name, each in self.figures.items() if each.kind != "count"})
        return {name: convert for name, field in held.items() if (convert := form(attributes[field].type)) is not None}

    def _meaningless(self, what: str) -> InvalidArgument:
        return InvalidArgument(f"{what} of groups compares values of different types", resource=self.groups.runtime.info.name)

    async def _read(self, runtime: Runtime, query: Query[Any]) -> list[Group]:
        if query.row_limit is not None or query.row_offset:
            what = "a query with limit() or offset() cannot be grouped; give them behind values(...)"
            raise InvalidArgument(what, resource=runtime.info.name)
        refuse_distinct(runtime, query, "group_by cannot be used on")
        shaper = Shaper()
        condition, shape = runtime.shape(shaper, query.condition)
        found = await self._computed(runtime, condition, shape, shaper.params)
        if self.over.condition is None:
            return found
        holds = compile_expression(self._checked(with_facts(self.over.condition, ambient_context())))
        try:
            return [group for group in found if holds(group, {}, group)]
        except TypeError:
            raise self._meaningless("a condition") from None

    def _checked(self, node: Expression) -> Expression:
        """Cast the values that keys are compared with, as in any condition."""
        if isinstance(node, (And, Or, Not)):
            return rebuild(node, tuple(map(self._checked, children(node))))
        read = fields_of(node)
        return self.groups.runtime.conditions.condition(node) if read and read <= {*self.groups.keys} else node

    async def _computed(
        self, runtime: Runtime, condition: Expression | None, shape: object, params: Mapping[str, Any]
    ) -> list[Group]:
        keys, figures = self.groups.keys, self.figures
        if Capability.GROUP in runtime.store.capabilities:
            operation = Select(condition, fields=keys, figures=figures)
            try:
                plan = runtime.plan(("groups", keys, tuple(figures.items()), shape), lambda: operation)
            except UnsupportedExpression:
                pass  # computed here, of the attributes that the figures need
            else:
                return list(await runtime.store.select(plan, params))
        needed = {*keys, *(figure.field for figure in figures.values())}
        fields = tuple(name for name in runtime.fields if name in needed)
        plan = runtime.plan(("grouped here", fields, shape), lambda: Select(condition, fields=fields))
        grouping, rows = Grouping(keys, figures), runtime.store.stream(plan, params)
        try:
            async for row in rows:
                grouping.add(runtime.stored(row))
        finally:
            if (close := getattr(rows, "aclose", None)) is not None:
                await close()
        loads = self._forms(loader)
        return [
            {**group, **{name: load(group[name]) for name, load in loads.items() if group[name] is not None}}
            for group in grouping.rows()
        ]
