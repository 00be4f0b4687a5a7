"""Browsers with several tabs, in tasks: they share cookies, send at one moment, and take the cookies of each answer as it comes."""

from __future__ import annotations

import asyncio
from typing import Any

import attrs

__all__ = ["Answered", "Tab", "TabbedBrowser"]


@attrs.frozen
class Answered:
    """A response. cookies: those that it sets."""

    status: int
    cookies: dict[str, str]


class Tab:
    """One connection to a server, kept from request to request."""

    def __init__(self, address: str) -> None:
        self._host = address.removeprefix("http://")
        self._streams: Any = None

    async def send(self, method: str, path: str, cookies: dict[str, str]) -> Answered:
        """Send a request without a body, and read the response."""
        if self._streams is None:
            host, _, port = self._host.partition(":")
            self._streams = await asyncio.open_connection(host, int(port))
        reader, writer = self._streams
        kept = "; ".join(f"{name}={value}" for name, value in cookies.items())
        lines = [
            f"{method} {path} HTTP/1.1",
            f"Host: {self._host}",
            f"Cookie: {kept}",
            "Sec-Fetch-Site: same-origin",
            "Content-Length: 0",
        ]
        writer.write("\r\n".join([*lines, "", ""]).encode())
        status, *headers = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        said = [line.partition(":") for line in headers if line]
        length = next((int(value) for name, _, value in said if name.lower() == "content-length"), 0)
        await reader.readexactly(length)
        given = [value.strip().partition(";")[0].partition("=") for name, _, value in said if name.lower() == "set-cookie"]
        return Answered(int(status.split()[1]), {name: value for name, _, value in given})

    def close(self) -> None:
        """Close the connection; the next request opens another one, maybe to another process."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


class TabbedBrowser:
    """A browser: one jar of cookies, and a tab for each address."""

    def __init__(self, *addresses: str) -> None:
        self.tabs = [Tab(address) for address in addresses]
        self.cookies: dict[str, str] = {}

    async def send(self, method: str, path: str, tab: Tab | None = None) -> Answered:
        """Send a request from a tab with the cookies of now. A store that did not answer in time (503) is asked again, as pages do."""
        for _ in range(5):
            answered = await (tab or self.tabs[0]).send(method, path, dict(self.cookies))
            if answered.status != 503:
                break
        self.cookies.update(answered.cookies)
        return answered

    async def together(self, method: str, path: str) -> list[Answered]:
        """Send a request from all tabs at one moment."""
        return list(await asyncio.gather(*(self.send(method, path, tab) for tab in self.tabs)))

    def close(self) -> None:
        """Close the connections."""
        for tab in self.tabs:
            tab.close()
