"""Queries: the description of a read of one resource, as a plain value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Generic, Self, TypeVar

import attrs

from resourcekit.errors import FieldFinding, InvalidArgument, MissingMethod
from resourcekit.expressions.calls import checked_call, checked_methods
from resourcekit.expressions.nodes import Calculated, Expression, Field, Operand, Sort, all_of, as_condition, as_expression
from resourcekit.known_names import KnownNames, shown, unchangeable

__all__ = ["FIXED", "Computed", "Load", "Loadable", "Query", "as_sort"]

R = TypeVar("R")

FIXED = "its methods return another query: found = found.limit(5)"
"""The advice of the error that an assignment to a query raises."""


class Loadable:
    """A relationship of a resource, with what is asked of the related records: the base of One and Many.

    name: of the relationship. owner: the resource that has it. asked: condition, order, limit and further loads.
    via: the to-one relationships that lead to its owner.
    """

    __slots__ = ()

    name: str
    owner: Any
    asked: Query[Any]
    via: tuple[Any, ...]

    def asking(self, asked: Query[Any]) -> Self:
        """Return this relationship with another query of the related records."""
        raise MissingMethod.of(self, "asking")


@attrs.frozen(eq=False)
class Load:
    """A relationship that a query loads. name: for ``record.extra``; ``""``: under the name of the relationship."""

    relation: Loadable
    name: str = ""


@attrs.frozen(eq=False)
class Computed:
    """A value that a query computes with each record. name: of the calculation; of ``record.extra`` if ``is_extra``."""

    node: Expression
    name: str
    is_extra: bool = False


_INSTEAD = {
    "all": "A read action returns the query: end it with return query.filter(...).",
    "delete": "Write Ticket.remove.bulk(query), with a destroy action.",
    "destroy": "Write Ticket.remove.bulk(query), with a destroy action.",
    "exclude": "Write filter(~condition).",
    "filter_by": "Write filter(Ticket.status == value).",
    "get": "Write get(Ticket, key), with the function of resourcekit.",
    "order_by": "Write sort(...).",
    "update": "Write Ticket.close.bulk(query), with an update action.",
    "values": "Write select(...), or group_by(...).values(...).",
    "where": "Write filter(...).",
}
"""Names of other query languages."""


@checked_methods(without=("with_computed", "with_loads"))
@unchangeable("a query", FIXED)
@attrs.frozen(eq=False)
class Query(KnownNames, Generic[R]):
    """A condition, an order and a limit for records. Every method returns a new query.

    ``R`` is the resource, for type checkers.
    """

    __instead__: ClassVar[Mapping[str, str]] = _INSTEAD

    condition: Expression | None = None
    order: tuple[Sort, ...] = ()
    row_limit: int | None = None
    row_offset: int = 0
    selected: tuple[str, ...] | None = None
    distinct_on: tuple[str, ...] = ()
    loads: tuple[Load, ...] = ()
    computed: tuple[Computed, ...] = ()

    @checked_call("filter", "it takes conditions, such as Ticket.status == 'open'")
    def filter(self, *conditions: Expression | Operand) -> Self:
        """Keep only records that meet all conditions, in addition to earlier ones."""
        return attrs.evolve(self, condition=all_of(self.condition, *map(as_condition, conditions)))

    @checked_call("sort", "it takes keys, such as Ticket.opened_at.desc()")
    def sort(self, *keys: Sort | Operand | str) -> Self:
        """Order by these keys, the first one first. This replaces an earlier order.

        An attribute, or its name, sorts ascending; ``"-name"`` sorts descending.
        """
        return attrs.evolve(self, order=tuple(map(as_sort, keys)))

    @checked_call("select", "it takes attributes, or their names")
    def select(self, *fields: Operand | str) -> Self:
        """Load only these attributes, and the primary key. Reading another one of the record raises NotLoaded.

        This replaces an earlier selection. An action that is called with such a record reads it again.
        """
        return attrs.evolve(self, selected=tuple(_attribute("select", field) for field in fields))

    @checked_call("distinct", "it takes attributes, or their names")
    def distinct(self, *fields: Operand | str) -> Self:
        """Return only the first record, by the order, for each combination of values of these attributes.

        Limit and offset apply to the records that are kept. This replaces an earlier ``distinct``.
        """
        return attrs.evolve(self, distinct_on=tuple(_attribute("distinct", field) for field in fields))

    def load(self, *relations: Loadable | Operand, **named: Loadable | Operand) -> Self:
        """Load related records and calculations: ``load(Author.books, Author.full_name)``. Each relationship is one statement.

        What is loaded again replaces the earlier one. Named ones are in ``record.extra``, and may be any expression:
        ``load(late=Ticket.comments.filter(...), n=Ticket.comments.count())``. Raise InvalidArgument for something else, or one
        name twice.
        """
        loads, computed, slots = list[Load](), list[Computed](), list[tuple[str, str]]()
        given: list[tuple[str, object]] = [*(("", each) for each in relations), *named.items()]
        for name, each in given:
            if isinstance(each, Loadable):
                loads.append(Load(each, name))
                slots.append((name, "" if name else each.name))
                continue
            node = as_expression(each) if isinstance(each, Operand) else None
            if node is None or not (name or isinstance(node, Calculated)):
                shown = "an expression without a name: load(n=...)" if node is not None else repr(each)
                what = f"takes relationships and calculations, such as Ticket.comments, not {shown}"
                raise InvalidArgument(FieldFinding(name or "load", what))
            computed.append(Computed(node, name or getattr(node, "name", ""), bool(name)))
            slots.append((name, "" if name else computed[-1].name))
        earlier = {load.name for load in self.loads if load.name} | {each.name for each in self.computed if each.is_extra}
        twice = [slot for number, slot in enumerate(slots) if slot in slots[:number] or slot[0] in earlier]
        if twice:
            what = f"{twice[0][0] or twice[0][1]!r} is loaded twice; give one of them another name: load(other=...)"
            raise InvalidArgument(FieldFinding("load", what))
        return self.with_loads(loads).with_computed(computed)

    def with_computed(self, computed: Sequence[Computed]) -> Self:
        """Compute these as well; they replace what this query computes under the same names."""
        names = {(each.name, each.is_extra) for each in computed}
        kept = (each for each in self.computed if (each.name, each.is_extra) not in names)
        return attrs.evolve(self, computed=(*kept, *computed))

    def with_loads(self, loads: Sequence[Load]) -> Self:
        """Load these as well; they replace what this query loads under the same names."""
        slots = {(load.name, load.relation.name if not load.name else "") for load in loads}
        kept = (load for load in self.loads if (load.name, load.relation.name if not load.name else "") not in slots)
        return attrs.evolve(self, loads=(*kept, *loads))

    @checked_call("limit", "it takes one whole number")
    def limit(self, rows: int) -> Self:
        """Return at most this many records, 0 or more. The smaller of two limits applies."""
        most = _count("limit", rows)
        return attrs.evolve(self, row_limit=most if self.row_limit is None else min(most, self.row_limit))

    @checked_call("offset", "it takes one whole number")
    def offset(self, rows: int) -> Self:
        """Skip this many records first, 0 or more."""
        return attrs.evolve(self, row_offset=_count("offset", rows))


def _attribute(what: str, field: object) -> str:
    node = as_expression(field) if isinstance(field, Operand) else field
    name = node.name if isinstance(node, Field) else node
    if isinstance(name, str):
        return name
    raise InvalidArgument(FieldFinding(what, f"takes attributes, or their names, not {type(field).__name__}"))


def _count(what: str, rows: int) -> int:
    if type(rows) is int and 0 <= rows < 2**63:
        return rows
    raise InvalidArgument(FieldFinding(what, f"must be a whole number from 0 on, not {shown(rows)}"))


def as_sort(key: object) -> Sort:
    """Return a sort key for a Sort, an attribute or a name (``"-name"`` for descending)."""
    if isinstance(key, str):
        return Field(key[1:]).desc() if key.startswith("-") else Field(key).asc()
    if isinstance(key, Operand):
        return Sort(as_expression(key))
    if isinstance(key, Sort):
        return key
    raise InvalidArgument(FieldFinding("", f"a sort key is an attribute, its .desc(), or its name, not {shown(key)}"))
