"""The types of action functions, for type checkers. At run time the callers of ``actions.interface`` take their place."""

from __future__ import annotations

from collections.abc import Coroutine, Iterable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Generic, Literal, ParamSpec, Protocol, Self, TypeVar, overload

import attrs

from resourcekit.call_context import Deadline
from resourcekit.declarations.runnable_query import RunnableQuery
from resourcekit.dsl.entity import Word, shadowed_builder
from resourcekit.dsl.recorder import running_class_body
from resourcekit.expressions.query import Query
from resourcekit.results import BulkResult, Written

__all__ = ["CreateWord", "DestroyWord", "GenericWord", "GetWord", "ReadWord", "UpdateWord"]

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
W = TypeVar("W", bound=Word)
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
Strategy = Literal["atomic", "stream"]


class _Using(Protocol):
    """Action functions that accept an actor, a tenant, a deadline or metadata for a call."""

    def using(
        self,
        *,
        actor: object = ...,
        tenant: object = ...,
        deadline: timedelta | Deadline | None = None,
        metadata: Mapping[str, object] | None = None,
    ) -> Self:
        """Return this action with an actor, a tenant, a deadline or metadata for its calls."""
        ...


class _BulkCreate(Protocol[R_co]):
    def __call__(
        self, rows: Iterable[Mapping[str, object]], *, batch_size: int = 1000, return_records: bool = True
    ) -> BulkResult[R_co]:
        """Create many records; see ``bulk_create`` in ``resourcekit.actions.bulk``."""
        ...

    def aio(
        self, rows: Iterable[Mapping[str, object]], *, batch_size: int = 1000, return_records: bool = True
    ) -> Coroutine[Any, Any, BulkResult[R_co]]:
        """Create many records, async."""
        ...


class _BulkUpdate(Protocol[R_co]):
    def __call__(
        self,
        query: Query[Any] | Iterable[Any],
        *,
        strategy: Strategy | None = None,
        return_records: bool = False,
        **given: object,
    ) -> BulkResult[R_co]:
        """Write to all records of a query; see ``bulk_change`` in ``resourcekit.actions.bulk``."""
        ...

    def aio(
        self,
        query: Query[Any] | Iterable[Any],
        *,
        strategy: Strategy | None = None,
        return_records: bool = False,
        **given: object,
    ) -> Coroutine[Any, Any, BulkResult[R_co]]:
        """Write to all records of a query, async."""
        ...


class _Outcome(Protocol[R_co]):
    def __call__(self, **given: object) -> Written[R_co]:
        """Return the record and the outcome: "inserted", "updated" or "skipped"."""
        ...

    def aio(self, **given: object) -> Coroutine[Any, Any, Written[R_co]]:
        """Return the record and the outcome, async."""
        ...


class _CreateCaller(_Using, Protocol[R_co]):
    def __call__(self, **given: object) -> R_co:
        """Create a record."""
        ...

    def aio(self, **given: object) -> Coroutine[Any, Any, R_co]:
        """Create a record, async."""
        ...

    @property
    def bulk(self) -> _BulkCreate[R_co]:
        """Create many records."""
        ...

    @property
    def outcome(self) -> _Outcome[R_co]:
        """Create a record, or update the existing one, and return it with the outcome."""
        ...


class _UpdateCaller(_Using, Protocol[R_co]):
    def __call__(self, record_or_key: object, /, **given: object) -> R_co:
        """Write to a record, given as itself or by its primary key."""
        ...

    def aio(self, record_or_key: object, /, **given: object) -> Coroutine[Any, Any, R_co]:
        """Write to a record, async."""
        ...

    @property
    def bulk(self) -> _BulkUpdate[R_co]:
        """Write to many records."""
        ...


class _RecordCaller(_Using, Protocol[R_co]):
    def __call__(self, **given: object) -> R_co:
        """Write to this record."""
        ...

    def aio(self, **given: object) -> Coroutine[Any, Any, R_co]:
        """Write to this record, async."""
        ...


