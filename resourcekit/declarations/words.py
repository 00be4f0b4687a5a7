"""The words that declare actions: create, read, update, destroy, action. They know types and signatures, no engine."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Sequence
from functools import partial
from typing import Any, Concatenate, Literal, ParamSpec, Self, TypeVar, cast, overload

from resourcekit.declarations.action import Action, CreateAction, DestroyAction, GenericAction, ReadAction, UpdateAction, Upsert
from resourcekit.declarations.argument import Argument
from resourcekit.declarations.callers import CreateWord, DestroyWord, GenericWord, GetWord, ReadWord, UpdateWord
from resourcekit.declarations.change import Change, ChangeFunction
from resourcekit.declarations.preparation import Preparation, PreparationFunction
from resourcekit.declarations.validation import Validation, ValidationFunction
from resourcekit.dsl.entity import Word
from resourcekit.dsl.option import checked_word
from resourcekit.dsl.origin import Origin
from resourcekit.dsl.scope import Scope
from resourcekit.flow.context import Context
from resourcekit.flow.query import Query

__all__ = ["action", "create", "destroy", "named", "read", "update"]

P = ParamSpec("P")
T = TypeVar("T")
Prepared = Query[Any] | Coroutine[Any, Any, Query[Any]]
"""What a decorated read returns: the query, also by a coroutine."""

Changes = Sequence[Change | ChangeFunction]
Validations = Sequence[Validation | ValidationFunction]


def _by_name(arguments: Iterable[Argument]) -> dict[str, Argument]:
    return {argument.name: argument for argument in arguments}


def _read_upsert(given: Upsert | str | bool) -> Upsert | None:
    if isinstance(given, Upsert):
        return given
    if isinstance(given, str):
        return Upsert(identity=given)
    return Upsert() if given else None


@checked_word("create")
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

    accept: attributes that the caller may give; none unless said. arguments: further inputs, made with ``argument``.
    upsert: ``True`` updates the record with this primary key, a name the one of that identity; an Upsert says how.
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


@checked_word("update")
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


@checked_word("destroy")
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

    soft: write what the changes set instead of removing the record.
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


# What a function takes besides the query is the action's arguments; the engine gives it the class and the Context, which
# therefore stand first. An argument that may be any object looks like a Context to checkers: they take any arguments then.
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
    doc: str = ...,
) -> ReadWord[...]: ...
@checked_word("read")
def read(
    function: Callable[..., Any] | classmethod[Any, Any, Any] | None = None,
    /,
    *,
    arguments: Sequence[Argument] = (),
    preparations: Sequence[Preparation | PreparationFunction] = (),
    get: bool = False,
    primary: bool = False,
    doc: str = "",
) -> ReadWord[...] | GetWord[...]:
    """Declare a read action: by preparations, or by decorating ``(query, ...) -> query``.

    get: the action returns one record or ``None`` instead of a list.
    """
    kind: type[ReadWord[...] | GetWord[...]] = GetWord if get else ReadWord
    return kind(
        ReadAction(
            arguments=_by_name(arguments),
            preparations=tuple(preparations),
            get=get,
            primary=primary,
            function=cast("Callable[..., Any] | None", function),
            origin=Origin.here(),
            doc=doc,
        )
    )


class _ActionWord:
    """Declares generic actions; ``action`` is the only one.

    An object and not a function, so that ``@action`` and ``@action(transaction=True)`` share one list of overloads.
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
    @checked_word("action")
    def __call__(self, function: Any = None, *, transaction: bool = False, doc: str = "") -> Any:
        """Declare a generic action by decorating a function.

        Its signature is the action's arguments, its return type the result's. It may be a static or a class method, sync
        or async. A parameter annotated Context gets the context; let it come first, so that type checkers know it.
        transaction: run it inside a transaction.
        """
        if function is None:
            return partial(self, transaction=transaction, doc=doc)
        return GenericWord[..., Any](GenericAction(function=function, transaction=transaction, origin=Origin.here(), doc=doc))


action = _ActionWord()
"""Declare a generic action: ``@action``, or ``@action(transaction=True)``."""


def named(name: str, word: Word) -> Action:
    """Return the action that a word declares, under a name, as extensions add it to a state: ``state.add(named(...))``."""
    entity = word.entity
    if not isinstance(entity, Action):
        msg = f"{type(entity).__name__} is no action"
        raise TypeError(msg)
    return entity.declared(name, None, Scope({}, {}))
