"""Checks of the classes that an author of an extension writes: names, kinds, order and methods of what an extension brings.

Open this module if a mistake in an extension class is not reported when the class is declared (RK015).
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Collection, Iterator, Mapping
from types import FunctionType, MappingProxyType
from typing import Any

from resourcekit.call_context import is_async_function
from resourcekit.dsl.diagnostics import Origin
from resourcekit.errors import DeclarationError
from resourcekit.known_names import shown

__all__ = [
    "PHASES",
    "check_class",
    "check_flags",
    "check_members",
    "check_shape",
    "is_plain_method",
    "require_attrs",
    "takes",
    "wrong_class",
]

PHASES = ("early", "normal", "last")
"""The phases of transformers, in their order."""


def wrong_class(cls: type, name: str, what: str, hint: str) -> DeclarationError:
    """Return the error for a class variable of a class that an author wrote."""
    return DeclarationError("RK015", what, path=(cls.__name__, name), origin=Origin.here(), hint=hint)


def check_class(cls: type, known: Collection[str], instead: Mapping[str, str] = MappingProxyType({})) -> None:
    """Raise DeclarationError RK015 for a class variable whose name is nearly one that the framework reads.

    known: the names that it reads. instead: names that it never reads, and what to write. An annotated option may have any name, unless classes of steps are its default.
    """
    for name, value in vars(cls).items():
        if name.startswith("_") or name in known or isinstance(value, (FunctionType, property, classmethod, staticmethod)):
            continue
        if _is_option(cls, name) and not _has_classes(value):
            continue
        if name in instead:
            raise wrong_class(cls, name, f"{cls.__name__} has a class variable {name!r}, which is never read", instead[name])
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.75)
        if near and near[0] not in vars(cls):  # a class that has the known name too did not misspell it
            what = f"{cls.__name__} has a class variable {name!r}, which is never read"
            raise wrong_class(cls, name, what, f"Did you mean {near[0]!r}?")


def _is_option(cls: type, name: str) -> bool:
    annotations: Mapping[str, object] = inspect.get_annotations(cls)
    return name in annotations and "ClassVar" not in str(annotations[name])


def _has_classes(value: object) -> bool:
    return isinstance(value, (list, tuple, set, frozenset)) and any(isinstance(each, type) for each in value)


def check_members(cls: type, group: str, wanted: type, methods: Collection[str] = (), instead: str = "") -> Iterator[Any]:
    """Yield the classes of a group such as ``transformers``, each checked.

    instead: a method whose definition makes the others optional.

    Raises DeclarationError RK015 if the group is no tuple, or for a member that is no class of the wanted kind, or that does not
    define one of the methods.
    """
    given = getattr(cls, group)
    if not isinstance(given, (tuple, list)):
        what = f"{group} must be a tuple of classes, is {shown(given)}"
        raise wrong_class(cls, group, what, f"Write {group} = ({getattr(given, '__name__', '...')},).")
    for each in given:
        if isinstance(each, wanted):
            what = f"{group} has an instance of {type(each).__name__}, where a class belongs"
            raise wrong_class(cls, group, what, f"Write {type(each).__name__} without a call.")
        if not (isinstance(each, type) and issubclass(each, wanted)):
            what = f"{group} has {shown(each)}, which is no subclass of {wanted.__name__}"
            raise wrong_class(cls, group, what, f"Give a class that inherits from {wanted.__name__}, or take it out.")
        for method in () if instead and getattr(each, instead) is not getattr(wanted, instead) else methods:
            if getattr(each, method) is getattr(wanted, method):
                near = difflib.get_close_matches(
                    method, [name for name in vars(each) if not name.startswith("_") and name != method], n=1
                )
                hint = f"Did you mean it by {near[0]!r}?" if near else f"Define it: def {method}(self, ...)."
                raise wrong_class(each, method, f"{each.__name__}, among the {group} of {cls.__name__}, has no {method}", hint)
        yield each


def require_attrs(cls: type) -> None:
    """Raise DeclarationError RK015 for options or fields of a class that attrs has not made, because they would be ignored."""
    if "__attrs_attrs__" in vars(cls):
        return
    for name, annotation in inspect.get_annotations(cls).items():
        if "ClassVar" not in str(annotation) and not name.startswith("_"):
            what = f"{cls.__name__} has the option {name!r}, and is no attrs class"
            raise wrong_class(cls, name, what, "Write @attrs.frozen(kw_only=True) above the class.")


def check_flags(cls: type, **wanted: type) -> None:
    """Raise DeclarationError RK015 for a class variable that is not of the type that it must have."""
    for name, kind in wanted.items():
        value = getattr(cls, name)
        if not isinstance(value, (kind, property)):
            what = f"{name} must be a {kind.__name__}, is {shown(value)}"
            raise wrong_class(cls, name, what, f"Write {name} = {kind()!r}, or another {kind.__name__}.")


def is_plain_method(function: object) -> bool:
    """Return whether a plain function is async, or has a resource or a record as its first parameter, which nothing would give."""
    if not isinstance(function, FunctionType):
        return False
    first = next(iter(inspect.signature(function).parameters), "")
    return inspect.iscoroutinefunction(function) or first in ("resource", "cls", "self")


def takes(function: Callable[..., Any], count: int, named: Mapping[str, object] = MappingProxyType({})) -> bool:
    """Return whether a function can be called with this many positional arguments; true if it has no signature."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return True
    try:
        signature.bind(*[None] * count, **named)
    except TypeError:
        return False
    return True


def check_shape(cls: type, base: type, *methods: str) -> None:
    """Raise DeclarationError RK015 for a method that is async (or not) unlike that of the base, or takes other parameters.

    A class with a ``__getattribute__`` of its own hands its calls on to another object, so its attributes are no evidence.
    """
    if any("__getattribute__" in vars(each) for each in cls.__mro__[:-1]):
        return
    for name in methods:
        own, given = getattr(cls, name), getattr(base, name)
        if own is given or isinstance(own, property):
            continue
        parameters = [each for each in inspect.signature(given).parameters if each != "self"]
        written = f"{'async ' if is_async_function(given) else ''}def {name}({', '.join(['self', *parameters])})"
        if not callable(own):
            raise wrong_class(cls, name, f"{name} must be a method, is {own!r}", f"Write {written}: ...")
        is_async = is_async_function(own) or inspect.isasyncgenfunction(own)
        if is_async and not is_async_function(given):
            raise wrong_class(cls, name, f"{name} is async, and would not be awaited", f"Write {written}: ...")
        if is_async_function(given) and _is_plain(own):
            raise wrong_class(cls, name, f"{name} is not async, and is awaited", f"Write {written}: ...")
        is_static = isinstance(inspect.getattr_static(cls, name), (staticmethod, classmethod))
        if not takes(own, len(parameters) + (not is_static)):
            raise wrong_class(cls, name, f"{name} does not take the arguments {', '.join(parameters)}", f"Write {written}: ...")


def _is_plain(function: object) -> bool:
    """Return whether a function is neither async nor a decorator's wrapper, which may return an awaitable."""
    is_wrapper = hasattr(function, "__wrapped__") or not inspect.isfunction(function)
    return not is_wrapper and not is_async_function(function)
