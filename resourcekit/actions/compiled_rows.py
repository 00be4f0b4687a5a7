"""A function, generated once for each create action, that makes the row of a usual input.

Change this module if creating a record is too slow. The function casts, checks and fills in defaults in one straight run, as
the constructors that attrs generates do. It returns ``None`` for an input that is unusual in any way; the caller then binds
that input step by step, which finds the errors and words them.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import Any

from resourcekit.actions.casting import Cast, CastError
from resourcekit.actions.spelling import all_limits, spelling_of
from resourcekit.clock import utc_now
from resourcekit.declarations.attribute import Attribute
from resourcekit.declarations.value_type import Kind
from resourcekit.dsl.option import MISSING
from resourcekit.expressions.nodes import Now

__all__ = ["SCALARS", "MakeRow", "compile_row"]

MakeRow = Callable[[Mapping[str, Any], datetime | None], dict[str, Any] | None]
"""``make(given, moment)`` returns the complete row of an input, or ``None`` for an unusual one.

moment: the time for all timestamps of the row; ``None``: the current time, read if a default needs it.
"""

_PLAIN = {Kind.STRING: str, Kind.INTEGER: int, Kind.BOOLEAN: bool, Kind.UUID: uuid.UUID}
"""Kinds whose values of exactly this type are kept as they are, if they are within the limits."""

SCALARS = frozenset(
    {*_PLAIN, Kind.FLOAT, Kind.DECIMAL, Kind.DATETIME, Kind.DATE, Kind.TIME, Kind.DURATION, Kind.LITERAL, Kind.ENUM, Kind.BYTES}
)
"""Kinds whose values never change, so that one default serves all rows."""


def compile_row(
    attributes: Mapping[str, Attribute], casts: Mapping[str, Cast], accepted: Collection[str], finish: Cast | None = None
) -> MakeRow | None:
    """Return the function that makes the rows of a create action; ``None`` if no input of it can be usual.

    attributes: of the resource, in the order of the row. casts: of all attributes. accepted: the attributes that an input may
    set. finish: called with each value that a cast may have made anew.
    """
    try:
        return _Writer(attributes, casts, accepted, finish).compiled()
    except _NeverCompilable:
        return None


class _NeverCompilable(Exception):
    """A value that only the program sets is required, or a default does not fit its type."""


class _Writer:
    """Writes the source of one function, and gathers the objects that it names."""

    def __init__(
        self, attributes: Mapping[str, Attribute], casts: Mapping[str, Cast], accepted: Collection[str], finish: Cast | None
    ) -> None:
        self._attributes, self._casts, self._finish = attributes, casts, finish
        self._accepted = [name for name in attributes if name in accepted]
        self._names: dict[str, Any] = {"MISSING": MISSING, "now": utc_now, "datetime": dt.datetime, "UTC": dt.UTC}
        self._numbers = {name: number for number, name in enumerate(attributes)}

    def compiled(self) -> MakeRow:
        """Return the function."""
        lines = ["get = given.get", "left = len(given)"]
        for name in self._accepted:
            lines += self._taken(name)
        lines += ["if left:", "    return None"]
        for name in self._attributes:
            lines += self._filled(name)
        lines.append(f"return {{{', '.join(f'{name!r}: v{self._numbers[name]}' for name in self._attributes)}}}")
        source = "def make(given, moment):\n" + "\n".join(f"    {line}" for line in lines)
        exec(compile(source, "<row of a create action>", "exec"), self._names)  # noqa: S102  # of names that were checked
        return self._names["make"]  # type: ignore[no-any-return]  # made by exec

    def _taken(self, name: str) -> list[str]:
        """Return the lines that take a value from the input."""
        value = f"v{self._numbers[name]}"
        return [f"{value} = get({name!r}, MISSING)", f"if {value} is not MISSING:", "    left -= 1", *self._cast(name, value)]

    def _filled(self, name: str) -> list[str]:
        """Return the lines that set a value that the input does not have."""
        attribute, value = self._attributes[name], f"v{self._numbers[name]}"
        default = self._default(name, attribute, value)
        if name not in self._accepted:
            return default
        return [f"if {value} is MISSING:", *(f"    {line}" for line in default)]

    def _default(self, name: str, attribute: Attribute, value: str) -> list[str]:
        factory, default = attribute.default_factory, attribute.default
        if factory is utc_now or isinstance(default, Now):
            self._names[f"d{value}"] = default.at if isinstance(default, Now) else None
            is_moment = factory is utc_now or type(default) is Now
            made = f"{value} = moment" if is_moment else f"{value} = d{value}(moment)"
            needs_cast = attribute.type.kind is not (Kind.DATETIME if is_moment else Kind.DATE)
            return ["moment = moment or now()", made, *(self._as_cast(name, value) if needs_cast else ())]
        if factory is not None:
            self._names[f"f{value}"] = factory
            return [f"{value} = f{value}()", *(line.removeprefix("    ") for line in self._cast(name, value))]
        if default is MISSING:
            if attribute.is_filled:  # the row has no value for it
                return ["return None"]
            if attribute.allow_none:
                return [f"{value} = None"]
            if name in self._accepted:
                return ["return None"]
            raise _NeverCompilable
        self._names[f"d{value}"] = self._checked(name, default)
        fixed = [f"{value} = d{value}"]
        return fixed if default is None or attribute.type.kind in SCALARS else [*fixed, *self._as_cast(name, value)]

    def _checked(self, name: str, default: Any) -> Any:
        """Return a default that was cast. Raise _NeverCompilable if it does not fit: the usual way words the error."""
        if default is None and self._attributes[name].allow_none:
            return None
        try:
            return self._casts[name](default)
        except CastError:
            raise _NeverCompilable from None

    def _as_cast(self, name: str, value: str) -> list[str]:
        self._names[f"c{value}"] = self._casts[name]
        if self._finish is None:
            return [f"{value} = c{value}({value})"]
        self._names["finish"] = self._finish
        return [f"{value} = finish(c{value}({value}))"]

    def _cast(self, name: str, value: str) -> list[str]:
        """Return the lines, indented once, that cast a value unless it is of the type and within the limits."""
        kept = self._kept(name, value)
        (call,) = self._as_cast(name, value)
        return [f"    {call}"] if kept is None else [f"    if not ({kept}):", f"        {call}"]

    def _kept(self, name: str, value: str) -> str | None:
        """Return the test that a value needs no cast; ``None`` if there is none for the type."""
        kind, each = self._attributes[name].type, all_limits(self._attributes[name].type, self._attributes[name].constraints)
        if any(limits.match is not None or spelling_of(limits) is not None for limits in each):
            return None
        if kind.kind is Kind.DATETIME and all(limits.minimum is limits.maximum is None for limits in each):
            return f"type({value}) is datetime and {value}.tzinfo is UTC"
        if kind.kind is Kind.LITERAL:
            self._names[f"t{value}"], self._names[f"o{value}"] = kind.python, kind.options
            return f"type({value}) is t{value} and {value} in o{value}"
        if (plain := _PLAIN.get(kind.kind)) is None:
            return None
        self._names[f"t{value}"] = plain
        tests = [f"type({value}) is t{value}"]
        for number, limits in enumerate(each):
            for what, bound, sign in (
                (f"len({value})", limits.min_length, ">="),
                (f"len({value})", limits.max_length, "<="),
                (value, limits.minimum, ">="),
                (value, limits.maximum, "<="),
            ):
                if bound is not None:
                    named = f"b{value}_{number}_{len(tests)}"
                    self._names[named] = bound
                    tests.append(f"{what} {sign} {named}")
        return " and ".join(tests)
