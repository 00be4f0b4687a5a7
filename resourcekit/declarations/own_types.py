"""``value_type``: types of attributes that an application or an extension declares.

A maintainer opens it to change what such a declaration says. Casting is in ``actions.casting``, the stored form in
``data_layers.stored_forms``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

from resourcekit.declarations.limits import Limits
from resourcekit.declarations.value_type import ANYTHING, Kind, OwnType, UnknownType, ValueType, announced, read_annotation
from resourcekit.dsl.builder import checked_builder
from resourcekit.errors import DeclarationError

__all__ = ["value_type"]

T = TypeVar("T")


@checked_builder("value_type")
def value_type(
    name: str,
    python: Any,
    *,
    stored: Any = None,
    cast: Callable[[Any], Any] | None = None,
    dump: Callable[[Any], Any] | None = None,
    load: Callable[[Any], Any] | None = None,
    min_length: int | None = None,
    max_length: int | None = None,
    minimum: Any = None,
    maximum: Any = None,
    match: str | re.Pattern[str] | None = None,
    doc: str = "",
) -> Any:
    """Declare a type of your own: ``Email = value_type("Email", str, cast=normalise, match=r".+@.+")``.

    The result is an annotation: ``Attr[Email]``. A type checker takes it inside Annotated: ``Email = Annotated[str,
    value_type("Email", str, ...)]``. If ``python`` is a class of your own, or a NewType, the annotation is that class itself.

    Args:
        name: Its name in the reference and in errors.
        python: The class of the values.
        stored: The type of the stored form, which data layers keep, compare and sort: ``Decimal``, ``str``, ``dict[str, Any]``.
            ``python`` itself if it is left out.
        cast: From an input to a value. For a ``python`` that resourcekit knows, its input was cast to that type first. It raises
            ValueError for a wrong input, with a message for the caller that completes "this field ...".
        dump: From a value to its stored form.
        load: From the stored form to a value. It also casts inputs if there is no ``cast``.
        min_length: Limit of the value, as of an attribute; the others, too.
        max_length: As for an attribute.
        minimum: As for an attribute.
        maximum: As for an attribute.
        match: As for an attribute.
        doc: What it is, for the reference.

    Raises:
        DeclarationError: RK062 if no data layer could keep the values, or a class has two types.
    """
    try:
        form = read_annotation(python if stored is None else stored)
        if form == ANYTHING or form.allow_none:
            raise UnknownType("the stored form must have a type, without None")
    except UnknownType as error:
        hint = "Give stored=, dump= and load=, for example stored=Decimal." if stored is None else "Give another stored=."
        raise DeclarationError("RK062", f"value_type {name!r}: {error}", hint=hint) from None
    if stored is not None and (dump is None or load is None) and form.python is not _class_of(python):
        what = f"value_type {name!r}: the values are {_name(python)}, and are stored as {form}"
        raise DeclarationError("RK062", what, hint="Give dump= and load=, which convert between the two.")
    limits = Limits(min_length=min_length, max_length=max_length, minimum=minimum, maximum=maximum, match=match)
    own = OwnType(name=name, python=_class_of(python), stored=form, cast=cast, dump=dump, load=load, limits=limits, doc=doc)
    if _is_own_class(python):
        _announce(python, own)
    return own


def _class_of(python: Any) -> Any:
    """Return the class of the values: of a NewType, that of its values."""
    while hasattr(python, "__supertype__"):
        python = python.__supertype__
    return getattr(python, "__origin__", python)


def _name(python: Any) -> str:
    return getattr(python, "__name__", str(python))


def _is_own_class(python: Any) -> bool:
    """Return whether annotations with this class, or NewType, may have a meaning of their own: resourcekit has none for it."""
    if hasattr(python, "__supertype__"):
        return True
    try:
        read: ValueType | None = read_annotation(python)
    except UnknownType:
        read = None
    return isinstance(python, type) and (read is None or read.kind in (Kind.EMBEDDED, Kind.OWN, Kind.ENUM))


def _announce(python: Any, own: OwnType) -> None:
    """Let annotations with a class mean a type. A module that is loaded again declares the same type again."""
    there = announced.get(python)
    if there is not None and there.name != own.name:
        what = f"{_name(python)} has two value types, {there.name!r} and {own.name!r}"
        raise DeclarationError("RK062", what, hint="Write one of them as Annotated[..., value_type(...)] of another class.")
    announced[python] = own
