"""The apps of ``web_apps`` under real servers, on a store and with keys that several hosts share. The servers import this module, too."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import attrs

from resourcekit.clock import Clock
from resourcekit.data_layers import SQL, Redis, Repo
from resourcekit_tokens import JWT, SigningKey
from tests.support.setups import declare_tokens
from tests.support.web_apps import APPS, ASGI_APPS
from tests.support.web_servers import Served

__all__ = ["Host", "Journal", "make", "serving"]

_ROOT = Path(__file__).parents[2]
_BIN = Path(sys.executable).parent
_TOLD = "RESOURCEKIT_TEST_HOST"
_TIME_LIMIT = timedelta(minutes=1)
"""The time that a store has to answer, and the grace of rotations. How long a busy machine takes is not tested here."""


@attrs.frozen(kw_only=True)
class Host:
    """The facts that a server process is started with.

    url: of the store, ``redis://`` or a database. table: of the tokens; for Redis the tag. keys: name, algorithm and material; the
    first one signs. issuer, audience: of the tokens. clients: of the app. ahead: seconds by which its clock is ahead.
    workers: processes that share its port. server: of an ASGI app, ``"uvicorn"`` or ``"hypercorn"``. journal: a file that gets a line of
    JSON for each request of an ASGI app. log: a file that gets the log of resourcekit, with moment and process. sweeps: seconds between
    two sweeps of the expunger; 0: none run. preload: gunicorn makes the app before it forks, and the app uses its store before that.
    """

    url: str
    table: str
    keys: Sequence[tuple[str, str, str]]
    framework: str = "starlette"
    server: str = "uvicorn"
    issuer: str | None = None
    audience: str | None = None
    clients: Mapping[str, str] = attrs.field(factory=dict[str, str])
    ahead: float = 0
    workers: int = 1
    journal: str = ""
    log: str = ""
    sweeps: float = 0
    preload: bool = False

    def resource(self, *, storage: bool = False) -> Any:
        """Return the token resource of this host; storage: make its tables."""
        keys = [SigningKey(kid=kid, algorithm=algorithm, key=key) for kid, algorithm, key in self.keys]
        jwt = JWT(keys, issuer=self.issuer, audience=self.audience)
        layer: Any = (
            Redis(self.url, tag=self.table, timeout=_TIME_LIMIT)
            if self.url.startswith("redis")
            else SQL(Repo(self.url, timeout=_TIME_LIMIT), table=self.table)
        )
        swept = {"expunge_interval": timedelta(seconds=self.sweeps)} if self.sweeps else {}
        return declare_tokens(layer, storage=storage, jwt=jwt, sessions=True, rotation_grace=_TIME_LIMIT, **swept)

    def command(self) -> list[str]:
        """Return the command that serves it, up to its port."""
        own, quiet = "tests.support.web_hosts:make", ["--log-level", "warning"]
        if self.framework not in ASGI_APPS:
            early = ["--preload"] if self.preload else []
            return [str(_BIN / "gunicorn"), f"{own}()", "--workers", str(self.workers), *early, *quiet, "--bind"]
        if self.server == "hypercorn":
            return [str(_BIN / "hypercorn"), f"{own}()", "--workers", str(self.workers), *quiet, "--bind"]
        times = ["--timeout-worker-healthcheck", "240", "--timeout-keep-alive", "240"]  # seconds, for a busy machine
        return [str(_BIN / "uvicorn"), own, "--factory", "--workers", str(self.workers), *times, *quiet, "--port"]


def make() -> Any:
    """Return the app of this server process, by what its environment says."""
    host = Host(**json.loads(os.environ[_TOLD]))
    if host.ahead:
        _set_ahead(timedelta(seconds=host.ahead))
    if host.log:
        _log_to(Path(host.log))
    app, _ = APPS[host.framework]
    token = host.resource()
    if host.preload:
        assert not token.jti_revoked("unknown")  # the connection of this process, which its workers must not use
    made = app(token, clients=host.clients, supervise=bool(host.sweeps))
    return Journal(made, Path(host.journal)) if host.journal else made


@attrs.frozen
class Journal:
    """Notes the requests to an ASGI app: those that browsers really send, and their answers."""

    app: Any
    file: Path

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass a request on, and note it with its status."""

        async def noted(message: Any) -> None:
            if message["type"] == "http.response.start":
                headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
                line = {"method": scope["method"], "path": scope["path"], "status": message["status"], **headers}
                with self.file.open("a") as file:
                    file.write(json.dumps(line) + "\n")
            await send(message)

        await self.app(scope, receive, noted if scope["type"] == "http" else send)


def _log_to(file: Path) -> None:
    handler = logging.FileHandler(file)
    handler.setFormatter(logging.Formatter("%(created)f %(process)d %(message)s"))
    logging.getLogger("resourcekit").addHandler(handler)
    logging.getLogger("resourcekit").setLevel(logging.DEBUG)


def _set_ahead(ahead: timedelta) -> None:
    """Put the system's clock ahead for this process. A clock of another class would take the place of the store's clock, too."""
    system = Clock.now

    def now(self: Clock) -> datetime:
        return system(self) + ahead

    Clock.now = now  # type: ignore[method-assign]  # the system's clock cannot be set by a test


@contextmanager
def serving(folder: Path, *hosts: Host) -> Iterator[list[str]]:
    """Serve hosts, and yield the address of each."""
    with ExitStack() as stack:
        started = []
        for number, host in enumerate(hosts):
            environment = {**os.environ, _TOLD: json.dumps(attrs.asdict(host))}
            log = folder / f"host{number}.log"
            started.append(stack.enter_context(Served(host.command(), _ROOT, environment, log)))
        yield [f"http://127.0.0.1:{server.wait()}" for server in started]
