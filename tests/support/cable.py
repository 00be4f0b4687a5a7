"""A cable to another network that a test can pull: a network namespace and two ends of a virtual cable.

Needs Linux, the program ``ip`` and root.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import shutil
import socket
import subprocess
import threading
import time
from typing import Any

__all__ = ["Cable"]

_TIME_LIMIT = 10
"""Seconds of real time that a cable has to be plugged in."""

_cables = itertools.count()

_NEW_NETWORK = 0x40000000  # CLONE_NEWNET


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], check=False, capture_output=True, text=True, timeout=10)
    if done.returncode:
        raise LookupError(f"ip {' '.join(words)}: {done.stderr.strip()}")


class Cable:
    """Leads from this network to one of its own, and to nothing else. Raises LookupError where that cannot be made.

    address: the one of the far end.
    """

    def __init__(self) -> None:
        if shutil.which("ip") is None or os.geteuid() != 0:
            raise LookupError("a network namespace needs root and the program ip")
        # The one before may take a moment to go, so each has names and addresses of its own.
        count = next(_cables) % 16
        number = (os.getpid() * 16 + count) % 16384
        self._name = f"rk{os.getpid()}x{count}"
        self._near, self._far = f"rn{os.getpid()}x{count}", f"rf{os.getpid()}x{count}"
        # A network of four addresses, in a range that is for tests of networks (RFC 2544).
        base = f"198.18.{number >> 6}.{(number & 63) * 4}"
        host, last = base.rsplit(".", 1)
        near, self.address = f"{host}.{int(last) + 1}", f"{host}.{int(last) + 2}"
        _ip("netns", "add", self._name)
        try:
            _ip("link", "add", self._near, "type", "veth", "peer", "name", self._far, "netns", self._name)
            _ip("addr", "add", f"{near}/30", "dev", self._near)
            _ip("link", "set", self._near, "up")
            _ip("-n", self._name, "addr", "add", f"{self.address}/30", "dev", self._far)
            _ip("-n", self._name, "link", "set", self._far, "up")
        except LookupError:
            self.remove()
            raise

    def listen(self) -> socket.socket:
        """Return a socket that listens at the far end; it stays there, whichever thread uses it."""
        made: list[Any] = []

        def work() -> None:
            try:
                self._go_there()
                made.append(socket.create_server((self.address, 0)))
            except OSError as error:
                made.append(error)

        thread = threading.Thread(target=work)  # only a thread moves, and it ends there
        thread.start()
        thread.join()
        if isinstance(made[0], OSError):
            raise made[0]
        listener: socket.socket = made[0]
        return listener

    def _go_there(self) -> None:
        library = ctypes.CDLL(None, use_errno=True)
        with open(f"/run/netns/{self._name}", "rb") as place:  # noqa: PTH123  # a descriptor is what is needed
            if library.setns(place.fileno(), _NEW_NETWORK):
                raise OSError(ctypes.get_errno(), "setns")

    def pull(self) -> None:
        """Let nothing pass; neither side is notified."""
        _ip("-n", self._name, "link", "set", self._far, "down")

    def plug(self) -> None:
        """Let everything pass again; returns once it does."""
        _ip("-n", self._name, "link", "set", self._far, "up")
        ends_at = time.monotonic() + _TIME_LIMIT
        while time.monotonic() < ends_at:
            try:
                socket.create_connection((self.address, 1), 1).close()
            except ConnectionRefusedError:  # the port is closed, and the host answered so
                return
            except OSError:  # the kernel remembers for a while that the host did not answer
                time.sleep(0.05)

    def remove(self) -> None:
        """Take it away."""
        _ip("netns", "del", self._name)
