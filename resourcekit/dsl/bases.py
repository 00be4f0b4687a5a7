"""Errors for the bases and decorators of a class statement that Python, or another library, would take in their own way."""

from __future__ import annotations

from resourcekit.dsl.diagnostics import Origin
from resourcekit.errors import DeclarationError

__all__ = ["decorated", "refuse_bases", "unfit_bases"]


def refuse_bases(name: str, bases: tuple[type, ...], origin: Origin) -> None:
    """Raise DeclarationError RK023 for a base that is named twice."""
    twice = next((base for number, base in enumerate(bases) if base in bases[:number]), None)
    if twice is not None:
        what = f"the base {twice.__name__} is named twice"
        raise DeclarationError("RK023", what, resource=name, path=("bases",), origin=origin, hint="Name it once.")


def unfit_bases(name: str, bases: tuple[type, ...], error: TypeError, origin: Origin) -> DeclarationError:
    """Return the error for bases that Python cannot combine."""
    shown = ", ".join(base.__name__ for base in bases)
    hint = "Inherit from resources, abstract base classes and plain mixins; give the record an attribute of the other type."
    return DeclarationError(
        "RK023", f"Python cannot combine the bases {shown}: {error}", resource=name, path=("bases",), origin=origin, hint=hint
    )


def decorated(name: str, origin: Origin) -> DeclarationError:
    """Return the error for a resource that ``@dataclass`` or ``@attrs.define`` was to change."""
    what = "the class is decorated with @dataclass or @attrs.define, and a resource makes its methods itself"
    hint = f"Take the decorator away; {name}(...) and {name}'s repr and == come with Resource."
    return DeclarationError("RK023", what, resource=name, path=("decorators",), origin=origin, hint=hint)
