"""Functions that extensions define over a resource. Each is written once and called in sync and async, on a class or in a
module.
"""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Callable, Coroutine, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar

import attrs

from resourcekit.actions.drive import async_form
from resourcekit.call_context import Deadline, context, drive, in_call_mode, is_async_function
from resourcekit.dsl.diagnostics import Origin
from resourcekit.errors import DeclarationError, WrongCall
from resourcekit.expressions.calls import checked_call, shown_parameters
from resourcekit.known_names import KnownNames

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


class Bound(KnownNames, Generic[P, T]):
    """A function of an extension, bound to a resource class, with a sync and an async form.
    source: the object that holds the function. It is looked up at each call, because instrumentation may replace the function.
    """

    __slots__ = ("_resource", "_source")

    def __init__(self, source: _Source[P, T], resource: Any) -> None:
        self._source, self._resource = source, resource

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run the function now, in this thread. Raise WrongCall for other arguments than it takes."""
        try:
            begun = self._source.function(self._resource, *args, **kwargs)
        except TypeError as error:
            if not WrongCall.is_cause_of(error):
                raise
            raise self._refused(error) from None
        return drive(begun)

    @async_form
    def aio(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, T]:
        """Return a coroutine that runs the function. Raise WrongCall for other arguments than it takes."""
        try:
            begun = self._source.function(self._resource, *args, **kwargs)
        except TypeError as error:
            if not WrongCall.is_cause_of(error):
                raise
            raise self._refused(error) from None
        return in_call_mode(begun)

    def _refused(self, error: TypeError) -> Exception:
        function, name = self._source.function, getattr(self._resource, "__name__", type(self._resource).__name__)
        parameters = list(inspect.signature(function).parameters)
        return WrongCall.of(f"{name}.{function.__name__}", error, shown_parameters(function, parameters[:1]))

    def using(
        self,
        *,
        actor: object = ...,
        tenant: object = ...,
        deadline: timedelta | Deadline | None = None,
        metadata: Mapping[str, object] | None = None,
    ) -> Bound[P, T]:
        """Return this function with an actor, a tenant, a deadline or metadata for its calls.

        Raise InvalidArgument for a wrong value.
        """
        given: dict[str, Any] = {"actor": actor, "tenant": tenant, "deadline": deadline, "metadata": metadata}
        facts = {name: value for name, value in given.items() if value is not ...}
        context(**facts)  # raises for wrong values here, not at the call
        source = self._source

        async def surrounded(resource: Any, /, *args: P.args, **kwargs: P.kwargs) -> T:
            with context(**facts):
                return await source.function(resource, *args, **kwargs)

        surrounded.__name__ = source.function.__name__
        return Bound(_InContext(surrounded), self._resource)

    def __repr__(self) -> str:
        """Return ``<function Token.revoke>``."""
        return f"<function {self._resource.__name__}.{self._source.function.__name__}>"


class _Source(Protocol[P, T]):
    """An object that holds a function."""

    function: Body[P, T]


@attrs.define
class _InContext(Generic[P, T]):
    """A function that runs in a context of its own."""

    function: Body[P, T]


_functions: weakref.WeakSet[Function] = weakref.WeakSet()


def functions() -> tuple[Function, ...]:
    """Return all functions that were created, for instrumentation."""
    return tuple(_functions)


class Function(KnownNames):
    """A function over a resource, written as ``async def f(resource, ...)`` and callable in four forms.

    In a module: ``revoke(Token, text)`` and ``await revoke.aio(Token, text)``. As a class variable of a template:
    ``Token.revoke(text)`` and ``await Token.revoke.aio(text)``. The subclasses differ only in the result type that type
    checkers see.
    """

    def __init__(self, function: Callable[..., Coroutine[Any, Any, Any]]) -> None:
        if not is_async_function(function):
            name = getattr(function, "__qualname__", repr(function))
            what = f"{name} is no async function"
            hint = "Write async def; the framework makes the sync form."
            raise DeclarationError("RK015", what, path=(name,), origin=Origin.here(), hint=hint)
        self.function = function
        self.__name__, self.__doc__ = function.__name__, function.__doc__
        self.__wrapped__ = function
        _functions.add(self)

    def __get__(self, record: object, owner: type[Any]) -> Any:
        """Return the function, bound to the class."""
        return Bound(self, owner)

    @checked_call("the function", "its first argument is the resource")
    def __call__(self, resource: type[Any], /, *args: Any, **kwargs: Any) -> Any:
        """Run the function now, in this thread. Raise WrongCall for other arguments than it takes."""
        return Bound(self, resource)(*args, **kwargs)

    @async_form
    @checked_call("the function", "its first argument is the resource")
    def aio(self, resource: type[Any], /, *args: Any, **kwargs: Any) -> Coroutine[Any, Any, Any]:
        """Return a coroutine that runs the function. Raise WrongCall for other arguments than it takes."""
        return Bound(self, resource).aio(*args, **kwargs)


# The methods below are those of Function, typed for type checkers.


class ResourceFunction(Function, Generic[P, T]):
    """A function whose result has the same type for all resources."""

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
    """Create a function of an extension; decorates ``async def f(resource, ...)``."""
    return ResourceFunction(body)


def record_function(body: Body[P, Any]) -> RecordFunction[P]:
    """Create a function of an extension that returns a record of its resource."""
    return RecordFunction(body)


def maybe_record_function(body: Body[P, Any]) -> MaybeRecordFunction[P]:
    """Create a function of an extension that returns a record of its resource, or ``None``."""
    return MaybeRecordFunction(body)


def records_function(body: Body[P, list[Any]]) -> RecordsFunction[P]:
    """Create a function of an extension that returns a list of records of its resource."""
    return RecordsFunction(body)
