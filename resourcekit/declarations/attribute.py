"""Attributes: what a record holds. Knows expressions and types, no store."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, ClassVar, ForwardRef, Generic, Self, TypedDict, TypeVar, Unpack, overload

import attrs

from resourcekit.declarations.value_type import ANYTHING, JSON_VALUE, UnknownType, ValueType, read_annotation
from resourcekit.dsl.entity import Entity, Word
from resourcekit.dsl.option import checked_word
from resourcekit.dsl.origin import Origin
from resourcekit.dsl.scope import Scope
from resourcekit.dsl.sentinel import MISSING
from resourcekit.errors import DeclarationError
from resourcekit.flow.expression import Expression, Operand

__all__ = ["Attr", "Attribute", "Constraints", "attribute"]

T = TypeVar("T")


@attrs.frozen(kw_only=True)
class Constraints:
    """What a value must keep besides its type.

    min_length, max_length: in code points (text), bytes, or items; both inclusive.
    minimum, maximum: of the value itself; both inclusive.
    match: a regular expression that the whole text must match.
    """

    min_length: int | None = None
    max_length: int | None = None
    minimum: Any = None
    maximum: Any = None
    match: re.Pattern[str] | None = None


@attrs.frozen(kw_only=True, eq=False)
class Attribute(Entity):
    """The facts of one attribute.

    primary_key: part of the record's key; never changed after the insert.
    default: the value where none is given. default_factory: makes that value, anew for each record.
    update_default_factory: makes the value at each update that does not set the attribute.
    public: shown by ``as_dict`` and to the outside. sensitive: hidden in ``repr`` and in every error text.
    """

    section: ClassVar[str] = "attributes"

    type: ValueType = ANYTHING
    primary_key: bool = False
    default: Any = MISSING
    default_factory: Callable[[], Any] | None = None
    update_default_factory: Callable[[], Any] | None = None
    public: bool = False
    sensitive: bool = False
    constraints: Constraints = attrs.field(factory=Constraints)

    def declared(self, name: str, annotation: object, scope: Scope) -> Self:
        """Read the type out of ``Attr[...]``; RK030 where there is none, RK031 where no record can hold it."""
        if name.startswith("_"):
            hint = "Name it without the underscore."
            raise DeclarationError("RK032", "an attribute's name must not start with an underscore", hint=hint)
        return attrs.evolve(self, name=self.name or name, type=_type_of(annotation, scope))

    @classmethod
    def of(cls, name: str, annotation: object, **facts: Any) -> Attribute:
        """Make an attribute in code, as extensions do: ``Attribute.of("archived_at", datetime | None, default=None)``."""
        return cls(name=name, type=_stored_type(annotation), origin=Origin.here(), **facts)

    @property
    def allow_none(self) -> bool:
        """The value may be ``None``."""
        return self.type.allow_none

    @property
    def has_default(self) -> bool:
        """A record can be created without naming this attribute."""
        return self.default is not MISSING or self.default_factory is not None or self.type.allow_none

    def default_value(self) -> Any:
        """Return a fresh default; ``None`` where none was declared."""
        if self.default_factory is not None:
            return self.default_factory()
        return None if self.default is MISSING else self.default


class Attr(Operand, Word, Generic[T]):
    """An attribute in a class body, and its annotation.

    On the class it stands for the field in an expression (``Ticket.status == "open"``); on a record it is the value.
    """

    __slots__ = ("name",)

    entity: Attribute  # pyright: ignore[reportIncompatibleVariableOverride]  # a word and its entity stay together

    @classmethod
    def bare(cls) -> Attr[Any]:
        """Return the attribute that ``name: Attr[str]`` alone declares: required, with no constraint."""
        return cls(Attribute(origin=Origin.here()))

    def __init__(self, entity: Attribute, name: str = "") -> None:
        super().__init__(entity)
        self.name = name

    def named(self, name: str) -> None:
        """Take the name that the class body gives."""
        self.name = name

    @overload
    def __get__(self, record: None, owner: type) -> Self: ...
    @overload
    def __get__(self, record: object, owner: type) -> T: ...
    def __get__(self, record: object | None, owner: type) -> Self | T:
        """Return the field itself; a record's own values are found before this is asked."""
        if record is None:
            return self
        raise AttributeError(self.name)

    if TYPE_CHECKING:
        # What a record is made with (PEP 681). At run time there is none, so that reading a value is a plain look-up.
        def __set__(self, record: object, value: T) -> None: ...

        # What a field is compared with has its type; Operand, whose type nobody knows, takes anything.
        def __eq__(self, other: T | Operand | None) -> Expression: ...  # type: ignore[override]
        def __ne__(self, other: T | Operand | None) -> Expression: ...  # type: ignore[override]
        def __lt__(self, other: T | Operand) -> Expression: ...  # type: ignore[override]
        def __le__(self, other: T | Operand) -> Expression: ...  # type: ignore[override]
        def __gt__(self, other: T | Operand) -> Expression: ...  # type: ignore[override]
        def __ge__(self, other: T | Operand) -> Expression: ...  # type: ignore[override]
        def __hash__(self) -> int: ...
        def in_(self, options: Iterable[T | None] | Operand) -> Expression:  # type: ignore[override]
            """See Operand."""
            ...

        def like(self, pattern: str | Operand) -> Expression:  # type: ignore[override]
            """See Operand."""
            ...

    def __repr__(self) -> str:
        """``<attribute subject: str>``."""
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
    except Exception as error:  # whatever a text raises that is no type
        hint = "Write it as Attr[...], for example Attr[str] or Attr[int | None]."
        raise DeclarationError("RK030", f"the annotation {annotation} cannot be read: {error}", hint=hint) from None


def _stored_type(annotation: object) -> ValueType:
    """Return the type as a record can hold it: of "anything", that is what JSON can say."""
    try:
        read = read_annotation(annotation)
    except UnknownType as error:
        hint = "Use str, int, float, bool, Decimal, datetime, date, time, timedelta, UUID, bytes, an Enum, a Literal, list, dict, or a union with None."
        raise DeclarationError("RK031", str(error), hint=hint) from None
    return JSON_VALUE if read == ANYTHING else read


class _Given(TypedDict, total=False):
    """What may be said of an attribute besides its default."""

    primary_key: bool
    update_default_factory: Callable[[], Any] | None
    public: bool
    sensitive: bool
    min_length: int | None
    max_length: int | None
    minimum: Any
    maximum: Any
    match: str | re.Pattern[str] | None
    doc: str


@overload
def attribute(*, default: T, **given: Unpack[_Given]) -> Attr[T]: ...
@overload
def attribute(*, default_factory: Callable[[], T], **given: Unpack[_Given]) -> Attr[T]: ...
@overload
def attribute(**given: Unpack[_Given]) -> Any: ...
@checked_word("attribute")
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
    doc: str = "",
) -> Any:
    """Declare an attribute; its type is the annotation: ``subject: Attr[str] = attribute(min_length=1)``.

    See Attribute and Constraints for what the words mean. To type checkers it is a field specifier (PEP 681).
    """
    constraints = Constraints(
        min_length=min_length,
        max_length=max_length,
        minimum=minimum,
        maximum=maximum,
        match=re.compile(match) if isinstance(match, str) else match,
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
        )
    )