class _Caller(_Using, Protocol[P, T_co]):
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T_co:
        """Run the action."""
        ...

    def aio(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, T_co]:
        """Run the action, async."""
        ...


class _ReadCaller(_Caller[P, list[R]], Protocol[P, R]):
    def query(self, *args: P.args, **kwargs: P.kwargs) -> RunnableQuery[R]:
        """Return a query over the records of this action, which is prepared when it runs."""
        ...


def _decorated(word: W, *functions: Any, **given: Any) -> W:
    """Return the word with a function that it decorates.

    Raises DeclarationError RK038 for a word that took the name of its builder, and is called in the builder's place.
    """
    body: Mapping[str, Any] = running_class_body() or {}
    if len(functions) != 1 or given or not callable(getattr(functions[0], "__func__", functions[0])):
        raise shadowed_builder(word)
    if body.get(getattr(word.entity, "kind", "")) is word:
        raise shadowed_builder(word)
    return type(word)(attrs.evolve(word.entity, function=functions[0]))  # type: ignore[call-arg]  # every action has one


class CreateWord(Word):
    """A create action in a class body; on the class, its caller."""

    __slots__ = ()

    def __get__(self, record: object, owner: type[R]) -> _CreateCaller[R]:
        """Return the caller. At run time the caller of the engine replaces this object once the class is created."""
        raise AttributeError(self.entity.name)

    if TYPE_CHECKING:

        def __call__(self, function: Any, /) -> Self:
            """Decorate a function: ``@create(accept=["subject"])``."""
            ...

    else:
        __call__ = _decorated


class UpdateWord(Word):
    """An update action in a class body; on the class, its caller; on a record, the caller for that record."""

    __slots__ = ()

    @overload
    def __get__(self, record: None, owner: type[R]) -> _UpdateCaller[R]: ...
    @overload
    def __get__(self, record: R, owner: type[R]) -> _RecordCaller[R]: ...
    def __get__(self, record: Any, owner: Any) -> Any:
        """Return the caller. At run time the caller of the engine replaces this object once the class is created."""
        raise AttributeError(self.entity.name)

    if TYPE_CHECKING:

        def __call__(self, function: Any, /) -> Self:
            """Decorate a function: ``@update(accept=["status"])``."""
            ...

    else:
        __call__ = _decorated


class DestroyWord(UpdateWord):
    """A destroy action in a class body. Its callers are those of an update."""

    __slots__ = ()


class ReadWord(Word, Generic[P]):
    """A read action in a class body; on the class, its caller, which returns the records that it finds."""

    __slots__ = ()

    def __get__(self, record: object, owner: type[R]) -> _ReadCaller[P, R]:
        """Return the caller. At run time the caller of the engine replaces this object once the class is created."""
        raise AttributeError(self.entity.name)

    if TYPE_CHECKING:

        def __call__(self, function: Any, /) -> Self:
            """Decorate a function: ``@read(primary=True)``."""
            ...

    else:
        __call__ = _decorated


class GetWord(Word, Generic[P]):
    """A read action for one record; on the class, its caller, which returns the record or ``None``."""

    __slots__ = ()

    def __get__(self, record: object, owner: type[R]) -> _Caller[P, R | None]:
        """Return the caller. At run time the caller of the engine replaces this object once the class is created."""
        raise AttributeError(self.entity.name)

    if TYPE_CHECKING:

        def __call__(self, function: Any, /) -> Self:
            """Decorate a function: ``@read(get=True)``."""
            ...

    else:
        __call__ = _decorated


class GenericWord(Word, Generic[P, T_co]):
    """A generic action in a class body; on the class, its caller, which returns the awaited result of the function."""

    __slots__ = ()

    @overload
    def __get__(self: GenericWord[P, Coroutine[Any, Any, T]], record: object, owner: type) -> _Caller[P, T]: ...
    @overload
    def __get__(self, record: object, owner: type) -> _Caller[P, T_co]: ...
    def __get__(self, record: object, owner: type) -> Any:
        """Return the caller. At run time the caller of the engine replaces this object once the class is created."""
        raise AttributeError(self.entity.name)
