"""Commands and answers of the Redis layer stay out of the log lines of event loops (promise P9)."""

from __future__ import annotations

import asyncio
import logging
import secrets

import pytest

from resourcekit import Domain
from resourcekit.data_layers import Redis
from resourcekit_tokens import TokenRecord, TokenResource


@pytest.fixture
def unfiltered(monkeypatch):
    """The logger of asyncio as a process has it before any data layer was used."""
    monkeypatch.setattr(logging.getLogger("asyncio"), "filters", [])


def test_a_loop_in_debug_mode_shows_no_jti(valkey_server, unfiltered, caplog):
    """The first async call on Redis filters asyncio's log, also in a process that uses no other data layer."""
    domain = Domain(f"quiet-{secrets.token_hex(4)}")

    class Token(
        TokenRecord, domain=domain, data_layer=Redis(valkey_server.url, tag=secrets.token_hex(6)), extensions=[TokenResource]
    ):
        """Tokens."""

    async def work():
        loop = asyncio.get_running_loop()
        loop.slow_callback_duration = 0.0
        await domain.create_storage.aio()
        await Token.revoke_jti.aio("swordfish")
        assert await Token.jti_revoked.aio("swordfish")
        loop.call_soon(print, "swordfish")  # a callback whose argument asyncio would show
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    with caplog.at_level(logging.DEBUG):
        asyncio.run(work(), debug=True)

    assert "Executing <" in caplog.text
    assert "swordfish" not in caplog.text
