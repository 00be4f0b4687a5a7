"""Refuses calls of public functions with other arguments than they take. Edit this module to change how such an error reads."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection, Iterable
from typing import Any, TypeVar

from resourcekit.errors import WrongCall

__all__ = ["checked_call", "checked_methods", "shown_parameters"]

F = TypeVar("F", bound=Callable[..., Any])
C = TypeVar("C", bound=type)


def shown_parameters(function: Callable[..., Any], without: Iterable[str] = ()) -> str:
    """Return the names of the parameters of a function, for the error of a wrong call."""
    names = [name for name in inspect.signature(function).parameters if name not in without]
    return f"its parameters are: {', '.join(names)}" if names else "it takes no arguments"


def checked_methods(*, without: Collection[str] = ()) -> Callable[[C], C]:
    """Decorate a class: a call of a public method with other arguments than it takes raises WrongCall with its parameters.

    Coroutine functions are left as they are. without: methods that callers of the framework do not use, or use too often for one
        Python call more.
    """

    def wrap(owner: C) -> C:
        for name, method in list(vars(owner).items()):
            if name.startswith("_") or name in without or not inspect.isfunction(method) or hasattr(method, "__wrapped__"):
                continue
            if inspect.iscoroutinefunction(method) or inspect.isasyncgenfunction(method):  # frameworks ask for this
                continue
            setattr(owner, name, checked_call(name, shown_parameters(method, ("self",)))(method))
        return owner

    return wrap


def checked_call(called: str, hint: str) -> Callable[[F], F]:
    """Decorate a function: a call with other arguments than it takes raises WrongCall with the hint."""

    def wrap(function: F) -> F:
        @functools.wraps(function)
        def call(*args: Any, **given: Any) -> Any:
            try:
                return function(*args, **given)
            except TypeError as error:
                if not WrongCall.is_cause_of(error):
                    raise
                raise WrongCall.of(called, error, hint) from None

        return call  # type: ignore[return-value]  # called as the function is

    return wrap
