"""The types of queries for groups of records, for type checkers. ``actions.grouped_query`` implements them."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, ParamSpec, Protocol, Self, TypeVar

from resourcekit.expressions.aggregates import Figure
from resourcekit.expressions.nodes import Operand, Sort
from resourcekit.results import Page

__all__ = ["GroupPageCall", "GroupedQuery", "Groups", "SyncAndAsyncCall"]

P = ParamSpec("P")
T_co = TypeVar("T_co", covariant=True)


class SyncAndAsyncCall(Protocol[P, T_co]):
    """A function with a sync and an async form."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T_co:
        """Run the function now, in this thread."""
        ...

    def aio(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, T_co]:
        """Return a coroutine that runs the function."""
        ...


class GroupPageCall(Protocol):
    """Reads one page of groups."""

    def __call__(self, *, limit: int, offset: int = 0, count: bool = False) -> Page[dict[str, Any]]:
        """Return one page."""
        ...

    def aio(self, *, limit: int, offset: int = 0, count: bool = False) -> Coroutine[Any, Any, Page[dict[str, Any]]]:
        """Return one page, async."""
        ...


class GroupedQuery(Protocol):
    """A query of groups, each a dict with its keys and figures by name."""

    def filter(self, *conditions: Operand) -> Self:
        """Keep only groups that meet all conditions, written with ``row("n")``."""
        ...

    def sort(self, *keys: Sort | Operand | str) -> Self:
        """Order by keys or figures. This replaces the order by the keys of the groups."""
        ...

    def limit(self, groups: int) -> Self:
        """Return at most this many groups."""
        ...

    def offset(self, groups: int) -> Self:
        """Skip this many groups first."""
        ...

    @property
    def all(self) -> SyncAndAsyncCall[[], list[dict[str, Any]]]:
        """Return all groups."""
        ...

    @property
    def first(self) -> SyncAndAsyncCall[[], dict[str, Any] | None]:
        """Return the first group, or ``None``."""
        ...

    @property
    def count(self) -> SyncAndAsyncCall[[], int]:
        """Return the number of groups."""
        ...

    @property
    def page(self) -> GroupPageCall:
        """Return a part of the groups."""
        ...


class Groups(Protocol):
    """The groups of a query, before their figures are named."""

    def values(self, **figures: Figure) -> GroupedQuery:
        """Name the figures of each group: ``values(n=count(), worth=Order.price.sum())``."""
        ...
