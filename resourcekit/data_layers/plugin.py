"""Announces the data layers of this package as a third party would, so that a name or a URL is enough to name one.

Loaded when somebody names a layer or an extension by a text; it knows every layer and nothing of how they work.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from resourcekit.data_layers.base import DataLayer
from resourcekit.errors import DeclarationError
from resourcekit.plugins import hookimpl

__all__ = ["resourcekit_data_layers"]


@hookimpl
def resourcekit_data_layers() -> Mapping[str, type[Any]]:
    """Return the layers by name or URL scheme; one whose packages are not installed says so where it is named."""
    from resourcekit.data_layers import SQL, Memory

    layers: dict[str, type[Any]] = {"memory": Memory, "sqlite": SQL, "postgresql": SQL, "mysql": SQL, "mariadb": SQL}
    try:
        from resourcekit.data_layers import Redis
    except ImportError:
        return layers | {"redis": RedisIsMissing, "rediss": RedisIsMissing}
    return layers | {"redis": Redis, "rediss": Redis}


class RedisIsMissing(DataLayer):
    """Stands for Redis where redis-py is not installed."""

    def __new__(cls, *_: object) -> Self:
        """Raise DeclarationError RK104."""
        raise DeclarationError(
            "RK104",
            "redis needs packages that are not installed: redis",
            path=("data_layer",),
            hint="Run: pip install 'resourcekit[redis]'",
        )
