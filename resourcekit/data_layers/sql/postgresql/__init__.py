"""How PostgreSQL does what databases do their own way."""

from resourcekit.data_layers.sql.postgresql.room import PostgresRoom

__all__ = ["PostgresRoom"]
