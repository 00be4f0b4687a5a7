"""Announces the data layers of this package as a third party would, so that a name or a URL is enough to name one.

Loaded when somebody names a layer or an extension by a text; it knows every layer and nothing of how they work.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from resourcekit.plugins import hookimpl

__all__ = ["resourcekit_data_layers"]


@hookimpl
def resourcekit_data_layers() -> Mapping[str, type[Any]]:
    """Return the layers by name or URL scheme; those whose packages are not installed are left out."""
    from resourcekit.data_layers import SQL, Memory

    layers: dict[str, type[Any]] = {"memory": Memory, "sqlite": SQL, "postgresql": SQL, "mysql": SQL, "mariadb": SQL}
    with contextlib.suppress(ImportError):
        from resourcekit.data_layers import Redis

        layers |= {"redis": Redis, "rediss": Redis}
    return layers
