"""How SQLite does what databases do their own way."""

from resourcekit.data_layers.sql.sqlite.room import SQLiteRoom

__all__ = ["SQLiteRoom"]
