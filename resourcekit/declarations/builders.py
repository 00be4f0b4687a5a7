"""The entity builders of actions: create, read, update, destroy, action."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any, Concatenate, Literal, ParamSpec, Self, TypeVar, cast, overload

from resourcekit.call_context import Context
from resourcekit.declarations.action import Action, CreateAction, DestroyAction, GenericAction, ReadAction, UpdateAction, Upsert
from resourcekit.declarations.argument import Argument
from resourcekit.declarations.callers import CreateWord, DestroyWord, GenericWord, GetWord, ReadWord, UpdateWord
from resourcekit.declarations.change import Change, ChangeFunction
from resourcekit.declarations.preparation import Preparation, PreparationFunction
from resourcekit.declarations.validation import Validation, ValidationFunction
from resourcekit.dsl.builder import checked_builder
from resourcekit.dsl.diagnostics import Origin
from resourcekit.dsl.entity import Word
from resourcekit.dsl.recorder import Unfinished
from resourcekit.dsl.scope import Scope
from resourcekit.errors import DeclarationError, InvalidArgument
from resourcekit.expressions.query import Query

__all__ = ["action", "create", "destroy", "named", "read", "update"]

P = ParamSpec("P")
T = TypeVar("T")
Prepared = Query[Any] | Coroutine[Any, Any, Query[Any]]
"""The result of a decorated read: the query, or a coroutine that returns it."""

Changes = Sequence[Change | ChangeFunction]
Validations = Sequence[Validation | ValidationFunction]


def _by_name(arguments: Iterable[Argument]) -> dict[str, Argument]:
    """Return the arguments by name. Raise DeclarationError for a value that is none (RK003), and for two of one name (RK044)."""
    found: dict[str, Argument] = {}
    for each in arguments:
        if not isinstance(each, Argument):  # a text, for example
            what = f"option 'arguments' has an item that is {type(each).__name__}"
            hint = 'Write arguments=[argument("name", str)].'
            raise DeclarationError("RK003", what, path=("arguments",), origin=Origin.here(), hint=hint)
        if each.name in found:
            what, hint = f"has two arguments {each.name!r}", "Rename or remove one of the two."
            raise DeclarationError("RK044", what, path=("arguments", each.name), origin=each.origin, hint=hint)
        found[each.name] = each
    return found


def _read_upsert(given: Upsert | str | bool) -> Upsert | None:
    if isinstance(given, Upsert):
        return given
    if isinstance(given, str):
        return Upsert(identity=given)
    return Upsert() if given else None


@checked_builder("create")
def create(
    function: Callable[..., Any] | None = None,
    *,
    accept: Sequence[str] = (),
    arguments: Sequence[Argument] = (),
    changes: Changes = (),
    validations: Validations = (),
    upsert: Upsert | str | bool = False,
    primary: bool = False,
    transaction: bool = False,
    notifiers: Sequence[Any] = (),
    doc: str = "",
) -> CreateWord:
    """Declare a create action: ``submit = create(accept=["subject"])``, or decorate ``(changeset, ...) -> changeset``.

    accept: attributes that the caller may give; none by default.
    arguments: further inputs, made with ``argument``.
    upsert: ``True`` updates the record with this primary key, a name the record with this identity; an Upsert gives the
        details.
    """
    return CreateWord(
        CreateAction(
            accept=tuple(accept),
            arguments=_by_name(arguments),
            changes=tuple(changes),
            validations=tuple(validations),
            upsert=_read_upsert(upsert),
            function=function,
            primary=primary,
            transaction=transaction,
            notifiers=tuple(notifiers),
            origin=Origin.here(),
            doc=doc,
        )
    )


@checked_builder("update")
def update(
    function: Callable[..., Any] | None = None,
    *,
    accept: Sequence[str] = (),
    arguments: Sequence[Argument] = (),
    changes: Changes = (),
    validations: Validations = (),
    require_atomic: bool = False,
    finds_with: str | None = None,
    primary: bool = False,
    transaction: bool = False,
    notifiers: Sequence[Any] = (),
    doc: str = "",
) -> UpdateWord:
    """Declare an update action: ``close = update(changes=[set_attribute("status", "closed")])``.

    require_atomic: refuse, at declaration (RK047), changes and validations that must read the record first.
    finds_with: write to records that this read action shows, instead of the primary one.
    """
    return UpdateWord(
        UpdateAction(
            accept=tuple(accept),
            arguments=_by_name(arguments),
            changes=tuple(changes),
            validations=tuple(validations),
            require_atomic=require_atomic,
            finds_with=finds_with,
            function=function,
            primary=primary,
            transaction=transaction,
            notifiers=tuple(notifiers),
            origin=Origin.here(),
            doc=doc,
        )
    )


@checked_builder("destroy")
def destroy(
    function: Callable[..., Any] | None = None,
    *,
    arguments: Sequence[Argument] = (),
    changes: Changes = (),
    validations: Validations = (),
    soft: bool = False,
    require_atomic: bool = False,
    finds_with: str | None = None,
    primary: bool = False,
    transaction: bool = False,
    notifiers: Sequence[Any] = (),
    doc: str = "",
) -> DestroyWord:
    """Declare a destroy action: ``remove = destroy()``.

    soft: write the values that the changes set instead of removing the record.
    require_atomic, finds_with: as for an update.
    """
    return DestroyWord(
        DestroyAction(
            arguments=_by_name(arguments),
            changes=tuple(changes),
            validations=tuple(validations),
            soft=soft,
            require_atomic=require_atomic,
            finds_with=finds_with,
            function=function,
            primary=primary,
            transaction=transaction,
            notifiers=tuple(notifiers),
            origin=Origin.here(),
            doc=doc,
        )
    )


# The parameters of a function after the query are the action's arguments. The engine passes the class and the Context, which
# therefore come first. To type checkers, a first argument of type object looks like a Context; they then accept any
# arguments.
@overload
def read(function: Callable[Concatenate[Query[Any], object, P], Prepared], /) -> ReadWord[...]: ...
@overload
def read(function: Callable[Concatenate[Query[Any], Context, P], Prepared], /) -> ReadWord[P]: ...
@overload
def read(function: Callable[Concatenate[Query[Any], P], Prepared], /) -> ReadWord[P]: ...
@overload
def read(function: Callable[Concatenate[type[Any], Query[Any], Context, P], Prepared], /) -> ReadWord[P]: ...
@overload
def read(function: Callable[Concatenate[type[Any], Query[Any], P], Prepared], /) -> ReadWord[P]: ...
@overload
def read(
    function: classmethod[Any, Any, Any] | None = ...,
    /,
    *,
    arguments: Sequence[Argument] = ...,
    preparations: Sequence[Preparation | PreparationFunction] = ...,
    get: Literal[True],
    primary: bool = ...,
    page_limit: int | None = ...,
    page_limit_max: int | None = ...,
    doc: str = ...,
) -> GetWord[...]: ...
@overload
def read(
    function: classmethod[Any, Any, Any] | None = ...,
    /,
    *,
    arguments: Sequence[Argument] = ...,
    preparations: Sequence[Preparation | PreparationFunction] = ...,
    get: Literal[False] = ...,
    primary: bool = ...,
    page_limit: int | None = ...,
    page_limit_max: int | None = ...,
    doc: str = ...,
) -> ReadWord[...]: ...
@checked_builder("read")
def read(
    function: Callable[..., Any] | classmethod[Any, Any, Any] | None = None,
    /,
    *,
    arguments: Sequence[Argument] = (),
    preparations: Sequence[Preparation | PreparationFunction] = (),
    get: bool = False,
    primary: bool = False,
    page_limit: int | None = None,
    page_limit_max: int | None = None,
    doc: str = "",
) -> ReadWord[...] | GetWord[...]:
    """Declare a read action: by preparations, or by decorating ``(query, ...) -> query``.

    get: the action returns one record or ``None`` instead of a list.
    page_limit: the size of its pages, if the caller gives none; page_limit_max: the most that a caller may ask for.
    """
    kind: type[ReadWord[...] | GetWord[...]] = GetWord if get else ReadWord
    return kind(
        ReadAction(
            arguments=_by_name(arguments),
            preparations=tuple(preparations),
            get=get,
            primary=primary,
            page_limit=page_limit,
            page_limit_max=page_limit_max,
            function=cast("Callable[..., Any] | None", function),
            origin=Origin.here(),
            doc=doc,
        )
    )


class _ActionWord:
    """Declares generic actions; ``action`` is its only instance.

    It is an object and not a function, so that ``@action`` and ``@action(transaction=True)`` share one list of overloads.
    """

    @overload
    def __call__(
        self, function: Callable[Concatenate[object, P], T], /, *, transaction: bool = ..., doc: str = ...
    ) -> GenericWord[..., T]: ...
    @overload
    def __call__(
        self, function: Callable[Concatenate[type[Any], Context, P], T], /, *, transaction: bool = ..., doc: str = ...
    ) -> GenericWord[P, T]: ...
    @overload
    def __call__(
        self, function: Callable[Concatenate[type[Any], P], T], /, *, transaction: bool = ..., doc: str = ...
    ) -> GenericWord[P, T]: ...
    @overload
    def __call__(
        self, function: Callable[Concatenate[Context, P], T], /, *, transaction: bool = ..., doc: str = ...
    ) -> GenericWord[P, T]: ...
    @overload
    def __call__(self, function: Callable[P, T], /, *, transaction: bool = ..., doc: str = ...) -> GenericWord[P, T]: ...
    @overload
    def __call__(self, function: classmethod[Any, P, T], /, *, transaction: bool = ..., doc: str = ...) -> GenericWord[P, T]: ...
    @overload
    def __call__(self, *, transaction: bool = ..., doc: str = ...) -> Self: ...
    @checked_builder("action")
    def __call__(self, function: Any = None, *, transaction: bool = False, doc: str = "") -> Any:
        """Declare a generic action by decorating a function.

        The parameters of the function are the action's arguments, its return type is that of the result. It may be a static
        or a class method, sync or async. A parameter annotated Context receives the context; it should come first, so that
        type checkers recognize it.

        transaction: run it inside a transaction.
        """
        if function is None:
            return Unfinished(self, transaction=transaction, doc=doc)
        return GenericWord[..., Any](GenericAction(function=function, transaction=transaction, origin=Origin.here(), doc=doc))


action = _ActionWord()
"""Declare a generic action: ``@action``, or ``@action(transaction=True)``."""


def named(name: str, word: Word) -> Action:
    """Return the action of an entity builder under a name, for extensions that add it to a state: ``state.add(named(...))``."""
    entity = word.entity
    if not isinstance(entity, Action):
        raise InvalidArgument(f"named takes an action such as create(...), not {type(entity).__name__}")
    return entity.declared(name, None, Scope({}, {}))
