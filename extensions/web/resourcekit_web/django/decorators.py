"""Decorators of views: who may call them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any, Final, TypeVar, overload

from asgiref.sync import iscoroutinefunction, sync_to_async
from django.http import HttpRequest

from resourcekit_web.core import Demand
from resourcekit_web.django.auth import admitted

__all__ = ["required"]

F = TypeVar("F", bound=Callable[..., Any])


class _Required:
    """The decorator ``required``, with ``required.optional`` beside it."""

    @overload
    def __call__(self, view: F) -> F: ...
    @overload
    def __call__(self, *, scopes: Iterable[str] | str = (), fresh: timedelta | None = None) -> Callable[[F], F]: ...
    def __call__(
        self, view: Callable[..., Any] | None = None, *, scopes: Iterable[str] | str = (), fresh: timedelta | None = None
    ) -> Any:
        """Demand a signed-in user of a view, sync or async.

        The view needs no CSRF token of Django: a write by cookie from a page of another site is refused before it runs.

        Args:
            view: the view, if the decorator is written without parentheses.
            scopes: all of them must be in the token.
            fresh: the longest time since the password was entered.

        Returns:
            The guarded view, or a decorator.
        """
        demand = Demand.of(scopes, fresh, by="required")
        return _guarded(demand) if view is None else _guarded(demand)(view)

    def optional(self, view: F) -> F:
        """Let a view run with and without a user; ``request.signed_in`` is None without one.

        A bad Bearer token is refused all the same, and so is a write by cookie from a page of another site. The view therefore needs
        no CSRF token of Django.
        """
        guarded: F = _guarded(Demand(), optional=True)(view)  # type: ignore[assignment]  # has the view's signature
        return guarded


required: Final = _Required()


def _guarded(demand: Demand, *, optional: bool = False) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def guard(view: Callable[..., Any]) -> Callable[..., Any]:
        # Before Python 3.12, that of inspect does not see functions that were marked.
        if iscoroutinefunction(view):  # pyright: ignore[reportDeprecated]

            @functools.wraps(view)
            async def guarded_async(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
                await sync_to_async(admitted)(request, demand, optional=optional)
                return await view(request, *args, **kwargs)

            guarded: Any = guarded_async
        else:

            @functools.wraps(view)
            def guarded_sync(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
                admitted(request, demand, optional=optional)
                return view(request, *args, **kwargs)

            guarded = guarded_sync
        guarded.csrf_exempt = True
        return guarded  # type: ignore[no-any-return]  # one of the two above

    return guard
