"""Where records are kept. ``SQL`` and ``Redis`` are loaded when they are first named: nobody pays for them unasked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from resourcekit.data_layers.memory import Memory

if TYPE_CHECKING:
    from resourcekit.data_layers.redis import Redis
    from resourcekit.data_layers.sql import SQL, Partitions, Repo, joined

__all__ = ["SQL", "Memory", "Partitions", "Redis", "Repo", "joined"]


def __getattr__(name: str) -> object:
    """Load a layer on demand (PEP 562). Raises ImportError, with what to install, where a layer's packages are missing."""
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
