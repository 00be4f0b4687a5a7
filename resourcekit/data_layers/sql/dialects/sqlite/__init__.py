"""The SQLite dialect."""

from resourcekit.data_layers.sql.dialects.sqlite.dialect import SQLiteDialect

__all__ = ["SQLiteDialect"]
