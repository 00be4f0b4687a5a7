"""The MariaDB dialect."""

from resourcekit.data_layers.sql.dialects.mariadb.dialect import MariaDialect

__all__ = ["MariaDialect"]
