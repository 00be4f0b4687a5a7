"""Where records are kept. ``SQL`` is loaded when it is first named, so that nobody pays for SQLAlchemy unasked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from resourcekit.data_layers.memory import Memory

if TYPE_CHECKING:
    from resourcekit.data_layers.sql import SQL, Repo, joined

__all__ = ["SQL", "Memory", "Repo", "joined"]


def __getattr__(name: str) -> object:
    """Load the SQL layer on demand (PEP 562)."""
    if name in ("SQL", "Repo", "joined"):
        from resourcekit.data_layers import sql

        return getattr(sql, name)
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
