"""What an action looks like from outside, for type checkers: the engine's callers have this shape. It knows no engine."""

from __future__ import annotations

from collections.abc import Coroutine, Iterable, Mapping
from datetime import timedelta
from typing import Any, Generic, Literal, ParamSpec, Protocol, Self, TypeVar, overload

import attrs

from resourcekit.dsl.entity import Word
from resourcekit.flow.query import Query
from resourcekit.flow.result import BulkResult

__all__ = ["CreateWord", "DestroyWord", "GenericWord", "GetWord", "ReadWord", "UpdateWord"]

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
W = TypeVar("W", bound=Word)
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
Strategy = Literal["atomic", "stream"]


class _Using(Protocol):
    """What all callers can: run with facts of this one call."""

    def using(
        self, *, actor: object = ..., deadline: timedelta | None = None, metadata: Mapping[str, object] | None = None
    ) -> Self:
        """Return this action with facts for its calls: who acts, by when."""
        ...


class _BulkCreate(Protocol[R_co]):
    def __call__(
        self, rows: Iterable[Mapping[str, object]], *, batch_size: int = 1000, return_records: bool = True
    ) -> BulkResult[R_co]:
        """Create many records; see ``engine.bulk``."""
        ...

    def aio(
        self, rows: Iterable[Mapping[str, object]], *, batch_size: int = 1000, return_records: bool = True
    ) -> Coroutine[Any, Any, BulkResult[R_co]]:
        """Create many records, async."""
        ...


class _BulkUpdate(Protocol[R_co]):
    def __call__(
        self, query: Query[Any] | Iterable[Any], *, strategy: Strategy | None = None, **given: object
    ) -> BulkResult[R_co]:
        """Write to all records of a query; see ``engine.bulk``."""
        ...

    def aio(
        self, query: Query[Any] | Iterable[Any], *, strategy: Strategy | None = None, **given: object
    ) -> Coroutine[Any, Any, BulkResult[R_co]]:
        """Write to all records of a query, async."""
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
        """Create many."""
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
        """Write to many."""
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


class CreateWord(Word):
    """A create action in a class body; on the class, its caller."""

    __slots__ = ()

    def __get__(self, record: object, owner: type[R]) -> _CreateCaller[R]:
        """Return the caller; at run time the engine's stands here once the class is made."""
        raise AttributeError(self.entity.name)

    def __call__(self, function: Any) -> Self:
        """Decorate a function: ``@create(accept=["subject"])``."""
        return _decorated(self, function)


class UpdateWord(Word):
    """An update action in a class body; on the class, its caller; on a record, the caller for that record."""

    __slots__ = ()

    @overload
    def __get__(self, record: None, owner: type[R]) -> _UpdateCaller[R]: ...
    @overload
    def __get__(self, record: R, owner: type[R]) -> _RecordCaller[R]: ...
    def __get__(self, record: Any, owner: Any) -> Any:
        """Return the caller; at run time the engine's stands here once the class is made."""
        raise AttributeError(self.entity.name)

    def __call__(self, function: Any) -> Self:
        """Decorate a function: ``@update(accept=["status"])``."""
        return _decorated(self, function)


class DestroyWord(UpdateWord):
    """A destroy action in a class body; it looks like an update from outside."""

    __slots__ = ()


class ReadWord(Word, Generic[P]):
    """A read action in a class body; on the class, its caller, which returns the records that it finds."""

    __slots__ = ()

    def __get__(self, record: object, owner: type[R]) -> _Caller[P, list[R]]:
        """Return the caller; at run time the engine's stands here once the class is made."""
        raise AttributeError(self.entity.name)

    def __call__(self, function: Any) -> Self:
        """Decorate a function: ``@read(primary=True)``."""
        return _decorated(self, function)


class GetWord(Word, Generic[P]):
    """A read action that is meant for one record; on the class, its caller, which returns that one or ``None``."""

    __slots__ = ()

    def __get__(self, record: object, owner: type[R]) -> _Caller[P, R | None]:
        """Return the caller; at run time the engine's stands here once the class is made."""
        raise AttributeError(self.entity.name)

    def __call__(self, function: Any) -> Self:
        """Decorate a function: ``@read(get=True)``."""
        return _decorated(self, function)


class GenericWord(Word, Generic[P, T_co]):
    """A generic action in a class body; on the class, its caller, which returns what the function returns, awaited."""

    __slots__ = ()

    @overload
    def __get__(self: GenericWord[P, Coroutine[Any, Any, T]], record: object, owner: type) -> _Caller[P, T]: ...
    @overload
    def __get__(self, record: object, owner: type) -> _Caller[P, T_co]: ...
    def __get__(self, record: object, owner: type) -> Any:
        """Return the caller; at run time the engine's stands here once the class is made."""
        raise AttributeError(self.entity.name)


def _decorated(word: W, function: Any) -> W:
    return type(word)(attrs.evolve(word.entity, function=function))  # type: ignore[call-arg]  # every action has a function
