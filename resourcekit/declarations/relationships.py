"""Relationships: their facts, and the types One and Many, which are values for ``load`` on the class."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    ForwardRef,
    Generic,
    Literal,
    NoReturn,
    Self,
    TypeVar,
    Union,
    get_args,
    get_origin,
    overload,
)

import attrs

from resourcekit.declarations.attribute import Attr
from resourcekit.declarations.calculations import Calc
from resourcekit.dsl.diagnostics import Origin
from resourcekit.dsl.entity import Entity, Word
from resourcekit.dsl.scope import Scope
from resourcekit.errors import DeclarationError, InvalidArgument, Misuse, NotLoaded, UnknownName, UnreadableValue, did_you_mean
from resourcekit.expressions.calls import checked_methods
from resourcekit.expressions.nodes import Expression, Operand, Sort, all_of, as_condition, as_expression
from resourcekit.expressions.query import Loadable, Query, as_sort
from resourcekit.expressions.related import Kind as Figure
from resourcekit.expressions.related import ManyOf, OneOf
from resourcekit.known_names import KnownNames, shown

__all__ = ["Many", "OnDelete", "One", "Relationship"]

R = TypeVar("R")
S = TypeVar("S")
T = TypeVar("T")

Kind = Literal["belongs_to", "has_one", "has_many", "many_to_many", "related"]
OnDelete = Literal["restrict", "cascade", "nullify", "nothing"]

_SHAPES = {"belongs_to": "One", "has_one": "One", "has_many": "Many", "many_to_many": "Many"}


@attrs.frozen(kw_only=True, eq=False)
class Relationship(Entity):
    """The facts of one relationship.

    kind: the name of its builder.
    target: the destination as the annotation names it: a class, or a text.
    to: the destination as the option ``to`` names it; it comes before ``target``.
    allow_none: whether a record may have no related record.
    is_many: whether a record may have several related records.
    key: the attributes of this resource (belongs_to), or of the destination (has_one, has_many).
    to_field: the attributes of the destination that a belongs_to refers to; the primary key if it is empty.
    on_delete: what a belongs_to does if the record to which it refers is removed.
    sort, where, limit: the order, the condition and the greatest number of related records.
    through: the resource between the two of a many_to_many; source and destination: its attributes that refer to them.
    load: the function of a related.
    public: shown by ``as_dict`` if it was loaded.
    """

    section: ClassVar[str] = "relationships"

    kind: Kind = "belongs_to"
    target: Any = None
    to: Any = None
    allow_none: bool = False
    is_many: bool = False
    key: tuple[str, ...] = ()
    to_field: tuple[str, ...] = ()
    on_delete: OnDelete = "restrict"
    sort: Any = ()
    where: Callable[[], Expression] | None = attrs.field(default=None, repr=False)
    limit: int | None = None
    through: Any = None
    source: tuple[str, ...] = ()
    destination: tuple[str, ...] = ()
    load: Callable[..., Any] | None = None
    public: bool = False

    def declared(self, name: str, annotation: object, scope: Scope) -> Self:
        """Read the destination from ``One[...]`` or ``Many[...]``. Raise RK090 for another annotation, or for none."""
        shape, target, allow_none = _read(annotation, scope)
        wanted = _SHAPES.get(self.kind)
        if shape is None or (wanted is not None and shape != wanted) or (shape == "Many" and allow_none):
            what = f"{self.kind} needs the annotation {wanted or 'One or Many'}[...], has {_shown(annotation)}"
            example = "One[Author | None]" if wanted == "One" else "Many[Book]"
            raise DeclarationError("RK090", what, hint=f"Write {name}: {example} = {self.kind}(...).")
        if self.kind == "has_one" and not allow_none:
            what = "a record may have no related record, and the annotation has no None"
            raise DeclarationError("RK090", what, hint=f"Write {name}: One[... | None] = has_one(...).")
        return attrs.evolve(self, name=self.name or name, target=target, allow_none=allow_none, is_many=shape == "Many")


def _shown(annotation: object) -> str:
    """Return an annotation as a class body has it: without modules and forward references."""
    text = "none" if annotation is None else str(annotation)
    return re.sub(r"ForwardRef\('([^']*)'\)|\b(?:\w+\.)+(?=\w)", r"\1", text)


def _read(annotation: object, scope: Scope) -> tuple[str | None, Any, bool]:
    """Return "One" or "Many", the destination as a class or a text, and whether None is allowed; ``None`` for another type."""
    if isinstance(annotation, ForwardRef):
        annotation = annotation.__forward_arg__
    if isinstance(annotation, str):
        head, bracket, inner = annotation.partition("[")
        try:
            kind = scope.resolve(head.strip())
        except Exception:  # the name is not known here; a wrong annotation is reported by the caller
            return None, None, False
        inside: object = inner.rstrip().removesuffix("]") if bracket else None
    else:
        kind, inside = get_origin(annotation), next(iter(get_args(annotation)), None)
    shape = next((each.__name__ for each in (One, Many) if isinstance(kind, type) and issubclass(kind, each)), None)
    if shape is None or inside is None:
        return None, None, False
    names = _parts(inside)
    kept = [name for name in names if name not in ("None", None, type(None))]
    return (shape, kept[0], len(kept) < len(names)) if len(kept) == 1 else (None, None, False)


def _parts(inside: object) -> list[Any]:
    """Return the members of a union, as classes or texts."""
    if isinstance(inside, ForwardRef):
        inside = inside.__forward_arg__
    if isinstance(inside, str):
        return [part.strip().strip("'\"") for part in inside.strip().strip("'\"").split("|")]
    if get_origin(inside) is Union or type(inside).__name__ == "UnionType":
        return [part for each in get_args(inside) for part in _parts(each)]
    return [inside]


def _owner(relation: _Relation[Any]) -> str:
    return str(getattr(relation.owner, "__name__", ""))


_METHODS = ("avg", "collect", "count", "every", "exists", "filter", "first", "limit", "load", "max", "min", "sort", "sum")
"""The names that a relationship has, for the error of a misspelt one."""


def _destination(entity: Relationship) -> str:
    given = entity.to if isinstance(entity.to, (str, type)) else entity.target  # a lambda has no name to show
    return (
        given.rpartition(":")[2].strip("'\"")
        if isinstance(given, str)
        else str(getattr(given, "__name__", "the related resource"))
    )


@checked_methods(without=("asking", "behind", "named"))
class _Relation(KnownNames, Word, Loadable, Generic[R]):
    """A relationship on the class: what ``load`` takes."""

    __slots__ = ("asked", "name", "owner", "via")

    entity: Relationship  # pyright: ignore[reportIncompatibleVariableOverride]  # a word and its entity stay together

    @classmethod
    def bare(cls) -> Self:
        """Return the builder for an annotation without a value, which RK090 reports."""
        return cls(_Undeclared(origin=Origin.here()))

    def __init__(self, entity: Relationship, name: str = "", owner: Any = None, asked: Query[Any] | None = None) -> None:
        super().__init__(entity)
        self.name, self.owner, self.asked = name, owner, asked or Query()
        self.via: tuple[One[Any], ...] = ()

    def named(self, name: str) -> None:
        """Take the name from the class body."""
        self.name = name

    __instead__: ClassVar[Mapping[str, str]] = {
        "any": "Write exists(...), with conditions on the related records.",
        "has": "Write exists(...), with conditions on the related records.",
        "in_": "Compare the key: Ticket.owner_id.in_([...]).",
        "is_none": "Compare the key: Ticket.owner_id.is_none(), or write ~Ticket.owner.exists().",
        "where": "Write filter(...).",
    }

    if TYPE_CHECKING:
        __iter__ = None
    else:
        __hash__ = object.__hash__

        def __eq__(self, other: object) -> bool:
            """Raise Misuse for a comparison with a value, which would be False; two relationships are compared by identity."""
            if isinstance(other, _Relation):
                return self is other
            raise Misuse(self._instead())

        def _instead(self) -> str:
            entity, owner = self.entity, _owner(self)
            if entity.is_many:
                return f"{self.name} has no value to compare; ask for its records: {owner}.{self.name}.exists(...), .count() == 0"
            ways = [f"{owner}.{name} == ..." for name in entity.key] if entity.kind == "belongs_to" else []
            shown = " or ".join([*ways, f"{owner}.{self.name}[...] == ..."])
            return f"{self.name} has no value to compare; compare an attribute: {shown}, or {owner}.{self.name}.exists()"

        def __getattr__(self, name: str) -> object:
            """Raise UnknownName: a value of a related record is written in another way."""
            if name.startswith("_") or name in self.__instead__ or hasattr(type(self), name):
                return super().__getattr__(name)
            here, there = f"{_owner(self)}.{self.name}", _destination(self.entity)
            way = f"{here}.exists({there}.{name} == ...)" if self.entity.is_many else f"{here}[{there}.{name}]"
            what = f"the relationship {here} has no {name!r}. Write {way} for a value of {there}. {did_you_mean(name, _METHODS)}"
            raise UnknownName(what, name=name, obj=self)

        def __bool__(self) -> bool:
            return True

        def __len__(self) -> NoReturn:
            """Raise Misuse: related records are counted in the store."""
            raise Misuse(f"{self.name} holds no records here; write {_owner(self)}.{self.name}.count()")

        def __iter__(self) -> NoReturn:
            """Raise Misuse: related records are known only in the store."""
            raise Misuse(f"{self.name} holds no records here; load them: query(...).load({_owner(self)}.{self.name})")

    def asking(self, asked: Query[Any]) -> Self:
        """Return this relationship with another query of the related records."""
        if self.entity.load is not None and (asked.condition is not None or asked.order or asked.row_limit is not None):
            what = f"{self.name} is loaded by a function, and takes no conditions, order or limit; filter what it returns"
            raise InvalidArgument(what, resource=getattr(self.owner, "__name__", ""))
        found = type(self)(self.entity, self.name, self.owner, asked)
        found.via = self.via
        return found

    def behind(self, via: tuple[One[Any], ...]) -> Self:
        """Return this relationship of the record to which a path leads."""
        found = self.asking(self.asked)
        found.via = via
        return found

    def filter(self, *conditions: Expression | Operand) -> Self:
        """Keep only related records that meet all conditions, in addition to those of the relationship."""
        return self.asking(self.asked.filter(*conditions))

    def sort(self, *keys: Sort | Operand | str) -> Self:
        """Order the related records by these keys, in place of the order of the relationship."""
        return self.asking(self.asked.sort(*keys))

    def limit(self, rows: int) -> Self:
        """Load at most this many related records for each record."""
        return self.asking(self.asked.limit(rows))

    def load(self, *relations: Loadable | Operand, **named: Loadable | Operand) -> Self:
        """Load relationships and calculations of the related records, too."""
        return self.asking(self.asked.load(*relations, **named))

    def exists(self, *conditions: Operand) -> Expression:
        """Whether there is a related record that meets all conditions: ``Author.books.exists(Book.price > 10)``.

        A condition may refer to the record itself: ``parent(Author.limit)``.
        """
        return self._value("exists", None, conditions)

    def count(self, *conditions: Operand) -> Expression:
        """The number of related records that meet all conditions."""
        return self._value("count", None, conditions)

    def every(self, condition: Operand, *conditions: Operand) -> Expression:
        """Whether all related records that meet ``conditions`` meet ``condition``; true without such records."""
        return self._value("every", as_condition(condition), conditions)

    def sum(self, field: Operand, *conditions: Operand) -> Expression:
        """The sum of a value of the related records, without those that are ``None``; ``None`` if there is no value."""
        return self._value("sum", field, conditions)

    def avg(self, field: Operand, *conditions: Operand) -> Expression:
        """The sum of a value divided by the number of values, as Python divides; ``None`` if there is no value."""
        return self._value("avg", field, conditions)

    def min(self, field: Operand, *conditions: Operand) -> Expression:
        """The smallest value of the related records; ``None`` if there is no value."""
        return self._value("min", field, conditions)

    def max(self, field: Operand, *conditions: Operand) -> Expression:
        """The largest value of the related records; ``None`` if there is no value."""
        return self._value("max", field, conditions)

    def first(self, field: Operand, *conditions: Operand, sort: Sort | Operand | str | Sequence[Any] = ()) -> Expression:
        """The value of the first related record, which may be ``None``; ``None`` without a record.

        sort: the order; that of the relationship unless given.
        """
        return self._value("first", field, conditions, sort=sort)

    def collect(
        self,
        field: Operand,
        *conditions: Operand,
        sort: Sort | Operand | str | Sequence[Any] = (),
        distinct: bool = False,
    ) -> Expression:
        """The values of the related records as a tuple, in their order, ``None`` included. It can be loaded.

        distinct: each value once, at its first place.
        """
        return self._value("collect", field, conditions, sort=sort, distinct=distinct)

    def _value(
        self, kind: Figure, part: Operand | None, conditions: Sequence[Operand], *, sort: Any = (), distinct: bool = False
    ) -> Expression:
        keys = sort if isinstance(sort, (list, tuple)) else [sort]
        asked = self.asked
        node: Expression = ManyOf(
            self,
            kind,
            None if part is None else as_expression(part),
            all_of(*conditions) if conditions else None,
            asked.condition,
            asked.order,
            asked.row_limit,
            tuple(map(as_sort, keys)),
            distinct,
        )
        for one in reversed(self.via):
            node = OneOf(one, node)
        return node

    def __repr__(self) -> str:
        """Return resource and name."""
        return f"<relationship {getattr(self.owner, '__name__', '?')}.{self.name}>"

    def _loaded(self, record: object, owner: type) -> Any:
        loaded = getattr(record, "__loaded__", None)
        if loaded is not None and self.name in loaded.related:
            return loaded.related[self.name]
        unreadable = getattr(vars(record), "unreadable", {})
        for name in self.entity.key if self.entity.kind == "belongs_to" else ():
            if name in unreadable:
                raise UnreadableValue(unreadable[name].findings, resource=owner.__name__)
        where = f"{owner.__name__}.{self.name}"
        hint = f"write query({owner.__name__}).load({where}), or load(record, {where})"
        raise NotLoaded(self.name, resource=owner.__name__, hint=hint)


class One(_Relation[R]):
    """A relationship to at most one record: ``author: One[Author | None] = belongs_to("author_id")``.

    On the class it is a value for ``load``, and ``Book.author[Author.name]`` is a value in conditions and orders. On a record it is
    the related record, or ``None``. Reading it does not load it.
    """

    __slots__ = ()

    @overload
    def __getitem__(self, field: Attr[T]) -> Attr[T]: ...
    @overload
    def __getitem__(self, field: One[S]) -> One[S]: ...
    @overload
    def __getitem__(self, field: Many[S]) -> Many[S]: ...
    @overload
    def __getitem__(self, field: Calc[Any] | Expression) -> Expression: ...
    def __getitem__(self, field: Any) -> Any:
        """The attribute of the record at the other end: ``Ticket.author[Author.name] == "Ng"``; ``None`` without a record.

        Paths go on: ``Ticket.author[Author.company][Company.name]``.
        """
        if self.asked.condition is not None or self.asked.order or self.asked.row_limit is not None:
            raise InvalidArgument(f"a path over {self.name} takes no conditions; write them beside it", resource=_owner(self))
        if isinstance(field, _Relation):
            return field.behind((*self.via, self, *field.via))
        if not isinstance(field, Operand):
            what = f"{self.name}[...] takes an attribute of the other resource, not {shown(field)}"
            raise InvalidArgument(what, resource=_owner(self))
        node: Expression = as_expression(field)
        for one in reversed((*self.via, self)):
            node = OneOf(one, node)
        return node

    @overload
    def __get__(self, record: None, owner: type) -> Self: ...
    @overload
    def __get__(self, record: object, owner: type) -> R: ...
    def __get__(self, record: object | None, owner: type) -> Any:
        """Return the relationship itself, or the related record. Raise NotLoaded if it was not loaded."""
        return self if record is None else self._loaded(record, owner)


class Many(_Relation[R]):
    """A relationship to any number of records: ``books: Many[Book] = has_many("author_id")``.

    On the class it is a value for ``load``; on a record it is a tuple. Reading it does not load it.
    """

    __slots__ = ()

    @overload
    def __get__(self, record: None, owner: type) -> Self: ...
    @overload
    def __get__(self, record: object, owner: type) -> tuple[R, ...]: ...
    def __get__(self, record: object | None, owner: type) -> Any:
        """Return the relationship itself, or the related records. Raise NotLoaded if they were not loaded."""
        return self if record is None else self._loaded(record, owner)


@attrs.frozen(kw_only=True, eq=False)
class _Undeclared(Relationship):
    """An annotation ``One[...]`` or ``Many[...]`` without a value."""

    def declared(self, name: str, annotation: object, scope: Scope) -> Self:
        """Raise RK090."""
        del scope
        word = "belongs_to" if "One" in str(annotation) else "has_many"
        what = f"the annotation {annotation} has no value, and does not name the key"
        raise DeclarationError("RK090", what, hint=f'Write {name}: {annotation} = {word}("..._id").')
