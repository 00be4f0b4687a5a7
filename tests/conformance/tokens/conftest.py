"""What the tests of tokens share: a clock that the test moves, and a resource on each layer and in each call mode."""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from call_styles import CALL_STYLES, START, CallStyle, Forge, declared

from resourcekit.data_layers import SQL, Memory, Redis
from resourcekit.testing import ManualClock
from tests.support import valkey
from tests.support.databases import shared


@pytest.fixture
def clock() -> Iterator[ManualClock]:
    """A clock that shows START until the test moves it."""
    with ManualClock(START) as moved:
        yield moved


@pytest.fixture(scope="session")
def token_valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[valkey.Valkey]:
    """A Valkey server that keeps what it acknowledged."""
    if valkey.binary() is None:
        pytest.skip("a Valkey server is missing")
    server = valkey.Valkey(tmp_path_factory.mktemp("valkey")).start()
    yield server
    server.stop()


@pytest.fixture
def layers(request: pytest.FixtureRequest, tmp_path: Any) -> Callable[[str], Any]:
    """Make a data layer by name; those of a test share a file, or a tag, each with a table of its own."""
    tables, tag = iter(range(100)), f"test-{secrets.token_hex(6)}"

    def make(name: str) -> Any:
        if name == "memory":
            return Memory()
        if name == "valkey":
            return Redis(request.getfixturevalue("token_valkey").url, tag=f"{tag}-{next(tables)}")
        if name in ("postgresql", "mariadb"):
            return SQL(shared(name).url, table=f"{tag}_{next(tables)}".replace("-", "_"))
        return SQL(f"sqlite:///{tmp_path}/tokens.db", table=f"table_{next(tables)}")

    return make


@pytest.fixture
def speak() -> Iterator[Callable[[Any, str], CallStyle]]:
    """Give a resource a call style; what was opened in the loop is closed in it."""
    spoken: list[CallStyle] = []
    with asyncio.Runner() as runner:

        def give(resource: Any, call_style: str) -> CallStyle:
            place, in_loop = CALL_STYLES[call_style]
            spoken.append(CallStyle(resource, place, runner if in_loop else None))
            return spoken[-1]

        yield give
        for call_style in spoken:
            if call_style._runner is not None:
                runner.run(call_style.resource.__runtime__.store.close())
        # A connection that could not be opened reports its end to this loop.
        for thread in threading.enumerate():
            if "_connection_worker_thread" in thread.name:
                thread.join(10)


SERVERS = [pytest.param(name, marks=pytest.mark.slow) for name in ("valkey", "postgresql", "mariadb")]


@pytest.fixture(params=["memory", "sqlite", *SERVERS])
def layer_name(request: pytest.FixtureRequest) -> str:
    """Return the layer's name: every test runs on each."""
    return str(request.param)


@pytest.fixture(params=list(CALL_STYLES))
def call_style(request: pytest.FixtureRequest) -> str:
    """Return the call style: every test that asks for it runs in each."""
    return str(request.param)


@pytest.fixture
def token_resource(
    layer_name: str, call_style: str, layers: Callable[[str], Any], speak: Callable[[Any, str], CallStyle], clock: ManualClock
) -> Callable[..., CallStyle]:
    """Declare a token resource with these options, and return it in the call mode of the test; the clock is moved by hand."""
    spelling = "record" if call_style in ("class.aio", "module") else "resource"

    def make(body: dict[str, Any] | None = None, **options: Any) -> CallStyle:
        chosen = "resource" if "created_at_attribute_name" in options else spelling
        return speak(declared(layers(layer_name), chosen, body, **options), call_style)

    return make


@pytest.fixture
def plain(
    layer_name: str, layers: Callable[[str], Any], speak: Callable[[Any, str], CallStyle], clock: ManualClock
) -> Callable[..., CallStyle]:
    """Do the same in one call style only, for rules that lie below the call styles."""
    return lambda body=None, **options: speak(declared(layers(layer_name), "resource", body, **options), "class")


@pytest.fixture
def forge(clock: ManualClock) -> Forge:
    """Return what forges tokens."""
    return Forge(clock)
