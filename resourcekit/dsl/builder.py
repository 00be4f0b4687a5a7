"""Entity builders: the functions of a class body, such as ``attribute`` and ``create``, with checked options.

A maintainer opens it to change the errors of a wrong call of a builder.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from types import FunctionType
from typing import Any, TypeVar

from resourcekit.dsl.diagnostics import Origin
from resourcekit.dsl.fitting import cure, mismatch
from resourcekit.dsl.scope import Scope
from resourcekit.errors import DeclarationError, did_you_mean

__all__ = [
    "checked_builder",
    "is_builder",
]


F = TypeVar("F", bound=Callable[..., Any])


def checked_builder(called: str) -> Callable[[F], F]:
    """Decorate an entity builder: unknown options (RK002) and values of a wrong type (RK003) raise, with their place."""

    def wrap(function: F) -> F:
        signature = inspect.signature(function)
        parameters = signature.parameters.items()
        known = {name: parameter.annotation for name, parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY}
        positional = {name for name, parameter in parameters if parameter.kind is parameter.POSITIONAL_OR_KEYWORD}
        hints: dict[str, Any] = {}

        @functools.wraps(function)
        def word(*args: Any, **given: Any) -> Any:
            if not hints:  # resolved at the first use, when all names of the annotations are defined
                hints.update({name: Scope(function.__globals__, {}).resolve(text) for name, text in known.items()})
            for name, value in given.items():
                if name in positional:
                    continue
                if name not in known:
                    code, what, hint = "RK002", f"{called} has no option {name!r}", did_you_mean(name, known)
                elif problem := mismatch(value, hints[name], deep=False):
                    code, what, hint = "RK003", f"option {name!r} {problem}", cure(name, value, hints[name], called)
                else:
                    continue
                raise DeclarationError(code, what, path=(called, name), origin=Origin.here(), hint=hint)
            try:
                signature.bind(*args, **given)
            except TypeError as error:
                names = ", ".join(str(parameter).partition(":")[0] for name, parameter in parameters if name != "self")
                hint = f"Its parameters are: {names}."
                raise DeclarationError("RK003", f"{called}: {error}", path=(called,), origin=Origin.here(), hint=hint) from None
            return function(*args, **given)

        _builders.add(word)
        return word  # type: ignore[return-value]  # called as the function is

    return wrap


_builders: set[Callable[..., Any]] = set()


def is_builder(value: object) -> bool:
    """Return whether a value is an entity builder, which must be called to declare something."""
    own = getattr(type(value), "__call__", None)  # noqa: B004  # the builder ``action`` is an object with a method
    return (isinstance(value, FunctionType) and value in _builders) or (isinstance(own, FunctionType) and own in _builders)
