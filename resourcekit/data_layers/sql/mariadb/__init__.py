"""How MariaDB does what databases do their own way."""

from resourcekit.data_layers.sql.mariadb.room import MariaRoom

__all__ = ["MariaRoom"]
