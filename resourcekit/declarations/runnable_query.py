"""The type of queries that can run, for type checkers. ``actions.resource_query`` implements it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping, Sequence
from typing import Any, Protocol, Self, TypeVar, overload

import attrs

from resourcekit.declarations.attribute import Attr
from resourcekit.declarations.grouped_query import Groups, SyncAndAsyncCall
from resourcekit.expressions.nodes import Operand
from resourcekit.expressions.query import Query
from resourcekit.results import Page

__all__ = ["AverageCall", "FigureCall", "PageCall", "RunnableQuery", "StreamCall"]

R = TypeVar("R")
T = TypeVar("T")
R_co = TypeVar("R_co", covariant=True)


class StreamCall(Protocol[R_co]):
    """Records one by one."""

    def __call__(self) -> Iterator[R_co]:
        """Iterate in this thread."""
        ...

    def aio(self) -> AsyncIterator[R_co]:
        """Iterate in an event loop."""
        ...


class PageCall(Protocol[R_co]):
    """Reads one page of a query."""

    def __call__(
        self,
        *,
        limit: int | None = None,
        after: str | None = None,
        before: str | None = None,
        offset: int | None = None,
        count: bool = False,
    ) -> Page[R_co]:
        """Return one page."""
        ...

    def aio(
        self,
        *,
        limit: int | None = None,
        after: str | None = None,
        before: str | None = None,
        offset: int | None = None,
        count: bool = False,
    ) -> Coroutine[Any, Any, Page[R_co]]:
        """Return one page, async."""
        ...


class FigureCall(Protocol):
    """Computes a value of an attribute over the records of a query."""

    def __call__(self, field: Attr[T], /) -> T | None:
        """Return the value; ``None`` if there is none."""
        ...

    def aio(self, field: Attr[T], /) -> Coroutine[Any, Any, T | None]:
        """Return the value, async."""
        ...


class AverageCall(Protocol):
    """Computes the average of an attribute: of numbers a float, else of the attribute's type."""

    @overload
    def __call__(self, field: Attr[int] | Attr[int | None] | Attr[float] | Attr[float | None], /) -> float | None: ...
    @overload
    def __call__(self, field: Attr[T], /) -> T | None: ...
    def __call__(self, field: Any, /) -> Any:
        """Return the average; ``None`` if there is no value."""
        ...

    @overload
    def aio(
        self, field: Attr[int] | Attr[int | None] | Attr[float] | Attr[float | None], /
    ) -> Coroutine[Any, Any, float | None]: ...
    @overload
    def aio(self, field: Attr[T], /) -> Coroutine[Any, Any, T | None]: ...
    def aio(self, field: Any, /) -> Any:
        """Return the average, async."""
        ...


@attrs.frozen(eq=False)
class RunnableQuery(Query[R]):
    """A query with a resource, which can run. ``R`` is the resource."""

    @property
    def all(self) -> SyncAndAsyncCall[[], list[R]]:
        """Return all records."""
        raise NotImplementedError

    @property
    def first(self) -> SyncAndAsyncCall[[], R | None]:
        """Return the first record, or ``None``."""
        raise NotImplementedError

    @property
    def one(self) -> SyncAndAsyncCall[[], R]:
        """Return the only record."""
        raise NotImplementedError

    @property
    def count(self) -> SyncAndAsyncCall[[], int]:
        """Return the number of records."""
        raise NotImplementedError

    @property
    def exists(self) -> SyncAndAsyncCall[[], bool]:
        """Return whether there is at least one record."""
        raise NotImplementedError

    @property
    def stream(self) -> StreamCall[R]:
        """Iterate over the records without loading all."""
        raise NotImplementedError

    @property
    def page(self) -> PageCall[R]:
        """Return a part of the records, with cursors to go on."""
        raise NotImplementedError

    @property
    def sum(self) -> FigureCall:
        """Return the sum of an attribute; ``None`` if there is no value."""
        raise NotImplementedError

    @property
    def avg(self) -> AverageCall:
        """Return the average of an attribute; ``None`` if there is no value."""
        raise NotImplementedError

    @property
    def min(self) -> FigureCall:
        """Return the smallest value of an attribute; ``None`` if there is no value."""
        raise NotImplementedError

    @property
    def max(self) -> FigureCall:
        """Return the largest value of an attribute; ``None`` if there is no value."""
        raise NotImplementedError

    def group_by(self, *fields: Operand | str) -> Groups:
        """Group the records by values of attributes."""
        raise NotImplementedError

    def sort_input(self, keys: str | Sequence[str]) -> Self:
        """Order by keys that come from outside."""
        raise NotImplementedError

    def filter_input(self, conditions: Mapping[str, Any]) -> Self:
        """Keep only records that meet conditions that come from outside."""
        raise NotImplementedError
