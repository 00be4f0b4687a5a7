"""Options as attrs classes: checked for type and range when they are made, with the place where they were written."""

from __future__ import annotations

import collections.abc
import functools
import inspect
import re
import types
import typing
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import attrs

from resourcekit.dsl.origin import Origin
from resourcekit.dsl.scope import Scope
from resourcekit.dsl.sentinel import MISSING
from resourcekit.errors import DeclarationError, did_you_mean

__all__ = ["Options", "checked_word", "fields_of", "option"]

_CALLABLES: type = collections.abc.Callable  # type: ignore[assignment]  # an abstract class, which checkers take for a form

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


def option(
    *,
    default: Any = MISSING,
    factory: Callable[[], Any] | None = None,
    doc: str = "",
    check: Callable[[Any], str | None] | None = None,
) -> Any:
    """Declare an option of an extension.

    check: gets the value and returns what is wrong with it, or ``None``. doc: one or two sentences for the reference.
    Returns Any, as a field specifier must (PEP 681).
    """
    metadata: Mapping[str, object] = {"doc": doc, "check": check}
    if factory is not None:
        return attrs.field(factory=factory, metadata=metadata)
    return attrs.field(metadata=metadata) if default is MISSING else attrs.field(default=default, metadata=metadata)


class _OptionsMeta(type):
    """Turns an unknown option, and one that is missing, into a DeclarationError with a suggestion."""

    if not TYPE_CHECKING:  # checkers read the attrs signature, and flag unknown options themselves

        def __call__(cls, *args: Any, **given: Any) -> Any:
            known = {field.alias for field in attrs.fields(cls) if field.init}
            for name in given:
                if name not in known:
                    raise DeclarationError(
                        "RK002",
                        f"{cls.__name__} has no option {name!r}",
                        path=(cls.__name__, name),
                        origin=Origin.here(),
                        hint=did_you_mean(name, known),
                    )
            if missing := _missing(cls, len(args), given):
                raise DeclarationError(
                    "RK003",
                    f"option {missing!r} is missing",
                    path=(cls.__name__, missing),
                    origin=Origin.here(),
                    hint=f"Give it: {cls.__name__}({missing}=...).",
                )
            return super().__call__(*args, **given)


def checked_word(called: str) -> Callable[[F], F]:
    """Let a word of the class body refuse unknown options (RK002) and values of a wrong type (RK003), with their place."""

    def wrap(function: F) -> F:
        parameters = inspect.signature(function).parameters.items()
        known = {name: parameter.annotation for name, parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY}
        hints: dict[str, Any] = {}

        @functools.wraps(function)
        def word(*args: Any, **given: Any) -> Any:
            if not hints:  # resolved at the first use: then all that an annotation names is there
                hints.update({name: Scope(function.__globals__, {}).resolve(text) for name, text in known.items()})
            for name, value in given.items():
                if name not in known:
                    code, what, hint = "RK002", f"{called} has no option {name!r}", did_you_mean(name, known)
                elif problem := _mismatch(value, hints[name]):
                    code, what, hint = "RK003", f"option {name!r} {problem}", f"See {called} in the reference."
                else:
                    continue
                raise DeclarationError(code, what, path=(called, name), origin=Origin.here(), hint=hint)
            return function(*args, **given)

        return word  # type: ignore[return-value]  # called as the function is

    return wrap


def _missing(cls: type, positional: int, given: Mapping[str, object]) -> str:
    """Return the first option without a default that is not given, ``""`` where all are."""
    by_position = [field.alias for field in fields_of(cls) if not field.kw_only][:positional]
    for field in fields_of(cls):
        if field.default is attrs.NOTHING and field.alias not in given and field.alias not in by_position:
            return str(field.alias)
    return ""


@attrs.frozen(kw_only=True)
class Options(metaclass=_OptionsMeta):
    """The base of option classes.

    Raises DeclarationError RK002 for an unknown option and RK003 for one that is missing, of the wrong type or out of range.
    """

    origin: Origin = attrs.field(factory=Origin.here, init=False, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        """Check each value against its annotation and its ``check``."""
        for name, (annotation, check) in _checks_of(type(self)).items():
            value = getattr(self, name)
            problem = _mismatch(value, annotation) or (check(value) if check is not None else None)
            if problem:
                owner = type(self).__name__
                raise DeclarationError(
                    "RK003",
                    f"option {name!r} {problem}",
                    path=(owner, name),
                    origin=self.origin,
                    hint=f"See {owner}.{name} in the reference.",
                )


def fields_of(options: type) -> tuple[attrs.Attribute[Any], ...]:
    """Return the fields that a user can set, in order."""
    return tuple(field for field in attrs.fields(options) if field.init)


_cache: dict[type, dict[str, tuple[Any, Callable[[Any], str | None] | None]]] = {}


def _checks_of(cls: type) -> dict[str, tuple[Any, Callable[[Any], str | None] | None]]:
    known = _cache.get(cls)
    if known is None:
        hints = typing.get_type_hints(cls)
        known = {field.name: (hints.get(field.name, Any), field.metadata.get("check")) for field in fields_of(cls)}
        _cache[cls] = known
    return known


def _mismatch(value: object, annotation: Any) -> str | None:
    """Say what is wrong with the type of a value; the outermost type is checked, and that items are texts where they must be."""
    if annotation is Any or annotation is object:
        return None
    choices = typing.get_args(annotation) if typing.get_origin(annotation) in (typing.Union, types.UnionType) else (annotation,)
    if any(_fits(value, choice) for choice in choices):
        return None
    wanted = " or ".join(map(_called, choices))
    return f"must be {wanted}, is {f'the class {value.__name__}' if isinstance(value, type) else type(value).__name__}"


def _called(choice: Any) -> str:
    if choice is types.NoneType:
        return "None"
    if typing.get_args(choice):
        return re.sub(r"\b\w+\.", "", str(choice))
    return str(getattr(choice, "__name__", choice))


def _fits(value: object, choice: Any) -> bool:
    if choice is None or choice is types.NoneType:
        return value is None
    origin = typing.get_origin(choice) or choice
    if origin is typing.Literal:
        return value in typing.get_args(choice)
    if not isinstance(origin, type):
        return True  # a type variable or a special form: the check function, if any, decides
    if origin is type:
        return isinstance(value, type)
    if issubclass(origin, collections.abc.Iterable) and origin is not str and typing.get_args(choice) and isinstance(value, str):
        return False  # a text is a sequence of texts, and never meant as one
    if typing.get_args(choice)[:1] == (str,) and isinstance(value, (list, tuple, set, frozenset)):
        return isinstance(value, origin) and all(isinstance(item, str) for item in value)
    if isinstance(value, bool) and origin in (int, float):
        return False
    return callable(value) if issubclass(origin, _CALLABLES) else isinstance(value, origin)
