"""Announces the extension under a name, so that applications need not import it."""

from __future__ import annotations

from resourcekit.extending import Extension, hookimpl
from resourcekit_archival.archival import Archival

__all__ = ["resourcekit_extensions"]


@hookimpl
def resourcekit_extensions() -> dict[str, type[Extension]]:
    """Return the extension under the name that ``extensions=["archival"]`` uses."""
    return {"archival": Archival}
