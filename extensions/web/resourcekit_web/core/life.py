"""Start and stop of an app: checks, then the background services. Edit this module to change what a start does.

Each process has a Supervisor, and its schedule lease lets each service run once in each interval for the whole fleet.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from resourcekit.extending import free_after_fork, logger
from resourcekit.supervisor import Supervisor
from resourcekit_web.core.settings import Settings

__all__ = ["Life"]

_log = logger("web")


class Life:
    """The start and the stop of the app of one ``TokenAuth``.

    supervisor: the one that ``start_once`` has started in this process, or None.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._pid: int | None = None
        self.supervisor: Supervisor | None = None
        self._lock = free_after_fork(threading.Lock())

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Run the services in tasks of the loop until the end of the block."""
        if not self.settings.supervise:
            yield
            return
        async with self._supervise():
            yield

    def start_once(self) -> None:
        """Run the services in threads of this process. Called with each request: a forked worker starts its own with its first."""
        if self._pid == os.getpid() or not self.settings.supervise:
            return
        with self._lock:
            if self._pid == os.getpid():
                return
            self._pid = os.getpid()
        # In a thread, because the first start also asks doctor for up to two seconds.
        threading.Thread(target=self._start, name="resourcekit-web-start", daemon=True).start()

    def stop(self) -> None:
        """Stop the services of ``start_once``, for tests and for servers that announce their end to the app."""
        if self.supervisor is not None:
            self.supervisor.stop()

    def _start(self) -> None:
        try:
            self.supervisor = self._supervise()
            self.supervisor.start()
        except Exception as error:  # the app serves without its services, and the log shows it
            _log.error("the background services were not started: %s", type(error).__name__)  # no values in the log

    def _supervise(self) -> Supervisor:
        target = self.settings.supervise
        return Supervisor(self.settings.resource if target is True else target)

    def __repr__(self) -> str:
        """Return ``<life of Token>``."""
        with contextlib.suppress(AttributeError):
            return f"<life of {self.settings.resource.__name__}>"
        return "<life>"
