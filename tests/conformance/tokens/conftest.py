"""What the tests of tokens share: a clock that stands still, and a resource on each layer and in each voice."""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from voices import START, VOICES, Forge, Voice, declared

from resourcekit.data_layers import SQL, Memory, Redis
from resourcekit.testing import ManualClock
from tests.support import valkey
from tests.support.databases import shared


@pytest.fixture
def clock() -> Iterator[ManualClock]:
    """Time that stands still at START until the test moves it."""
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
def speak() -> Iterator[Callable[[Any, str], Voice]]:
    """Give a resource a voice; what was opened in the loop is closed in it."""
    spoken: list[Voice] = []
    with asyncio.Runner() as runner:

        def give(resource: Any, voice: str) -> Voice:
            place, in_loop = VOICES[voice]
            spoken.append(Voice(resource, place, runner if in_loop else None))
            return spoken[-1]

        yield give
        for voice in spoken:
            if voice._runner is not None:
                runner.run(voice.resource.__runtime__.store.close())
        # A connection that could not be opened tells its end to this loop.
        for thread in threading.enumerate():
            if "_connection_worker_thread" in thread.name:
                thread.join(10)


SERVERS = [pytest.param(name, marks=pytest.mark.slow) for name in ("valkey", "postgresql", "mariadb")]


@pytest.fixture(params=["memory", "sqlite", *SERVERS])
def layer_name(request: pytest.FixtureRequest) -> str:
    """Return the layer's name: every test runs on each."""
    return str(request.param)


@pytest.fixture(params=list(VOICES))
def voice(request: pytest.FixtureRequest) -> str:
    """Return the voice: every test that asks for it runs in each."""
    return str(request.param)


@pytest.fixture
def token_resource(
    layer_name: str, voice: str, layers: Callable[[str], Any], speak: Callable[[Any, str], Voice], clock: ManualClock
) -> Callable[..., Voice]:
    """Declare a token resource with these options, and return it in the voice of the test; the clock stands still."""
    spelling = "record" if voice in ("class.aio", "module") else "resource"

    def make(body: dict[str, Any] | None = None, **options: Any) -> Voice:
        chosen = "resource" if "created_at_attribute_name" in options else spelling
        return speak(declared(layers(layer_name), chosen, body, **options), voice)

    return make


@pytest.fixture
def plain(
    layer_name: str, layers: Callable[[str], Any], speak: Callable[[Any, str], Voice], clock: ManualClock
) -> Callable[..., Voice]:
    """Do the same in one voice only, for rules that lie below the voices."""
    return lambda body=None, **options: speak(declared(layers(layer_name), "resource", body, **options), "class")


@pytest.fixture
def forge(clock: ManualClock) -> Forge:
    """Return what forges tokens."""
    return Forge(clock)
