"""Refuses calls of public functions with other arguments than they take. Edit this module to change how such an error reads."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from resourcekit.errors import WrongCall

__all__ = ["checked_call"]

F = TypeVar("F", bound=Callable[..., Any])


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
