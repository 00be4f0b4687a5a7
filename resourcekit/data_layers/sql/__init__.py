"""Records in SQL databases, through SQLAlchemy Core. The only room that loads SQLAlchemy."""

from __future__ import annotations

from resourcekit.data_layers.sql.joined import joined
from resourcekit.data_layers.sql.layer import SQL
from resourcekit.data_layers.sql.postgresql.partitions import Partitions
from resourcekit.data_layers.sql.repo import Repo

__all__ = ["SQL", "Partitions", "Repo", "joined"]
