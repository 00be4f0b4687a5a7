"""The data layers: where records are stored. ``SQL`` and ``Redis`` are imported on first use, so other programs do not load
them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from resourcekit.data_layers.memory import Memory

if TYPE_CHECKING:
    from resourcekit.data_layers.redis import Redis
    from resourcekit.data_layers.sql import SQL, Partitions, Repo, joined

__all__ = ["SQL", "Memory", "Partitions", "Redis", "Repo", "joined"]


def __getattr__(name: str) -> object:
    """Import a layer on demand (PEP 562). Raise ImportError with the command to run if the packages of a layer are missing."""
    if name in ("SQL", "Partitions", "Repo", "joined"):
        from resourcekit.data_layers import sql

        return getattr(sql, name)
    if name == "Redis":
        try:
            from resourcekit.data_layers.redis import Redis
        except ModuleNotFoundError as missing:
            if missing.name != "redis":
                raise
            msg = "the Redis data layer needs redis-py: pip install 'resourcekit[redis]'"
            raise ImportError(msg) from None
        return Redis
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
