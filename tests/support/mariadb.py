"""A MariaDB server of the tests' own, started from the machine's programs."""

from __future__ import annotations

import atexit
import functools
import os
import shutil

from tests.support.servers import Server

__all__ = ["MariaDB", "started_here"]

_PLACES = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin", "/usr/libexec"])
"""Where programs are; servers lie in folders that not every user searches."""


class MariaDB(Server):
    """One server; user ``root``, no password. options: settings, as ``name=value``."""

    users = ("mysql", "nobody")

    def __init__(self, *options: str) -> None:
        self._program = _program("mariadbd", "mysqld")
        make = _program("mariadb-install-db", "mysql_install_db")
        super().__init__("mariadb")
        self.url = f"mariadb://root@127.0.0.1:{self.port}/test"
        self._options = [f"--{option}" for option in options]
        self.own_all()
        self.run(
            make,
            "--no-defaults",
            f"--datadir={self.data}",
            f"--tmpdir={self.folder}",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
        )
        (self.folder / "init.sql").write_text(
            "CREATE USER IF NOT EXISTS root@'127.0.0.1';\n"
            "GRANT ALL ON *.* TO root@'127.0.0.1' WITH GRANT OPTION;\n"
            "CREATE DATABASE IF NOT EXISTS test;\n"
        )
        self.own_all()

    def command(self) -> list[str]:
        return [
            self._program,
            "--no-defaults",
            f"--datadir={self.data}",
            f"--tmpdir={self.folder}",
            f"--port={self.port}",
            "--bind-address=127.0.0.1",
            f"--socket={self.folder}/server.sock",
            f"--pid-file={self.folder}/server.pid",
            f"--init-file={self.folder}/init.sql",
            "--skip-name-resolve",
            "--innodb-buffer-pool-size=32M",
            "--innodb-log-file-size=16M",
            *self._options,
        ]

    def answers(self) -> bool:
        import pymysql

        try:
            pymysql.connect(
                host="127.0.0.1", port=self.port, user="root", database="test", connect_timeout=2, ssl_disabled=True
            ).close()
        except pymysql.err.OperationalError:
            return False
        return True


@functools.cache
def started_here() -> MariaDB:
    """Start a server that is ended with this process. Raises LookupError where the machine has no program for it."""
    server = MariaDB()
    owner = os.getpid()
    atexit.register(lambda: server.remove() if os.getpid() == owner else None)
    server.start()
    return server


def _program(*names: str) -> str:
    """Return the first of these programs that the machine has. Raises LookupError where it has none."""
    for name in names:
        if found := shutil.which(name, path=_PLACES):
            return found
    raise LookupError(f"{names[0]} is not installed")
