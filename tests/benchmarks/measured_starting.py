"""What a program pays before its first call: imports, and the making of classes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

import attrs
import blacklist
from interleaving import Race, median_ratio
from plan import Run
from report import Line

from resourcekit import Domain
from resourcekit.data_layers import SQL, Memory
from resourcekit_tokens import TokenRecord, TokenResource

__all__ = ["declare", "imports"]

_HERE = Path(__file__).parent
_PROGRAMS = {
    "import resourcekit": "import resourcekit",
    "a token resource": (
        "from resourcekit import Domain\nfrom resourcekit.data_layers import SQL\n"
        "from resourcekit_tokens import JWT, TokenRecord, TokenResource\n"
        "class Token(TokenRecord, data_layer=SQL('sqlite:///nothing.db'), extensions=[TokenResource(jwt=JWT('x' * 64))]):\n"
        "    'Tokens.'\n"
    ),
    "django.setup()": f"import sys; sys.path.insert(0, {str(_HERE)!r})\nfrom blacklist_settings import configure\nconfigure('nothing.db')",
}
_TIMED = "import time; began = time.perf_counter()\n{program}\nprint(time.perf_counter() - began, time.process_time())"


def imports(run: Run) -> Iterable[Line]:
    """``import resourcekit`` against ``django.setup()`` with the blacklist's apps, each in fresh processes, in turn."""
    names = [name for name in _PROGRAMS if name != "django.setup()" or blacklist.is_there()]
    walls: dict[str, list[float]] = {name: [] for name in names}
    for name in names:
        _start(_PROGRAMS[name])  # once before it counts: the files are read, and their bytecode is there
    for number in range(run.sizes.starts):
        for name in names if number % 2 else reversed(names):
            walls[name].append(_start(_PROGRAMS[name]))
    if blacklist.is_there():
        django = walls["django.setup()"]
        yield Line(
            "import resourcekit / django.setup() with a blacklist", median_ratio(walls["import resourcekit"], django), budget=0.25
        )
        yield Line("imports and a token resource on SQLite, declared / the same", median_ratio(walls["a token resource"], django))
    for name in names:
        yield Line(f"one start: {name}", sorted(walls[name])[len(walls[name]) // 2] * 1000, "ms")


def _start(program: str) -> float:
    """Run a program in a process of its own, and return the seconds that it took, the interpreter's own start left out."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", _TIMED.format(program=program)]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return float(done.stdout.split()[0])


def declare(run: Run) -> Iterable[Line]:
    """Declare a token resource, with all its attributes, actions and functions, against one attrs class of the same fields."""
    url = f"sqlite:///{run.folder / 'never-opened.db'}"
    sides = {
        "token resource": lambda _: _token(Memory()),
        "token resource on SQLite": lambda number: _token(SQL(url, table=f"tokens_{number}")),
        "attrs class": _attrs_class,
    }
    race = Race(sides, run.sizes.pace)
    yield Line.of("declare a token resource / one attrs class", race.ratio("token resource", "attrs class"), budget=3.0)
    yield Line.of("declare a token resource on SQLite / one attrs class", race.ratio("token resource on SQLite", "attrs class"))
    for name, microseconds in race.microseconds().items():
        yield Line(f"one class: {name}", microseconds, "us")


def _token(layer: Any) -> type:
    class Token(TokenRecord, domain=Domain("benchmark"), data_layer=layer, extensions=[TokenResource()]):
        """Tokens."""

    return Token


def _attrs_class(_: int) -> type:
    @attrs.frozen(kw_only=True)
    class Token:
        """Tokens."""

        jti: str
        subject: str | None = None
        purpose: str = "user"
        family: str | None = None
        expires_at: datetime | None = None
        extra_data: dict[str, Any] | None = None
        revoked_at: datetime | None = None
        revocation_reason: str | None = None
        created_at: datetime = attrs.field(factory=datetime.now)
        updated_at: datetime = attrs.field(factory=datetime.now)

    return Token
