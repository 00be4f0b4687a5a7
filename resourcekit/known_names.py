"""Texts for errors: a similar name for a misspelt one of a public object, and what a wrong value is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, ClassVar, TypeVar

from resourcekit.errors import Unchangeable, UnknownName, did_you_mean

__all__ = ["KnownNames", "shown", "unchangeable"]

C = TypeVar("C", bound=type)

_LONGEST = 60
"""Code points of a value that an error shows at most."""


class KnownNames:
    """Base of public classes: a name that they do not have raises UnknownName, an AttributeError, with the next step.

    instead: names that other libraries have, and what to write here.
    """

    __slots__ = ()

    __instead__: ClassVar[Mapping[str, str]] = {}

    if not TYPE_CHECKING:  # type checkers refuse unknown names themselves

        def __getattr__(self, name: str) -> object:
            """Raise UnknownName. Python calls this for names that are not found, and after an AttributeError in a property."""
            if name.startswith("_"):  # Python and its libraries ask for these, and discard the text
                msg = f"{type(self).__name__!r} object has no attribute {name!r}"
                raise AttributeError(msg, name=name, obj=self)
            if hasattr(type(self), name):
                return object.__getattribute__(self, name)  # raises the error of the property itself
            known = {each for each in (*dir(type(self)), *getattr(self, "__dict__", ())) if not each.startswith("_")}
            what = f"{type(self).__name__.lstrip('_')} has no {name!r}"
            raise UnknownName(f"{what}. {self.__instead__.get(name) or did_you_mean(name, known)}", name=name, obj=self)


def unchangeable(what: str, way: str) -> Callable[[C], C]:
    """Decorate a frozen class of attrs: an assignment raises Unchangeable, an AttributeError, with what to do in its place."""

    def refuse(self: object, name: str, *value: object) -> None:
        # A subclass that is made with attrs.define assigns its fields once, in __init__: attrs takes only its own refusal for frozen.
        fields = getattr(type(self), "__attrs_attrs__", ())
        if value and any(field.name == name for field in fields) and not _is_set(self, name):
            object.__setattr__(self, name, *value)
            return
        raise Unchangeable(f"{what} does not change, so {name!r} cannot be set; {way}", name=name, obj=self)

    def wrap(owner: C) -> C:
        owner.__setattr__ = owner.__delattr__ = refuse  # type: ignore[method-assign,assignment]  # as attrs.frozen does
        return owner

    return wrap


def _is_set(obj: object, name: str) -> bool:
    try:
        object.__getattribute__(obj, name)
    except AttributeError:
        return False
    return True


def shown(value: object) -> str:
    """Return what a wrong value is, for the text of an error: a short ``repr``, without addresses in memory."""
    name = getattr(value, "__qualname__", None)
    if isinstance(value, type):
        return f"the class {name}"
    if callable(value) and isinstance(name, str):
        return "a lambda" if name.endswith("<lambda>") else f"the function {name}"
    text = repr(value)
    if " at 0x" in text or len(text) > _LONGEST:
        return f"a value of the type {type(value).__name__}"
    return text
