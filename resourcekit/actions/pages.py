"""Pages of a query: by position (keyset) or by number (offset), with exact answers about what comes before and after.

A maintainer opens it to change the condition that starts a page at a cursor.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from typing import Any

import attrs

from resourcekit.actions.cursors import CursorError, Cursors
from resourcekit.actions.loaded import Loaded, keep_loaded, loaded_of
from resourcekit.actions.read import aggregate, fetch_all
from resourcekit.actions.runtime import Runtime
from resourcekit.actions.selects import refuse_distinct, with_key
from resourcekit.data_layers.stored_forms import loader
from resourcekit.errors import FieldFinding, Invalid, InvalidArgument, UnreadableValue
from resourcekit.expressions import nodes as ex
from resourcekit.expressions.evaluation import Evaluator, compile_expression
from resourcekit.expressions.measures import Matches
from resourcekit.expressions.nodes import Expression, Sort, Value, all_of, any_of
from resourcekit.expressions.query import Computed, Query
from resourcekit.expressions.related import Related
from resourcekit.expressions.rewriting import children, fields_of
from resourcekit.results import Page

__all__ = ["PageRequest", "read_page"]

_COLUMN = "= key "
"""Start of the names of computed values that only a position needs. No load has such a name."""

_TESTS = (ex.Compare, ex.In, ex.IsNone, ex.Like, Matches, ex.And, ex.Or, ex.Not)


@attrs.frozen
class PageRequest:
    """The arguments of ``page``, checked. after, before: cursors. offset: ``None`` for a keyset page."""

    limit: int
    after: str | None = None
    before: str | None = None
    offset: int | None = None
    count: bool = False

    @classmethod
    def of(cls, given: dict[str, Any], default: int | None, most: int | None, resource: str) -> PageRequest:
        """Return the request. Raise InvalidArgument with a finding for each problem.

        default, most: ``page_limit`` and ``page_limit_max`` of the read action.
        """
        findings = []
        limit = default if given["limit"] is None else given["limit"]
        if limit is None:
            findings.append(FieldFinding("limit", "is required; or declare a default: read(page_limit=20)"))
        elif type(limit) is not int or not 1 <= limit < 2**62:
            findings.append(FieldFinding("limit", f"must be a whole number from 1 on, not {limit!r}"))
        elif most is not None and limit > most:
            findings.append(FieldFinding("limit", f"must be at most {most}"))
        named = [name for name in ("after", "before", "offset") if given[name] is not None]
        if len(named) > 1:
            findings.append(FieldFinding("", f"{' and '.join(named)} exclude each other; give one of them"))
        findings += [FieldFinding(name, "must be a cursor, which is text") for name in named[:2] if _no_cursor(name, given)]
        offset = given["offset"]
        if offset is not None and (type(offset) is not int or not 0 <= offset < 2**62):
            findings.append(FieldFinding("offset", f"must be a whole number from 0 on, not {offset!r}"))
        if findings:
            raise InvalidArgument(findings, resource=resource)
        assert limit is not None
        return cls(limit, given["after"], given["before"], offset, bool(given["count"]))


def _no_cursor(name: str, given: dict[str, Any]) -> bool:
    return name != "offset" and not isinstance(given[name], str)


@attrs.frozen
class _Key:
    """One key of an order. family: the type of its values; for an enum, its class. load: from their stored form."""

    sort: Sort
    family: object
    may_be_none: bool
    value: Evaluator
    load: Callable[[Any], Any] | None = None

    def loaded(self, stored: Any) -> Any:
        """Return the value of a stored form."""
        return stored if stored is None or self.load is None else self.load(stored)

    @property
    def flipped(self) -> _Key:
        return attrs.evolve(self, sort=Sort(self.sort.by, not self.sort.descending))

    def beyond(self, value: Any, *, inclusive: bool) -> Expression | bool:
        """Return the condition that a record's key comes after a value (or is equal to it); a bool if it is always the same."""
        by, descending = self.sort.by, self.sort.descending
        if isinstance(by, _TESTS):
            if bool(value) is not descending:  # only equal ones are left
                return (by if value else ex.Not(by)) if inclusive else False
            return True if inclusive else (ex.Not(by) if descending else by)
        if value is None and not descending:
            return True if inclusive else ex.Not(ex.IsNone(by))
        if value is None:
            return ex.IsNone(by) if inclusive else False
        beyond = self._compared(by, value, inclusive=inclusive)
        return any_of(beyond, ex.IsNone(by)) if descending and self.may_be_none else beyond

    def _compared(self, by: Expression, value: Any, *, inclusive: bool) -> Expression:
        descending = self.sort.descending
        if isinstance(value, enum.Enum):  # members sort like their values, and have no order to compare by
            rank = value.value
            members = [each for each in type(value) if each.value != rank and (each.value > rank) is not descending]
            return ex.In(by, Value((*members, *([value] if inclusive else []))))
        op = ("<" if descending else ">") + ("=" if inclusive else "")
        return ex.Compare(op, by, Value(value))  # type: ignore[arg-type]  # one of four


