"""A class namespace that records the entities that are made while its class body runs.

Edit this module if an entity without a name in its class body is not reported.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import attrs

__all__ = ["Recorder", "Unfinished", "record", "running_class_body", "values_inside"]


class Recorder(dict[str, Any]):
    """The namespace of a class statement. made: the entities that were made while its body ran, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.made: list[Any] = []


class Unfinished(partial[Any]):
    """A builder without the function that it decorates, such as ``action(transaction=True)``."""


def running_class_body() -> Recorder | None:
    """Return the namespace of the class body that is running. A helper function called there counts as part of it."""
    frame = sys._getframe(1).f_back  # noqa: SLF001  # the standard library has no public way to the caller's namespace
    while frame is not None and frame.f_code.co_flags & inspect.CO_OPTIMIZED:
        if frame.f_code.co_name == "__new__" and frame.f_globals.get("__name__", "").startswith("resourcekit."):
            return None  # a class inside of a class body is compiled; its entities are not those of the outer body
        frame = frame.f_back
    return frame.f_locals if frame is not None and isinstance(frame.f_locals, Recorder) else None


def record(entity: object) -> None:
    """Record a new entity in the class body that is running, if any."""
    body = running_class_body()
    if body is not None:
        body.made.append(entity)


def values_inside(value: object) -> Iterator[object]:
    """Yield a value and the values of its fields, items and variables, each object once."""
    seen: set[int] = set()
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if id(each) in seen or isinstance(each, (type, str, bytes)):
            continue
        seen.add(id(each))
        yield each
        if isinstance(each, Mapping):
            waiting += each.values()
        elif isinstance(each, (list, tuple, set, frozenset)):
            waiting += each
        elif attrs.has(type(each)):
            waiting += [getattr(each, field.name, None) for field in attrs.fields(type(each))]  # type: ignore[arg-type]  # it has fields
        else:
            waiting += [getattr(each, "entity", None), *getattr(each, "__dict__", {}).values()]
