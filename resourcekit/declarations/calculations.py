"""Calculations: values of a record that are computed, by an expression or by a function over a batch of records."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, ClassVar, ForwardRef, Generic, Literal, Self, TypeVar, get_args, get_origin, overload

import attrs

from resourcekit.declarations.argument import Argument
from resourcekit.declarations.value_type import UnknownType, ValueType, read_annotation
from resourcekit.dsl.builder import checked_builder
from resourcekit.dsl.diagnostics import Origin
from resourcekit.dsl.entity import Entity, Word, shadowed_builder
from resourcekit.dsl.scope import Scope
from resourcekit.errors import DeclarationError, NotLoaded, UnreadableValue
from resourcekit.expressions.nodes import Calculated, Expression, Operand

__all__ = ["Calc", "Calculation", "calculated", "calculation"]

T = TypeVar("T")


@attrs.frozen(kw_only=True, eq=False)
class Calculation(Entity):
    """The facts of one calculation.

    type: of its values.
    expression: a function that returns the expression; ``None`` for a function over records.
    function: a function over a batch of records, which returns one value for each.
    needs: the attributes that the function reads.
    arguments: inputs that a query gives.
    public: shown by ``as_dict`` if it was loaded, and open to conditions and orders from outside.
    """

    section: ClassVar[str] = "calculations"

    type: ValueType | None = None
    expression: Callable[[], Operand] | None = attrs.field(default=None, repr=False)
    function: Callable[..., Any] | None = attrs.field(default=None, repr=False)
    needs: tuple[str, ...] = ()
    arguments: tuple[Argument, ...] = ()
    public: bool = False

    def declared(self, name: str, annotation: object, scope: Scope) -> Self:
        """Read the type from ``Calc[...]``, or from what the function returns. Raise RK098 for another annotation, or for none."""
        if self.function is not None and annotation is None:
            return attrs.evolve(self, name=self.name or name, type=_returned(self.function, scope))
        inner = _inside(annotation, scope)
        if inner is None:
            what = f"a calculation needs the annotation Calc[...], has {'none' if annotation is None else annotation}"
            raise DeclarationError("RK098", what, hint=f"Write {name}: Calc[str] = calculated(lambda: ...).")
        return attrs.evolve(self, name=self.name or name, type=_type(inner, scope, name))


def _inside(annotation: object, scope: Scope) -> object | None:
    """Return the type inside ``Calc[...]``; ``None`` for another annotation."""
    if isinstance(annotation, (str, ForwardRef)):
        try:
            annotation = scope.resolve(annotation)
        except Exception:  # the caller reports it
            return None
    if get_origin(annotation) is not Calc:
        return None
    return next(iter(get_args(annotation)), None)


def _type(inner: object, scope: Scope, name: str) -> ValueType | None:
    if get_origin(inner) is tuple:  # collected values
        return None
    try:
        return read_annotation(scope.resolve(inner.__forward_arg__) if isinstance(inner, ForwardRef) else inner)
    except (UnknownType, NameError) as error:
        hint = f"Write the type of the value: {name}: Calc[int] = calculated(...)."
        raise DeclarationError("RK098", str(error), hint=hint) from None


def _returned(function: Callable[..., Any], scope: Scope) -> ValueType | None:
    """Return the type of one value of a function that returns a list; ``None`` if its annotation does not say it."""
    try:
        found = scope.resolve(inspect.signature(function).return_annotation)
        return read_annotation(get_args(found)[0])
    except Exception:  # a type of the user that no attribute may have: the values are taken as they are
        return None


class Calc(Operand, Word, Generic[T]):
    """A calculation: ``full_name: Calc[str] = calculated(lambda: Author.first + " " + Author.last)``.

    On the class it is a value in expressions, and for ``load``; on a record it is what was loaded. Reading it computes nothing.
    """

    __slots__ = ("name", "owner")

    entity: Calculation  # pyright: ignore[reportIncompatibleVariableOverride]  # a word and its entity stay together

    def __init__(self, entity: Calculation, name: str = "", owner: Any = None) -> None:
        super().__init__(entity)
        self.name, self.owner = name, owner

    def named(self, name: str) -> None:
        """Take the name from the class body."""
        self.name = name

    def as_node(self) -> Expression:
        """Return the node of this calculation, without arguments."""
        return Calculated(self.owner, self.name)

    def __call__(self, **arguments: Any) -> Expression:
        """Return the calculation with arguments: ``Author.greeting(title="Ms.")``."""
        if self.owner is None:
            raise shadowed_builder(self)
        return Calculated(self.owner, self.name, arguments)

    @overload
    def __get__(self, record: None, owner: type) -> Self: ...
    @overload
    def __get__(self, record: object, owner: type) -> T: ...
    def __get__(self, record: object | None, owner: type) -> Any:
        """Return the calculation itself, or its value. Raise NotLoaded if it was not loaded."""
        if record is None:
            return self
        loaded = getattr(record, "__loaded__", None)
        if loaded is not None and self.name in loaded.related:
            return loaded.related[self.name]
        if (error := getattr(vars(record), "unreadable", {}).get(self.name)) is not None:
            raise UnreadableValue(error.findings, resource=error.resource)
        where = f"{owner.__name__}.{self.name}"
        hint = f"write query({owner.__name__}).load({where}), or load(record, {where})"
        raise NotLoaded(self.name, resource=owner.__name__, hint=hint)

    def __repr__(self) -> str:
        """Return resource and name."""
        return f"<calculation {getattr(self.owner, '__name__', '?')}.{self.name}>"


@checked_builder("calculated")
def calculated(
    expression: Callable[[], Operand],
    *,
    arguments: Sequence[Argument] = (),
    public: bool = False,
    doc: str = "",
    init: Literal[False] = False,
) -> Any:
    """Declare a value that the data layer computes: ``n: Calc[int] = calculated(lambda: Author.books.count())``.

    expression: a lambda that returns an expression over the record, and over related records.
    arguments: inputs that a query gives, ``[argument("title", str)]``; ``arg("title")`` is the value.
    public: ``as_dict`` shows it if it was loaded, and conditions and orders from outside may name it.
    init: shows type checkers that the constructor does not take a calculation.
    """
    del init
    return Calc[Any](Calculation(expression=expression, arguments=tuple(arguments), public=public, origin=Origin.here(), doc=doc))


@checked_builder("calculation")
def calculation(
    *, needs: Sequence[str] = (), arguments: Sequence[Argument] = (), public: bool = False
) -> Callable[[Callable[..., Sequence[T] | Awaitable[Sequence[T]]]], Calc[T]]:
    """Decorate a function over a batch of records that returns one value for each: it can be loaded, and nothing else.

    ``@calculation(needs=["first", "last"])`` above ``def initials(records) -> list[str]: ...``. The function may be async.

    needs: the attributes that it reads, which are selected for it; it sees no others.
    arguments: inputs that a query gives, passed by name.
    public: ``as_dict`` shows it if it was loaded.
    """

    def declare(function: Callable[..., Sequence[T] | Awaitable[Sequence[T]]]) -> Calc[T]:
        code = getattr(function, "__code__", None)
        origin = Origin.here() if code is None else Origin(code.co_filename, code.co_firstlineno)
        doc = (inspect.getdoc(function) or "").strip()
        facts: Mapping[str, Any] = {"public": public, "origin": origin, "doc": doc}
        return Calc(Calculation(function=function, needs=tuple(needs), arguments=tuple(arguments), **facts))

    return declare