def _from(keys: Sequence[_Key], position: Sequence[Any]) -> Expression | bool:
    """Return the condition that a record is at a position or comes after it.

    The first key is bounded by itself, so that an index is read from there. A row value would not do: MariaDB scans for it, and
    directions may be mixed.
    """
    key, value = keys[0], position[0]
    bound = key.beyond(value, inclusive=True)
    if len(keys) == 1:
        return bound
    further, rest = key.beyond(value, inclusive=False), _from(keys[1:], position[1:])
    if further is True or rest is True:
        return bound
    inner = [part for part in (further, rest) if not isinstance(part, bool)]
    if not inner or bound is False:
        return False
    either = any_of(*inner)
    return either if bound is True else all_of(bound, either)


class _Order:
    """The order of a query with the primary key added, so that no two records have one position."""

    def __init__(self, runtime: Runtime, query: Query[Any]) -> None:
        self.sorts = with_key(runtime, runtime.conditions.order(query.order))
        self._runtime = runtime
        self.keys = [self._key(sort) for sort in self.sorts]
        self.computed = [
            Computed(sort.by, f"{_COLUMN}{place}", is_extra=True) for place, sort in enumerate(self.sorts) if _is_related(sort.by)
        ]
        self.is_converted = any(key.load is not None for key in self.keys)
        self._cursors: Cursors | None = None

    def _key(self, sort: Sort) -> _Key:
        attribute = self._runtime.info.attributes.get(sort.by.name) if isinstance(sort.by, ex.Field) else None
        read = self._runtime.conditions.value(sort.by)
        always = isinstance(sort.by, Related) and sort.by.kind in ("exists", "every", "count")
        may_be_none = not always and (attribute is None or attribute.allow_none)
        load = None if read.type is None else loader(read.type)
        return _Key(sort, read.family, may_be_none, compile_expression(sort.by), load)

    def position(self, record: Any) -> tuple[Any, ...]:
        """Return the values of the sort keys of a record."""
        written = self.written(record)
        return self.read(written) if self.is_converted else written

    def written(self, record: Any) -> tuple[Any, ...]:
        """Return the position of a record as a cursor holds it: values of the application's types in their stored form."""
        if getattr(vars(record), "unreadable", None):
            for name in {name for key in self.keys for name in fields_of(key.sort.by)}:
                getattr(record, name)  # raises UnreadableValue: a record with such a sort key has no position in the order
            for name, error in vars(record).unreadable.items():
                if name.startswith(_COLUMN):  # a sort key that the statement computes
                    raise UnreadableValue(error.findings, resource=error.resource)
        row = self._runtime.stored(vars(record))
        if not self.computed:
            return tuple(key.value(row, {}, row) for key in self.keys)
        loaded = loaded_of(record) or Loaded()
        named = ((f"{_COLUMN}{place}", key) for place, key in enumerate(self.keys))
        return tuple(loaded.extra[name] if name in loaded.extra else key.value(row, {}, row) for name, key in named)

    def stripped(self, record: Any) -> Any:
        """Return a record without the values that only its position needs."""
        loaded = loaded_of(record)
        if self.computed and loaded is not None:
            extra = {name: value for name, value in loaded.extra.items() if not name.startswith(_COLUMN)}
            keep_loaded(record, attrs.evolve(loaded, extra=extra))
        return record

    def read(self, position: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return the position that a cursor holds."""
        return tuple(map(_Key.loaded, self.keys, position)) if self.is_converted else position

    def cursors(self) -> Cursors:
        """Return the cursors of this order. Raise InvalidArgument if they would show values that are not public."""
        info, secret = self._runtime.info, self._runtime.cursor_secret()
        if any(map(_has_now, (sort.by for sort in self.sorts))):
            what = "the order depends on the time, so a cursor would not keep its place; page with offset=, or sort by attributes"
            raise InvalidArgument(FieldFinding("sort", what), resource=info.name)
        read = frozenset().union(*(fields_of(sort.by) for sort in self.sorts)) - {*self._runtime.key}
        hidden = sorted(name for name in read if not info.attributes[name].public or info.attributes[name].sensitive)
        hidden += ["values of related records"] if any(map(_has_private, (sort.by for sort in self.sorts))) else []
        if hidden and secret is None:
            what = (
                f"the order uses {', '.join(hidden)}, which cursors would show to their holders; give the domain a secret "
                "(Domain(..., cursor_secret=env(...))), declare the attributes public, or page with offset="
            )
            raise InvalidArgument(FieldFinding("sort", what), resource=info.name)
        made = self._cursors
        if made is None or made.secret != secret:
            made = self._cursors = Cursors.of(info.name, self.sorts, tuple(key.family for key in self.keys), secret)
        return made


def _order(runtime: Runtime, query: Query[Any]) -> _Order:
    """Return the order of a query; that of plain attributes is made once."""
    names = tuple((key.by.name if isinstance(key.by, ex.Field) else None, key.descending, key.nulls) for key in query.order)
    if any(name is None for name, _, _ in names):
        return _Order(runtime, query)
    return runtime.keep(("order of pages", names), _Order, runtime, query)


def _is_related(node: Expression) -> bool:
    return isinstance(node, Related) or any(map(_is_related, children(node)))


def _has_private(node: Expression) -> bool:
    if isinstance(node, Related):
        return not node.public
    return any(map(_has_private, children(node)))


def _has_now(node: Expression) -> bool:
    return isinstance(node, ex.Now) or any(map(_has_now, children(node)))


async def read_page(runtime: Runtime, query: Query[Any], request: PageRequest) -> Page[Any]:
    """Return one page of a query. Raise InvalidArgument for a query with a limit, and Invalid for a cursor of another order."""
    if query.row_limit is not None or query.row_offset:
        what = "a page cannot be taken of a query with limit() or offset(); give them to page() only"
        raise InvalidArgument(what, resource=runtime.info.name)
    order = _order(runtime, query)
    query = query.with_computed(order.computed) if order.computed else query
    shown = None if query.selected is None else {*query.selected, *runtime.key}
    if query.selected is not None:  # the position of a record is computed of its sort keys
        read = {name for sort in order.sorts for name in fields_of(sort.by)}
        query = query.select(*query.selected, *sorted(read))
    found = await (_by_offset if request.offset is not None else _by_cursor)(runtime, query, order, request)
    found = attrs.evolve(found, records=tuple(map(order.stripped, found.records))) if order.computed else found
    if shown is not None:
        found = attrs.evolve(found, records=tuple(_narrowed(runtime, record, shown) for record in found.records))
    if not request.count:
        return found
    return attrs.evolve(found, count=await aggregate(runtime, query, "count"))


def _narrowed(runtime: Runtime, record: Any, shown: set[str]) -> Any:
    """Return a record with these attributes, and with what was loaded."""
    found = runtime.only(record, shown)
    if (loaded := loaded_of(record)) is not None:
        keep_loaded(found, loaded)
    return found


async def _by_offset(runtime: Runtime, query: Query[Any], order: _Order, request: PageRequest) -> Page[Any]:
    offset = request.offset or 0
    try:
        cursors = order.cursors()
    except InvalidArgument:  # a page by number needs none
        cursors = None
    asked = attrs.evolve(query, order=order.sorts, row_limit=request.limit + 1, row_offset=offset)
    records = await fetch_all(runtime, asked, partial=True)
    shown = records[: request.limit]
    before = offset > 0 and (bool(shown) or await aggregate(runtime, query, "exists"))
    return _page(order, cursors, shown, has_next=len(records) > request.limit, has_previous=before)


async def _by_cursor(runtime: Runtime, query: Query[Any], order: _Order, request: PageRequest) -> Page[Any]:
    refuse_distinct(runtime, query, "a page by cursor cannot be taken of")
    cursors = order.cursors()
    cursor = request.after if request.before is None else request.before
    if cursor is None:
        records = await fetch_all(runtime, attrs.evolve(query, order=order.sorts, row_limit=request.limit + 1), partial=True)
        return _page(order, cursors, records[: request.limit], has_next=len(records) > request.limit, has_previous=False)
    try:
        position = order.read(cursors.read(cursor))
    except CursorError:
        name = "after" if request.before is None else "before"
        what = f"is no cursor of this order of {runtime.info.name}, or was cut; take it from a page with the same sort"
        raise Invalid(FieldFinding(name, what), resource=runtime.info.name) from None
    backwards = request.before is not None
    keys = [key.flipped for key in order.keys] if backwards else order.keys
    # The record of the cursor is read along, which shows without another statement that there is one on its other side.
    records = await _read_from(runtime, query, keys, position, request.limit + 2)
    met = bool(records) and order.position(records[0]) == position
    if met:
        del records[0]
        behind = True
    else:
        opposite = [key.flipped for key in keys]
        behind = await aggregate(runtime, _starting(query, opposite, position), "exists")
    shown, more = records[: request.limit], len(records) > request.limit
    if backwards:
        return _page(order, cursors, shown[::-1], has_next=behind, has_previous=more)
    return _page(order, cursors, shown, has_next=more, has_previous=behind)


def _segments(keys: Sequence[_Key], position: Sequence[Any]) -> list[Expression | bool]:
    """Return the conditions of the parts of the order from a position on, in their order.

    ``None`` and the values of the first key are parts of their own: a database that is asked for both at once reads no index.
    """
    first, value = keys[0], position[0]
    by, descending = first.sort.by, first.sort.descending
    if not first.may_be_none or isinstance(by, _TESTS) or (value is None) is descending:
        return [_from(keys, position)]
    whole = _from([attrs.evolve(first, may_be_none=False), *keys[1:]], position)
    if value is not None:
        return [whole, ex.IsNone(by)]
    rest = _from(keys[1:], position[1:])
    parts = [part for part in (ex.IsNone(by), rest) if not isinstance(part, bool)]
    return [False if rest is False else all_of(*parts), ex.Not(ex.IsNone(by))]


async def _read_from(runtime: Runtime, query: Query[Any], keys: Sequence[_Key], position: Sequence[Any], most: int) -> list[Any]:
    """Return the first records from a position on. A second statement is sent only if the first part has too few."""
    order = tuple([key.sort for key in keys])
    segments = _segments(keys, position)
    if len(segments) == 1 and not isinstance(segments[0], bool):  # the usual case: one copy of the query
        asked = attrs.evolve(query, condition=all_of(query.condition, segments[0]), order=order, row_limit=most)
        return await fetch_all(runtime, asked, partial=True)
    asked = attrs.evolve(query, order=order)
    found: dict[Any, Any] = {}  # by key, because a record may move from one part to the other between two statements
    for segment in segments:
        if segment is False or len(found) >= most:
            continue
        part = asked if segment is True else asked.filter(segment)
        for record in await fetch_all(runtime, part.limit(most - len(found)), partial=True):
            found.setdefault(tuple([getattr(record, name) for name in runtime.key]), record)
    return list(found.values())


def _starting(query: Query[Any], keys: Sequence[_Key], position: Sequence[Any]) -> Query[Any]:
    start = _from(keys, position)
    if start is True:
        return query
    return query.filter(Value(False) if start is False else start)  # a condition that never holds


def _page(order: _Order, cursors: Cursors | None, records: list[Any], *, has_next: bool, has_previous: bool) -> Page[Any]:
    first, last = (
        (None, None)
        if cursors is None or not records
        else (cursors.write(order.written(records[0])), cursors.write(order.written(records[-1])))
    )
    return Page(tuple(records), has_next=has_next, has_previous=has_previous, start_cursor=first, end_cursor=last)
