"""Verifiers of single declarations: names that repeat, factories and functions that cannot be called, limits below zero.

Edit this module if a mistake in one line of a class body is found only when an action runs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from resourcekit.call_context import is_async_function
from resourcekit.declarations.action import CreateAction, DestroyAction, ReadAction, UpdateAction
from resourcekit.declarations.argument import Argument
from resourcekit.declarations.attribute import Attribute
from resourcekit.declarations.change import Change
from resourcekit.declarations.facts import Facts
from resourcekit.declarations.identity import Identity, Index
from resourcekit.dsl.diagnostics import Finding
from resourcekit.dsl.entity import Entity
from resourcekit.dsl.extension_checks import takes
from resourcekit.dsl.passes import Verifier

__all__ = ["FactoriesCanRun", "FunctionsTakeTheirSubject", "NamesAreGivenOnce", "NoLimitIsNegative", "finding"]


def finding(code: str, entity: Entity, what: str, cure: str) -> Finding:
    """Return a finding on an entity."""
    return Finding(id=code, what=what, cure=cure, path=(entity.section, entity.name), origin=entity.origin)


def _inputs(info: Facts) -> list[Attribute | Argument]:
    """Return the attributes of a resource, and the arguments of its actions."""
    arguments = [argument for action in info.actions.values() for argument in action.arguments.values()]
    return [*info.attributes.values(), *arguments]


def _repeated(names: Sequence[str]) -> Iterator[str]:
    return (name for name, times in Counter(names).items() if times > 1)


class NamesAreGivenOnce(Verifier):
    """Requires that identities, indexes and ``accept`` name each attribute once, and that no two attributes share a column."""

    def verify(self, info: Facts, options: object) -> Iterable[Finding]:
        """Find names that repeat."""
        groups: list[Identity | Index] = [*info.identities.values(), *info.indexes.values()]
        for group in groups:
            for name in _repeated(tuple(map(str, group.fields))):
                yield finding("RK042", group, f"names {name!r} twice", "Name it once.")
        for action in info.actions.values():
            for name in _repeated(getattr(action, "accept", ())):
                yield finding("RK043", action, f"accepts {name!r} twice", "Name it once.")
        taken: dict[str, str] = {}
        for attribute in info.attributes.values():
            if not attribute.column_name:
                yield finding("RK034", attribute, "has an empty column name", "Name the column, or leave column out.")
            elif (other := taken.setdefault(attribute.column_name, attribute.name)) != attribute.name:
                what = f"has the column {attribute.column_name!r}, which is that of {other!r}"
                yield finding("RK034", attribute, what, "Give one of the two another column.")


class FactoriesCanRun(Verifier):
    """Requires that factories of values are plain functions without arguments, and that keys are not made again at updates."""

    def verify(self, info: Facts, options: object) -> Iterable[Finding]:
        """Find factories that need arguments, are async, or would write a key."""
        for each in _inputs(info):
            for name in ("default_factory", "update_default_factory"):
                factory = getattr(each, name, None)
                if factory is None:
                    continue
                if not takes(factory, 0):
                    yield finding("RK034", each, f"its {name} cannot be called without arguments", "Give one that takes none.")
                elif is_async_function(factory):
                    yield finding("RK034", each, f"its {name} is async, and is not awaited", "Give a plain function.")
                elif name == "update_default_factory" and each.name in info.primary_key:
                    what = f"is part of the primary key, and its {name} would write it at each update"
                    yield finding("RK048", each, what, "Take it away.")


class NoLimitIsNegative(Verifier):
    """Requires lengths from zero on."""

    def verify(self, info: Facts, options: object) -> Iterable[Finding]:
        """Find negative lengths."""
        for each in _inputs(info):
            for name in ("min_length", "max_length"):
                length = getattr(each.constraints, name)
                if isinstance(length, int) and length < 0:
                    yield finding("RK034", each, f"{name}={length} is no length", "Give a whole number from 0 on.")


_SUBJECTS = {CreateAction: "changeset", UpdateAction: "changeset", DestroyAction: "changeset", ReadAction: "query"}


class FunctionsTakeTheirSubject(Verifier):
    """Requires that decorated functions take the query or the changeset, and that no change of an update writes a key."""

    def verify(self, info: Facts, options: object) -> Iterable[Finding]:
        """Find functions whose first parameter is missing, and changes that write a key."""
        for action in info.actions.values():
            subject = next((name for kind, name in _SUBJECTS.items() if isinstance(action, kind)), "")
            function = getattr(action, "function", None)
            if subject and function is not None and not _takes_any(function):
                cure = f"Give it a first parameter: ({subject}, ...)."
                yield finding("RK033", action, f"decorates a function that takes no {subject}", cure)
            if isinstance(action, UpdateAction):
                written = [name for step in action.changes if isinstance(step, Change) for name in step.writes]
                for name in dict.fromkeys(written):
                    if name in info.primary_key:
                        what = f"writes {name!r}, a part of the primary key"
                        yield finding("RK048", action, what, "Destroy the record and create another.")


def _takes_any(function: object) -> bool:
    """Return whether a function has a parameter that is given by position."""
    code = getattr(getattr(function, "__func__", function), "__code__", None)
    return code is None or code.co_argcount > 0 or bool(code.co_flags & 0x04)  # CO_VARARGS
