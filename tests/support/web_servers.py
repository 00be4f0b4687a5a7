"""Starts the web examples under their real servers, and browses them with cookies as a browser keeps them."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from tests.support.servers import free_port

__all__ = ["EXAMPLES", "SERVERS", "Browser", "Served", "served"]

EXAMPLES = Path(__file__).parents[2] / "examples" / "web"
_BIN = Path(sys.executable).parent
SERVERS: dict[str, list[str]] = {
    "fastapi": [str(_BIN / "uvicorn"), "app:app", "--log-level", "warning", "--port"],
    "litestar": [str(_BIN / "uvicorn"), "app:app", "--workers", "2", "--log-level", "warning", "--port"],
    "flask": [str(_BIN / "gunicorn"), "app:app", "--preload", "--workers", "2", "--log-level", "warning", "--bind"],
    "django": [str(_BIN / "gunicorn"), "app:app", "--workers", "2", "--log-level", "warning", "--bind"],
}
SECRET = "pXr1_6Xn0oTnC2mB8yq4Zs9dKf7hVg5jWl3aQe-uYiRt"

_TIME_LIMIT = 240
"""Seconds of real time after which a server does not start or end: eight processes on a busy machine take more than one minute."""


@contextmanager
def served(framework: str, folder: Path) -> Iterator[int]:
    """Serve an example, with its database in a folder, and give the port. The log must show no part of a token."""
    environment = {**os.environ, "TOKEN_SECRET": SECRET, "DATABASE_URL": f"sqlite:///{folder}/sessions.db"}
    code = "from app import accounts; accounts.create_storage()"
    subprocess.run([sys.executable, "-c", code], cwd=EXAMPLES / framework, env=environment, check=True, timeout=60)
    with Served(SERVERS[framework], EXAMPLES / framework, environment, folder / "server.log") as server:
        yield server.wait()


class Served:
    """A server process, from its start to its end.

    command: its program; the last word is the option that takes its place: ``--bind`` an address, any other one a port.
    """

    def __init__(self, command: list[str], cwd: Path, environment: Mapping[str, str], log: Path) -> None:
        self._command, self._cwd, self._log = command, cwd, log
        self._environment = {**environment, "PYTHONDONTWRITEBYTECODE": "1"}
        self._start()

    def _start(self) -> None:
        self.port = free_port()
        place = f"127.0.0.1:{self.port}" if self._command[-1] == "--bind" else str(self.port)
        command = [*self._command, place]
        with self._log.open("wb") as output:
            self._process = subprocess.Popen(command, cwd=self._cwd, env=self._environment, stdout=output, stderr=output)

    def wait(self) -> int:
        """Wait until it answers, and return its port."""
        until = time.monotonic() + _TIME_LIMIT
        while time.monotonic() < until:
            if self._process.poll() is not None:
                assert b"in use" in self._log.read_bytes(), self._log.read_text()
                self._start()  # another program has taken the port meanwhile
            with contextlib.suppress(OSError, http.client.HTTPException):
                if Browser(self.port).send("GET", "/livez")[0] == 200:
                    return self.port
            time.sleep(0.05)  # a real server starts in real time
        raise AssertionError(self._log.read_text())

    def __enter__(self) -> Self:
        """Return itself; it may not answer yet."""
        return self

    def __exit__(self, *error: object) -> None:
        """End it. Its log must show no part of a token."""
        self._process.terminate()
        try:
            self._process.wait(_TIME_LIMIT)
        finally:
            self._process.kill()
        assert b"eyJ" not in self._log.read_bytes()


class Browser:
    """Keeps the cookies that a server sets, and sends them back, by their path."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.cookies: dict[str, tuple[str, str]] = {}

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """Return status and body. body: JSON."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=20)
        kept = "; ".join(f"{name}={value}" for name, (value, below) in self.cookies.items() if path.startswith(below))
        given = {
            **headers,
            **({"Cookie": kept} if kept else {}),
            **({} if body is None else {"Content-Type": "application/json"}),
        }
        connection.request(method, path, None if body is None else json.dumps(body), given)
        answer = connection.getresponse()
        text = answer.read()
        for name, value in answer.getheaders():
            if name.lower() == "set-cookie":
                self._keep(value)
        connection.close()
        return answer.status, json.loads(text) if text and "json" in answer.headers.get("content-type", "") else text

    def _keep(self, value: str) -> None:
        pair, *attributes = value.split("; ")
        name, _, text = pair.partition("=")
        said = {key.lower(): given for key, _, given in (one.partition("=") for one in attributes)}
        if said.get("max-age") == "0":
            self.cookies.pop(name, None)
        else:
            self.cookies[name] = (text, said["path"])

    def sign_in(self, password: str = "wonderland") -> int:
        """Send the form of the page, and return the status."""
        return self.send("POST", "/login", {"name": "alice", "password": password})[0]
