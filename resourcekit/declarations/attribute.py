"""Attributes: the values that every record of a resource has."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, ForwardRef, Generic, Literal, Self, TypedDict, TypeVar, Unpack, overload

import attrs

from resourcekit.declarations.limits import Limits
from resourcekit.declarations.value_type import ANYTHING, JSON_VALUE, UnknownType, ValueType, read_annotation
from resourcekit.dsl.builder import checked_builder
from resourcekit.dsl.diagnostics import Origin
from resourcekit.dsl.entity import Entity, Word
from resourcekit.dsl.option import MISSING
from resourcekit.dsl.scope import Scope
from resourcekit.errors import DeclarationError, NotLoaded, UnreadableValue
from resourcekit.expressions.aggregates import Figure
from resourcekit.expressions.calls import checked_call
from resourcekit.expressions.measures import Whole
from resourcekit.expressions.nodes import Expression, Field, Operand, as_expression

__all__ = ["Attr", "Attribute", "Constraints", "attribute"]

T = TypeVar("T")
Case = Literal["lower", "upper", "fold"]
"""The treatment of the case of a text: it is changed at the cast, or kept and ignored by comparisons and identities."""


Stored = Literal["", "microseconds", "integer"]
"""The form of a column that is not the native type of the database: of a datetime microseconds, of a Decimal an integer."""


Constraints = Limits
"""The name of Limits in the extension API."""


_UNTYPED = attrs.evolve(ANYTHING)
"""The type of an attribute before its annotation is read; equal to that of ``Any``, and another object."""


@attrs.frozen(kw_only=True, eq=False)
class Attribute(Entity):
    """The facts of one attribute.

    primary_key: part of the record's key; never changed after the insert.
    default: the value if none is given.
    default_factory: a function that makes the default, called for each record.
    update_default_factory: a function that makes the value at each update that does not set the attribute.
    public: shown by ``as_dict`` and to the outside.
    sensitive: hidden in ``repr`` and in every error text.
    column: name of the column, on data layers that have columns; the attribute's name by default.
    foreign_collation: the column of a table that another program owns may order and compare values in its own way.
    stored: the form of the column: ``"microseconds"`` for a datetime, ``"integer"`` for a Decimal with a scale; a mapping gives it for
        some databases only. Empty for the native type of the database.
    check: the table has a CHECK for the options of an Enum or a Literal.
    generated: the database counts the key: an identity column, AUTO_INCREMENT, or a rowid.
    database_default: the database fills the column if the caller gives no value: a value, ``now()``, or SQLText.
    computed: the database computes the column: an expression over other attributes, SQLText, or ``True`` for a column that another
        program fills. It is never written.
    """

    section: ClassVar[str] = "attributes"

    type: ValueType = _UNTYPED
    primary_key: bool = False
    default: Any = MISSING
    default_factory: Callable[[], Any] | None = None
    update_default_factory: Callable[[], Any] | None = None
    public: bool = False
    sensitive: bool = False
    constraints: Constraints = attrs.field(factory=Constraints)
    column: str | None = None
    foreign_collation: bool = False
    stored: str | Mapping[str, str] = ""
    check: bool = True
    generated: bool = False
    database_default: Any = MISSING
    computed: Any = None

    def __attrs_post_init__(self) -> None:
        """Raise DeclarationError RK016 for an attribute that code creates with a name and without a type."""
        super().__attrs_post_init__()
        if self.name.startswith("_") and not self.name.startswith("__"):  # names of Python itself are refused with all others
            hint = "Name it without the underscore."
            what = "an attribute's name must not start with an underscore"
            raise DeclarationError("RK032", what, path=("attributes", self.name), origin=Origin.here(), hint=hint)
        if self.name and self.type is _UNTYPED:
            what, hint = f"the attribute {self.name!r} has no type", f"Write Attribute.of({self.name!r}, str)."
            raise DeclarationError("RK016", what, path=("attributes", self.name), origin=Origin.here(), hint=hint)

    def declared(self, name: str, annotation: object, scope: Scope) -> Self:
        """Read the type from ``Attr[...]``. Raise RK030 without an annotation, RK031 for a type that no record can hold."""
        if name.startswith("_"):
            hint = "Name it without the underscore."
            raise DeclarationError("RK032", "an attribute's name must not start with an underscore", hint=hint)
        return attrs.evolve(self, name=self.name or name, type=_type_of(annotation, scope))

    @classmethod
    @checked_call("Attribute.of", "write Attribute.of('archived_at', datetime | None, default=None)")
    def of(cls, name: str, annotation: object, **facts: Any) -> Attribute:
        """Create an attribute in code, as extensions do: ``Attribute.of("archived_at", datetime | None, default=None)``."""
        return cls(name=name, type=_stored_type(annotation), origin=Origin.here(), **facts)

    @property
    def allow_none(self) -> bool:
        """Whether the value may be ``None``."""
        return self.type.allow_none

    @property
    def column_name(self) -> str:
        """The name of the column."""
        return self.name if self.column is None else self.column

    @property
    def scale(self) -> int | None:
        """The digits after the point that each Decimal has; ``None`` if they are not fixed."""
        limits = (self.constraints, self.type.limits, None if self.type.own is None else self.type.own.limits)
        return next((each.scale for each in limits if each is not None and each.scale is not None), None)

    def stored_on(self, database: str) -> str:
        """Return the form of the column in a database; empty for its native type."""
        return self.stored if isinstance(self.stored, str) else self.stored.get(database, "")

    @property
    def is_computed(self) -> bool:
        """Whether the database, or another program, computes the column."""
        return self.computed is not None and self.computed is not False

    @property
    def is_read_only(self) -> bool:
        """Whether only the database writes the column."""
        return self.generated or self.is_computed

    @property
    def is_filled(self) -> bool:
        """Whether the database fills the column if an insert leaves it out."""
        return self.is_read_only or self.database_default is not MISSING

    @property
    def has_default(self) -> bool:
        """Whether a record can be created without a value for this attribute."""
        return self.default is not MISSING or self.default_factory is not None or self.type.allow_none or self.is_filled

    def default_value(self) -> Any:
        """Return a new default; ``None`` if none was declared."""
        if self.default_factory is not None:
            return self.default_factory()
        return None if self.default is MISSING else self.default


class Attr(Whole, Word, Generic[T]):
    """An attribute in a class body, and its annotation.

    On the class it is the field in an expression (``Ticket.status == "open"``); on a record it is the value.
    """

    __slots__ = ("name", "owner")

    entity: Attribute  # pyright: ignore[reportIncompatibleVariableOverride]  # a word and its entity stay together

    @classmethod
    def bare(cls) -> Attr[Any]:
        """Return the attribute that ``name: Attr[str]`` declares without a value: required, without constraints."""
        return cls(Attribute(origin=Origin.here()))

    def __init__(self, entity: Attribute, name: str = "", owner: Any = None) -> None:
        super().__init__(entity)
        self.name, self.owner = name, owner

    def as_node(self) -> Expression:
        """Return the field, which keeps on which resource it was named."""
        return Field(self.name, self.owner)

    def named(self, name: str) -> None:
        """Take the name from the class body."""
        self.name = name

    @overload
    def __get__(self, record: None, owner: type) -> Self: ...
    @overload
    def __get__(self, record: object, owner: type) -> T: ...
    def __get__(self, record: object | None, owner: type) -> Self | T:
        """Return the field itself. Values of records are in their ``__dict__``, which Python reads first.

        Raise NotLoaded for a record of a query that did not select the attribute, and UnreadableValue for a stored value that does
        not fit its type.
        """
        if record is None:
            return self
        if (error := getattr(vars(record), "unreadable", {}).get(self.name)) is not None:
            raise UnreadableValue(error.findings, resource=error.resource)
        hint = f"add {self.name} to select(...), or read the whole record: reload(record)"
        if self.entity.is_filled:
            hint = f"the database fills it: read it from the record that a create action returns, or {hint}"
        raise NotLoaded(self.name, resource=owner.__name__, hint=hint)

    def sum(self) -> Figure:
        """The sum of the values of a group of records, for ``group_by(...).values(...)``; ``None`` if there is no value."""
        return Figure("sum", self.name, self.owner)

    def avg(self) -> Figure:
        """The average of the values of a group of records."""
        return Figure("avg", self.name, self.owner)

    def min(self) -> Figure:
        """The smallest value of a group of records."""
        return Figure("min", self.name, self.owner)

    def max(self) -> Figure:
        """The largest value of a group of records."""
        return Figure("max", self.name, self.owner)

    if not TYPE_CHECKING:  # type checkers refuse it anyway

        @classmethod
        def __class_getitem__(cls, inner: object) -> object:
            """Return ``Attr[...]`` of one type. Raise RK030 for several."""
            if isinstance(inner, tuple):
                shown = ", ".join(getattr(each, "__name__", str(each)) for each in inner)
                hint = "Write Attr[dict[str, int]] for a mapping, Attr[int | None] for a value that may be None."
                raise DeclarationError("RK030", f"Attr takes one type, not [{shown}]", origin=Origin.here(), hint=hint)
            return super().__class_getitem__(inner)

    if TYPE_CHECKING:
        # The constructor arguments of a record (PEP 681). Not defined at run time, so that reading a value is a plain
        # look-up.
        def __set__(self, record: object, value: T) -> None: ...

        # A field is compared with values of its own type; an Operand, whose type is unknown, is accepted everywhere.
        def __eq__(self, other: T | Operand | None) -> Expression: ...  # type: ignore[override]
        def __ne__(self, other: T | Operand | None) -> Expression: ...  # type: ignore[override]
        def __lt__(self, other: T | Operand) -> Expression: ...  # type: ignore[override]
        def __le__(self, other: T | Operand) -> Expression: ...  # type: ignore[override]
        def __gt__(self, other: T | Operand) -> Expression: ...  # type: ignore[override]
        def __ge__(self, other: T | Operand) -> Expression: ...  # type: ignore[override]
        def __hash__(self) -> int: ...
        def in_(self, options: Iterable[T | None] | Operand) -> Expression:  # type: ignore[override]
            ...

        def like(self, pattern: str | Operand) -> Expression:  # type: ignore[override]
            ...

    def __repr__(self) -> str:
        """Return ``<attribute subject: str>``."""
        return f"<attribute {self.name}: {self.entity.type}>"


def _type_of(annotation: object, scope: Scope) -> ValueType:
    if annotation is None:
        raise DeclarationError("RK030", "the attribute has no annotation", hint="Write its type: name: Attr[str] = attribute().")
    resolved = _resolved(annotation, scope)
    if getattr(resolved, "__origin__", None) is not Attr:
        hint = "Write it as Attr[...], for example Attr[str] or Attr[int | None]."
        raise DeclarationError("RK030", f"the annotation {annotation} is no Attr[...]", hint=hint)
    inner = resolved.__args__[0]
    return _stored_type(_resolved(inner.__forward_arg__, scope) if isinstance(inner, ForwardRef) else inner)


def _resolved(annotation: object, scope: Scope) -> Any:
    try:
        return scope.resolve(annotation)
    except NameError as error:
        hint = "Import it in this module, above the class (not only for type checkers)."
        raise DeclarationError("RK030", f"the annotation {annotation} names something unknown: {error}", hint=hint) from None
    except Exception as error:  # any error of evaluating a text that is not a type
        hint = "Write it as Attr[...], for example Attr[str] or Attr[int | None]."
        raise DeclarationError("RK030", f"the annotation {annotation} cannot be read: {error}", hint=hint) from None


def _stored_type(annotation: object) -> ValueType:
    """Return the type as a record can hold it. "Anything" becomes any JSON value."""
    try:
        read = read_annotation(annotation)
    except UnknownType as error:
        hint = "Use str, int, float, bool, Decimal, datetime, date, time, timedelta, UUID, bytes, an Enum, a Literal, list, dict, a class with fields (attrs, dataclass, TypedDict, pydantic, msgspec), or a union with None; for another class, declare value_type(...)."
        raise DeclarationError("RK031", str(error), hint=hint) from None
    return JSON_VALUE if read == ANYTHING else read


class _Given(TypedDict, total=False):
    """The options of an attribute besides its default."""

    primary_key: bool
    update_default_factory: Callable[[], Any] | None
    public: bool
    sensitive: bool
    min_length: int | None
    max_length: int | None
    minimum: Any
    maximum: Any
    match: str | re.Pattern[str] | None
    trim: bool
    empty: Any
    case: Case | None
    column: str | None
    foreign_collation: bool
    scale: int | None
    stored: Stored | Mapping[str, Stored]
    check: bool
    doc: str


# ``init`` tells type checkers that a record is made without a value for the attribute (PEP 681); it is never given.
@overload
def attribute(*, generated: Literal[True], init: Literal[False] = False, **given: Unpack[_Given]) -> Any: ...
@overload
def attribute(*, computed: object, init: Literal[False] = False, **given: Unpack[_Given]) -> Any: ...
@overload
def attribute(*, database_default: object, init: Literal[False] = False, **given: Unpack[_Given]) -> Any: ...
@overload
def attribute(*, default: T, **given: Unpack[_Given]) -> Attr[T]: ...
@overload
def attribute(*, default_factory: Callable[[], T], **given: Unpack[_Given]) -> Attr[T]: ...
@overload
def attribute(**given: Unpack[_Given]) -> Any: ...
@checked_builder("attribute")
def attribute(
    *,
    primary_key: bool = False,
    default: Any = MISSING,
    default_factory: Callable[[], Any] | None = None,
    update_default_factory: Callable[[], Any] | None = None,
    public: bool = False,
    sensitive: bool = False,
    min_length: int | None = None,
    max_length: int | None = None,
    minimum: Any = None,
    maximum: Any = None,
    match: str | re.Pattern[str] | None = None,
    trim: bool = False,
    empty: Any = MISSING,
    case: Case | None = None,
    column: str | None = None,
    foreign_collation: bool = False,
    scale: int | None = None,
    stored: Stored | Mapping[str, Stored] = "",
    check: bool = True,
    generated: bool = False,
    database_default: Any = MISSING,
    computed: Any = None,
    init: bool = True,
    doc: str = "",
) -> Any:
    """Declare an attribute; its type is the annotation: ``subject: Attr[str] = attribute(min_length=1)``.

    Attribute and Limits describe the options. For type checkers this is a field specifier (PEP 681).
    init: shows type checkers that the constructor does not take a value that the database fills.
    """
    del init
    constraints = Limits(
        min_length=min_length,
        max_length=max_length,
        minimum=minimum,
        maximum=maximum,
        match=match,
        trim=trim,
        empty=empty,
        case=case,
        scale=scale,
    )
    return Attr[Any](
        Attribute(
            origin=Origin.here(),
            doc=doc,
            primary_key=primary_key,
            default=default,
            default_factory=default_factory,
            update_default_factory=update_default_factory,
            public=public,
            sensitive=sensitive,
            constraints=constraints,
            column=column,
            foreign_collation=foreign_collation,
            stored=stored,
            check=check,
            generated=generated,
            database_default=database_default,
            computed=as_expression(computed) if isinstance(computed, Operand) else computed,
        )
    )
