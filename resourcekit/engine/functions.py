"""Functions of extensions over a resource: written once, in every spelling, in both colours. They know no action."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Coroutine, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar

import attrs

from resourcekit.engine.drive import drive, in_colour
from resourcekit.flow.context import context

__all__ = [
    "Bound",
    "Function",
    "MaybeRecordFunction",
    "RecordFunction",
    "RecordsFunction",
    "ResourceFunction",
    "function",
    "functions",
    "maybe_record_function",
    "record_function",
    "records_function",
]

P = ParamSpec("P")
T = TypeVar("T")
R = TypeVar("R")
Body = Callable[Concatenate[Any, P], Coroutine[Any, Any, T]]


class Bound(Generic[P, T]):
    """A function of an extension on a resource class, in both colours.

    source: what holds its body, which is looked up at each call, because an onlooker may have wrapped it meanwhile.
    """

    __slots__ = ("_resource", "_source")

    def __init__(self, source: _Source[P, T], resource: Any) -> None:
        self._source, self._resource = source, resource

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run it now, in this thread."""
        return drive(self._source.function(self._resource, *args, **kwargs))

    def aio(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, T]:
        """Return a coroutine that runs it."""
        return in_colour(self._source.function(self._resource, *args, **kwargs))

    def using(
        self, *, actor: object = ..., deadline: timedelta | None = None, metadata: Mapping[str, object] | None = None
    ) -> Bound[P, T]:
        """Return this function with facts for its calls: who acts, by when. Raises InvalidArgument."""
        facts: dict[str, Any] = {"actor": actor, "deadline": deadline, "metadata": metadata}
        context(**facts)  # says what is wrong with them here, not at the call
        source = self._source

        async def surrounded(resource: Any, /, *args: P.args, **kwargs: P.kwargs) -> T:
            with context(**facts):
                return await source.function(resource, *args, **kwargs)

        surrounded.__name__ = source.function.__name__
        return Bound(_Surrounded(surrounded), self._resource)

    def __repr__(self) -> str:
        """``<function Token.revoke>``."""
        return f"<function {self._resource.__name__}.{self._source.function.__name__}>"


class _Source(Protocol[P, T]):
    """What holds a body."""

    function: Body[P, T]


@attrs.define
class _Surrounded(Generic[P, T]):
    """A body with facts for its calls."""

    function: Body[P, T]


_functions: weakref.WeakSet[Function] = weakref.WeakSet()


def functions() -> tuple[Function, ...]:
    """Return all functions that were made, for whoever wants to look on."""
    return tuple(_functions)


class Function:
    """A function over a resource, written once as ``async def f(resource, ...)``, in every spelling.

    In a module: ``revoke(Token, text)`` and ``await revoke.aio(Token, text)``. As a class variable of a template:
    ``Token.revoke(text)`` and ``await Token.revoke.aio(text)``. The subclasses differ in what type checkers know of the
    result, and in nothing else.
    """

    def __init__(self, function: Callable[..., Coroutine[Any, Any, Any]]) -> None:
        self.function = function
        self.__name__, self.__doc__ = function.__name__, function.__doc__
        self.__wrapped__ = function
        _functions.add(self)

    def __get__(self, record: object, owner: type[Any]) -> Any:
        """Return the function, bound to the class."""
        return Bound(self, owner)

    def __call__(self, resource: type[Any], /, *args: Any, **kwargs: Any) -> Any:
        """Run it now, in this thread."""
        return drive(self.function(resource, *args, **kwargs))

    def aio(self, resource: type[Any], /, *args: Any, **kwargs: Any) -> Coroutine[Any, Any, Any]:
        """Return a coroutine that runs it."""
        return in_colour(self.function(resource, *args, **kwargs))


# ruff: noqa: D102  # the methods that follow are those of Function, as type checkers see them


class ResourceFunction(Function, Generic[P, T]):
    """A function whose result has one type for all resources."""

    if TYPE_CHECKING:

        def __init__(self, function: Body[P, T]) -> None: ...
        def __get__(self, record: object, owner: type[Any]) -> Bound[P, T]: ...
        def __call__(self, resource: type[Any], /, *args: P.args, **kwargs: P.kwargs) -> T: ...
        def aio(self, resource: type[Any], /, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, T]: ...


class RecordFunction(Function, Generic[P]):
    """A function that returns a record of its resource."""

    if TYPE_CHECKING:

        def __init__(self, function: Body[P, Any]) -> None: ...
        def __get__(self, record: object, owner: type[R]) -> Bound[P, R]: ...
        def __call__(self, resource: type[R], /, *args: P.args, **kwargs: P.kwargs) -> R: ...
        def aio(self, resource: type[R], /, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]: ...


class MaybeRecordFunction(Function, Generic[P]):
    """A function that returns a record of its resource, or ``None``."""

    if TYPE_CHECKING:

        def __init__(self, function: Body[P, Any]) -> None: ...
        def __get__(self, record: object, owner: type[R]) -> Bound[P, R | None]: ...
        def __call__(self, resource: type[R], /, *args: P.args, **kwargs: P.kwargs) -> R | None: ...
        def aio(self, resource: type[R], /, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R | None]: ...


class RecordsFunction(Function, Generic[P]):
    """A function that returns a list of records of its resource."""

    if TYPE_CHECKING:

        def __init__(self, function: Body[P, list[Any]]) -> None: ...
        def __get__(self, record: object, owner: type[R]) -> Bound[P, list[R]]: ...
        def __call__(self, resource: type[R], /, *args: P.args, **kwargs: P.kwargs) -> list[R]: ...
        def aio(self, resource: type[R], /, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, list[R]]: ...


def function(body: Body[P, T]) -> ResourceFunction[P, T]:
    """Make a function of an extension: decorate ``async def f(resource, ...)``."""
    return ResourceFunction(body)


def record_function(body: Body[P, Any]) -> RecordFunction[P]:
    """Make a function of an extension that returns a record of its resource."""
    return RecordFunction(body)


def maybe_record_function(body: Body[P, Any]) -> MaybeRecordFunction[P]:
    """Make a function of an extension that returns a record of its resource, or ``None``."""
    return MaybeRecordFunction(body)


def records_function(body: Body[P, list[Any]]) -> RecordsFunction[P]:
    """Make a function of an extension that returns a list of records of its resource."""
    return RecordsFunction(body)
