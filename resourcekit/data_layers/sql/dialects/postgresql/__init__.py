"""The PostgreSQL dialect."""

from resourcekit.data_layers.sql.dialects.postgresql.dialect import PostgresDialect

__all__ = ["PostgresDialect"]
