"""The plugin that announces the data layers of this package, in the way a third party would.

It is loaded when a declaration gives a data layer or an extension as text, by name or URL.
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
    """Return the layers by name and URL scheme. A layer whose packages are not installed raises an error when it is used."""
    from resourcekit.data_layers import SQL, Memory

    layers: dict[str, type[Any]] = {"memory": Memory, "sqlite": SQL, "postgresql": SQL, "mysql": SQL, "mariadb": SQL}
    try:
        from resourcekit.data_layers import Redis
    except ImportError:
        return layers | {"redis": RedisIsMissing, "rediss": RedisIsMissing}
    return layers | {"redis": Redis, "rediss": Redis}


class RedisIsMissing(DataLayer):
    """Placeholder for Redis if redis-py is not installed."""

    def __new__(cls, *_: object) -> Self:
        """Raise DeclarationError RK104."""
        raise DeclarationError(
            "RK104",
            "redis needs packages that are not installed: redis",
            path=("data_layer",),
            hint="Run: pip install 'resourcekit[redis]'",
        )
