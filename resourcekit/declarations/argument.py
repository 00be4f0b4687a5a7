"""Arguments: inputs of an action that are not attributes, declared directly or by the signature of a function."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, ClassVar

import attrs

from resourcekit.call_context import Context
from resourcekit.declarations.attribute import Constraints
from resourcekit.declarations.value_type import ANYTHING, UnknownType, ValueType, read_annotation
from resourcekit.dsl.builder import checked_builder
from resourcekit.dsl.diagnostics import Origin
from resourcekit.dsl.entity import Entity
from resourcekit.dsl.option import MISSING
from resourcekit.dsl.scope import Scope
from resourcekit.errors import DeclarationError

__all__ = ["Argument", "Signature", "argument", "read_signature"]


@attrs.frozen(kw_only=True, eq=False)
class Argument(Entity):
    """An input of an action that is not an attribute.

    type: cast and checked like an attribute's.
    default: the value if none is given; without a default, the caller must give a value unless it may be ``None``.
    default_factory: a function that makes the default, called for each call of the action.
    sensitive: hidden in every error text.
    """

    section: ClassVar[str] = "arguments"

    type: ValueType = ANYTHING
    default: Any = MISSING
    default_factory: Callable[[], Any] | None = None
    sensitive: bool = False
    constraints: Constraints = attrs.field(factory=Constraints)

    @property
    def is_required(self) -> bool:
        """Whether the caller must give a value."""
        return self.default is MISSING and self.default_factory is None and not self.type.allow_none

    def default_value(self) -> Any:
        """Return a new default; ``None`` if none was declared."""
        if self.default_factory is not None:
            return self.default_factory()
        return None if self.default is MISSING else self.default


@checked_builder("argument")
def argument(
    name: str,
    annotation: Any,
    *,
    default: Any = MISSING,
    default_factory: Callable[[], Any] | None = None,
    sensitive: bool = False,
    min_length: int | None = None,
    max_length: int | None = None,
    minimum: Any = None,
    maximum: Any = None,
    match: str | None = None,
    doc: str = "",
) -> Argument:
    """Declare an argument of a declarative action: ``argument("token", str, sensitive=True)``.

    name: the name for callers, and for changes in ``changeset.arguments``.
    annotation: its type, as an attribute's. A type that cannot be cast raises DeclarationError RK031.
    """
    origin = Origin.here()
    if not isinstance(name, str) or not name.isidentifier():  # type: ignore[redundant-expr]  # a number, for example
        what, hint = f"the name of an argument is {name!r}, which no call can give", 'Write a name: argument("token", str).'
        raise DeclarationError("RK033", what, path=("arguments",), origin=origin, hint=hint)
    constraints = Constraints(
        min_length=min_length,
        max_length=max_length,
        minimum=minimum,
        maximum=maximum,
        match=match,
    )
    return Argument(
        name=name,
        type=_read(name, annotation, origin),
        default=default,
        default_factory=default_factory,
        sensitive=sensitive,
        constraints=constraints,
        origin=origin,
        doc=doc,
    )


def _read(name: str, annotation: Any, origin: Origin) -> Any:
    try:
        return read_annotation(annotation)
    except UnknownType as error:
        hint = "Use one of the types that attributes may have, or object for anything."
        raise DeclarationError("RK031", str(error), path=("arguments", name), origin=origin, hint=hint) from None


@attrs.frozen
class Signature:
    """The signature of a decorated action.

    context: name of the parameter for the Context, if there is one.
    arguments: all others, in order.
    returns: the return annotation, resolved; ``NoneType`` for ``-> None``; ``None`` without annotation.
    """

    arguments: tuple[Argument, ...]
    context: str | None
    returns: Any


def read_signature(function: Callable[..., Any], scope: Scope, *, leading: int) -> Signature:
    """Read the arguments of an action from a function, without its first ``leading`` parameters.

    Raise DeclarationError RK033 for a parameter without annotation, for ``*args`` and ``**kwargs``, and RK031 for a type that
    cannot be cast.
    """
    found = inspect.signature(function)
    scope = Scope(function.__globals__, scope.around)  # the function may come from another module than the class
    parameters = list(found.parameters.values())[leading:]
    context: str | None = None
    arguments: list[Argument] = []
    for parameter in parameters:
        annotation = _resolve(parameter.annotation, scope)
        if annotation is Context:
            context = parameter.name
            continue
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD) or parameter.annotation is parameter.empty:
            hint = "Give every parameter a name and a type; the signature is the action's arguments."
            raise DeclarationError("RK033", f"the parameter {parameter} declares no argument", hint=hint)
        default = MISSING if parameter.default is parameter.empty else parameter.default
        origin = Origin(function.__code__.co_filename, function.__code__.co_firstlineno)
        arguments.append(
            Argument(name=parameter.name, type=_read(parameter.name, annotation, origin), default=default, origin=origin)
        )
    returns = None if found.return_annotation is found.empty else _resolve(found.return_annotation, scope)
    if returns is None and found.return_annotation is not found.empty:
        returns = type(None)
    return Signature(tuple(arguments), context, returns)


def _resolve(annotation: Any, scope: Scope) -> Any:
    try:
        return scope.resolve(annotation)
    except NameError as error:
        hint = "Import it in this module, above the class (not only for type checkers)."
        raise DeclarationError("RK030", f"the annotation {annotation} names something unknown: {error}", hint=hint) from None
