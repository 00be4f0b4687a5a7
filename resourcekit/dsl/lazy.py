"""Lazy references: texts ``"module:Name"`` in options, for objects whose module cannot be imported yet."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from typing import Any

import attrs

from resourcekit.dsl.diagnostics import Origin
from resourcekit.errors import DeclarationError, did_you_mean

__all__ = ["is_reference", "resolve", "unresolved"]

_FORM = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")


def is_reference(value: object) -> bool:
    """Return whether a value is a text of the form ``"module:Name"``."""
    return isinstance(value, str) and _FORM.fullmatch(value) is not None


# Any: the type of the object is the business of the option that holds the reference.
def resolve(reference: Any, *, path: tuple[str, ...] = (), origin: Origin | str = "") -> Any:
    """Return the object of a lazy reference: the value itself, or for ``"module:Name"`` that object of the module.

    Raise DeclarationError RK009 if the module cannot be imported, or does not have the name.
    """
    if not isinstance(reference, str):
        return reference
    if not is_reference(reference):
        raise DeclarationError(
            "RK009", f"{reference!r} is no reference", path=path, origin=origin, hint='Write "myapp.accounts:User".'
        )
    module, _, names = reference.partition(":")
    try:
        found: Any = importlib.import_module(module)
    except DeclarationError:
        raise
    except Exception as error:  # a module can fail in any way
        what = f"{reference!r} cannot be imported: {type(error).__name__}: {error}"
        raise DeclarationError("RK009", what, path=path, origin=origin, hint="Correct the module.") from error
    for name in names.split("."):
        known = vars(found) if hasattr(found, "__dict__") else {}
        if not hasattr(found, name):
            hint = did_you_mean(name, known) or "Correct the name."
            raise DeclarationError(
                "RK009", f"{reference!r} names nothing: there is no {name!r}", path=path, origin=origin, hint=hint
            )
        found = getattr(found, name)
    return found


# Any: options or an entity; both are attrs classes with an origin.
def unresolved(holder: Any, path: tuple[str, ...]) -> Iterator[DeclarationError]:
    """Yield the error of each lazy reference of options or of an entity that cannot be resolved."""
    for field in attrs.fields(type(holder)):
        if field.metadata.get("lazy"):
            value = getattr(holder, field.name)
            for each in value if isinstance(value, (list, tuple)) else [value]:
                try:
                    resolve(each, path=(*path, field.name), origin=holder.origin)
                except DeclarationError as error:
                    yield error
