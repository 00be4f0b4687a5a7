"""Records in SQL databases, through SQLAlchemy Core. Only this package imports SQLAlchemy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from resourcekit.data_layers.sql.dialects.postgresql.partitions import Partitions
from resourcekit.data_layers.sql.layer import SQL
from resourcekit.data_layers.sql.repository import Repo

if TYPE_CHECKING:
    from resourcekit.data_layers.sql.transactions.joined import joined

__all__ = ["SQL", "Partitions", "Repo", "joined"]


def __getattr__(name: str) -> object:
    """Import ``joined`` on demand (PEP 562): it needs SQLAlchemy's ORM, whose import takes longer than all the rest."""
    if name == "joined":
        from resourcekit.data_layers.sql.transactions.joined import joined

        return joined
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
