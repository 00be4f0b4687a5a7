"""Functions, generated once for each statement: one makes rows of what the driver returns, the others make what is sent.

Change this module if a read or a write is too slow. Each function does its work in one straight run. It does exactly what a loop
over the fields would do.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from resourcekit.clock import utc_now
from resourcekit.data_layers.base import Params, Row
from resourcekit.data_layers.sql.compile.expressions import NOW
from resourcekit.data_layers.sql.compile.parts import Bind
from resourcekit.data_layers.sql.dialects.columns import FLOAT, INT_MOST, INTEGER, STRING, Codec, Family
from resourcekit.data_layers.unstorable import NoneGiven, Unstorable

__all__ = ["MakeKept", "MakeRows", "MakeStored", "MakeValues", "compile_kept", "compile_rows", "compile_stored", "compile_values"]

MakeRows = Callable[[Sequence[Sequence[Any]]], list[Row]]

MakeStored = Callable[[Row], list[Any] | None]
"""``make(row)`` returns the stored forms of a row's values; ``None`` if one of them cannot be stored."""

MakeKept = Callable[[Row, Sequence[Any]], Row]
"""``make(row, stored)`` returns a row that was inserted as a read would return it."""

MakeValues = Callable[[Params], list[Any]]
"""``make(params)`` returns the stored forms of the values for all placeholders of a statement."""

WrittenField = tuple[str, Codec, bool]
"""An attribute that is written, its codec, and whether it may be ``None``."""


def compile_rows(fields: Sequence[str], decoders: Mapping[str, Callable[[Any], Any]]) -> MakeRows:
    """Return the function that makes rows of tuples which have exactly these fields. ``None`` is not decoded."""
    names = {f"d{number}": decoders[field] for number, field in enumerate(fields) if field in decoders}
    parts = [
        f"{field!r}: d{number}(v{number}) if v{number} is not None else None" if field in decoders else f"{field!r}: v{number}"
        for number, field in enumerate(fields)
    ]
    values = "".join(f"v{number}, " for number in range(len(fields)))
    source = f"def made(stored):\n    return [{{{', '.join(parts)}}} for {values}in stored]"
    made: MakeRows = _made(source, dict(names))
    return made


def compile_stored(fields: Sequence[WrittenField]) -> MakeStored:
    """Return the function that makes the stored forms of one row."""
    space: dict[str, Any] = {"refused": (Unstorable, NoneGiven), **_INTEGERS}
    lines = ["def made(row):", "    get = row.get", "    try:", "        pass"]
    for number, (name, codec, allow_none) in enumerate(fields):
        value, stored = f"v{number}", f"s{number}"
        space[f"e{number}"] = codec.encode
        lines += [f"        {value} = get({name!r})", f"        if {value} is None:"]
        lines.append(f"            {stored} = None" if allow_none else "            return None")
        lines += ["        else:", f"            {stored} = {_encoded(value, f'e{number}', codec.encode)}"]
    lines += ["    except refused:", "        return None"]
    lines.append(f"    return [{', '.join(f's{number}' for number in range(len(fields)))}]")
    made: MakeStored = _made("\n".join(lines), space)
    return made


_INTEGERS = {"most": INT_MOST, "least": -INT_MOST - 1}


def _encoded(value: str, encode: str, function: Callable[[Any], Any]) -> str:
    """Return the expression of the stored form of a value. The commonest values are tested without a call."""
    if function is STRING.encode:
        return f'{value} if type({value}) is str and {value}.isascii() and "\\0" not in {value} else {encode}({value})'
    if function is INTEGER.encode:
        return f"{value} if type({value}) is int and least <= {value} <= most else {encode}({value})"
    return f"{encode}({value})"


def compile_values(binds: Sequence[Bind]) -> MakeValues:
    """Return the function that makes the values for placeholders. It raises what the codecs raise."""
    space: dict[str, Any] = {"now": utc_now, **_INTEGERS}
    lines = ["def made(params):"]
    if any(bind.param == NOW for bind in binds):
        lines.append("    moment = now()")
    for number, bind in enumerate(binds):
        value = f"v{number}"
        space[f"e{number}"], space[f"c{number}"] = bind.encode, bind.constant
        if not bind.param:
            lines.append(f"    {value} = c{number}")
            continue
        given = "moment" if bind.param == NOW else f"params[{bind.param!r}]"
        lines.append(f"    {value} = {given if bind.index is None else f'{given}[{bind.index}]'}")
        lines.append(f"    {value} = {_encoded(value, f'e{number}', bind.encode)}")
    lines.append(f"    return [{', '.join(f'v{number}' for number in range(len(binds)))}]")
    made: MakeValues = _made("\n".join(lines), space)
    return made


def compile_kept(attributes: Collection[str], fields: Sequence[WrittenField]) -> MakeKept:
    """Return the function that makes the rows of an insert. attributes: of the resource; those that are not written are ``None``."""
    space: dict[str, Any] = {"datetime": datetime, "UTC": UTC, "UUID": UUID}
    parts: dict[str, str] = dict.fromkeys(attributes, "None")
    for number, (name, codec, allow_none) in enumerate(fields):
        space[f"d{number}"] = float if codec is FLOAT else codec.decode
        kept = _kept(f"row[{name!r}]", f"stored[{number}]", f"d{number}", codec)
        parts[name] = f"None if stored[{number}] is None else {kept}" if allow_none else kept
    made: MakeKept = _made(
        f"def made(row, stored):\n    return {{{', '.join(f'{name!r}: {part}' for name, part in parts.items())}}}", space
    )
    return made


def _kept(value: str, stored: str, decode: str, codec: Codec) -> str:
    """Return the expression of a value as a read would return it: the given one if it is of the type that a read returns."""
    if codec is FLOAT:
        return f"{decode}({stored})"
    if codec.decode is None:
        return value if codec.family is Family.TEXT else stored
    tests = {
        Family.TEXT: f"type(given := {value}) is str",
        Family.UUID: f"type(given := {value}) is UUID",
        Family.MOMENT: f"type(given := {value}) is datetime and given.tzinfo is UTC and not given.fold",
    }
    decoded = f"{decode}({stored})"
    return f"(given if {tests[codec.family]} else {decoded})" if codec.family in tests else decoded


def _made(source: str, space: dict[str, Any]) -> Any:
    exec(compile(source, "<rows of a statement>", "exec"), space)  # noqa: S102  # the names are those of attributes
    return space["made"]
