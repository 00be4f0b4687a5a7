"""What was loaded with a record: related records by relationship, and by names of the caller."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

__all__ = ["Loaded", "copied", "keep_loaded", "loaded_of"]

_NOTHING: Mapping[str, Any] = {}


@attrs.define  # not frozen: one is made for each record that a query computes values for
class Loaded:
    """What was loaded with one record. related: by name of the relationship. extra: by names that the query gave."""

    related: Mapping[str, Any] = _NOTHING
    extra: Mapping[str, Any] = _NOTHING


def loaded_of(record: Any) -> Loaded | None:
    """Return what was loaded with a record; ``None`` if nothing was."""
    try:
        found: Loaded = object.__getattribute__(record, "__loaded__")  # the record's own __getattr__ would make an error text
    except AttributeError:
        return None
    return found


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
