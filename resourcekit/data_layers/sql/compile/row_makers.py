"""A function, generated once for each statement, that makes rows of what the driver returns.

Change this module if reading many rows is too slow. The function makes each row in one step; for few rows it is not worth making.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from resourcekit.data_layers.base import Row

__all__ = ["MakeRows", "compile_rows"]

MakeRows = Callable[[Sequence[Sequence[Any]]], list[Row]]


def compile_rows(fields: Sequence[str], decoders: Mapping[str, Callable[[Any], Any]]) -> MakeRows:
    """Return the function that makes rows of tuples which have exactly these fields. ``None`` is not decoded."""
    names = {f"d{number}": decoders[field] for number, field in enumerate(fields) if field in decoders}
    parts = [
        f"{field!r}: d{number}(v{number}) if v{number} is not None else None" if field in decoders else f"{field!r}: v{number}"
        for number, field in enumerate(fields)
    ]
    values = "".join(f"v{number}, " for number in range(len(fields)))
    source = f"def rows(stored):\n    return [{{{', '.join(parts)}}} for {values}in stored]"
    space: dict[str, Any] = dict(names)
    exec(compile(source, "<rows of a statement>", "exec"), space)  # noqa: S102  # the names are those of attributes
    made: MakeRows = space["rows"]
    return made
