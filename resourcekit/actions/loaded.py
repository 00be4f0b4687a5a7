"""The loaded values of a record: related records by relationship, and by names of the caller."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from resourcekit.data_layers.unstorable import PartialRow
from resourcekit.errors import FieldFinding, InvalidArgument, UnreadableValue
from resourcekit.resource_info import ResourceInfo

__all__ = ["Loaded", "PartlyLoaded", "check_extra", "copied", "keep_loaded", "keep_unreadable", "loaded_of"]

_NOTHING: Mapping[str, Any] = {}


@attrs.define  # not frozen: one is made for each record that a query computes values for
class Loaded:
    """The loaded values of one record. related: by name of the relationship. extra: by names that the query gave."""

    related: Mapping[str, Any] = _NOTHING
    extra: Mapping[str, Any] = _NOTHING


class PartlyLoaded(dict[str, Any]):
    """Values loaded under names of the query, some of which are unreadable. Reading a value that needs an unreadable one raises its error."""

    __slots__ = ("_unreadable",)

    def __init__(self, extra: Mapping[str, Any], unreadable: Mapping[str, UnreadableValue]) -> None:
        super().__init__(extra)
        self._unreadable = unreadable

    def __missing__(self, name: str) -> Any:
        """Raise the error of a name."""
        if name in self._unreadable:
            raise UnreadableValue(self._unreadable[name].findings, resource=self._unreadable[name].resource)
        raise KeyError(name)


def keep_unreadable(record: Any, errors: Mapping[str, UnreadableValue]) -> None:
    """Keep the errors of values that cannot be computed with a record, by their names."""
    row = vars(record)
    if not isinstance(row, PartialRow):
        row = PartialRow(row)
        object.__setattr__(record, "__dict__", row)
    row.unreadable.update(errors)


def loaded_of(record: Any) -> Loaded | None:
    """Return what was loaded with a record; ``None`` if nothing was."""
    try:
        found: Loaded = object.__getattribute__(record, "__loaded__")  # the record's own __getattr__ would make an error text
    except AttributeError:
        return None
    return found


def check_extra(info: ResourceInfo, name: str) -> None:
    """Raise InvalidArgument for a name under which ``record.extra`` cannot hold what a query loads."""
    if name in info.attributes or name in info.relationships or name in info.calculations:
        raise InvalidArgument(FieldFinding(name, "is a name of the resource; load it under another one"), resource=info.name)
    kinds = {
        "an attribute": info.attributes,
        "a relationship": info.relationships,
        "a calculation": info.calculations,
        "an action": info.actions,
        "a function": info.functions,
    }
    kind = next((kind for kind, names in kinds.items() if "extra" in names), None)
    if kind is not None and name.isidentifier():  # the columns of a page's order have other names
        what = (
            f"cannot be read, because {info.name} has {kind} 'extra', which hides record.extra; rename it, with column='extra' "
            "for an attribute, or load relationships and calculations of the resource without a name"
        )
        raise InvalidArgument(FieldFinding(name, what), resource=info.name)


def keep_loaded(record: Any, loaded: Loaded) -> None:
    """Keep what was loaded with a record."""
    object.__setattr__(record, "__loaded__", loaded)


def copied(record: Any) -> Any:
    """Return a record with the same values, and the same related records."""
    copy = object.__new__(type(record))
    object.__setattr__(copy, "__dict__", vars(record).copy())
    if (loaded := loaded_of(record)) is not None:
        keep_loaded(copy, loaded)
    return copy
