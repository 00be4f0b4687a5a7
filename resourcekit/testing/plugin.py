"""The pytest plugin: the fixture ``in_memory``, and a list of the laws that a layer was excused from.

pytest loads it wherever resourcekit is installed (entry point group ``pytest11``), under the name of this module, so
that naming it again, by ``-p`` or ``pytest_plugins``, changes nothing, and ``-p no:resourcekit.testing.plugin`` leaves it
out. Because it is loaded at every start, it imports nothing but pytest: all else waits until a test asks for it. Where a
project loads no plugins by itself, ``pytest_plugins = ["resourcekit.testing.plugin"]`` in ``conftest.py`` turns it on.
"""

from __future__ import annotations

import contextlib
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from resourcekit.domain import Domain
    from resourcekit.testing.swap import in_memory

__all__ = ["MISSING_CAPABILITY", "memory_block", "pytest_terminal_summary"]

MISSING_CAPABILITY = "the layer lacks the capability: "
"""How the reason of a skipped law begins."""

_LAWS = "resourcekit.testing.laws"

if _LAWS not in sys.modules:
    pytest.register_assert_rewrite(_LAWS)  # a law that fails shows both sides of its comparison


@pytest.fixture(name="in_memory")
def memory_block() -> Iterator[Callable[..., in_memory]]:
    """Put resources on a fresh Memory until the end of the test: ``in_memory(accounts)``.

    Takes what ``resourcekit.testing.in_memory`` takes, and begins at the call. What it returns may also be used as a
    block, which begins empty again.
    """
    from resourcekit.testing.swap import in_memory

    with contextlib.ExitStack() as stack:

        def begin(*targets: Domain | type | ModuleType | str) -> in_memory:
            return stack.enter_context(in_memory(*targets))

        yield begin


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print, for each missing capability, the laws that were skipped for it."""
    excused: defaultdict[str, list[str]] = defaultdict(list)
    for report in terminalreporter.getreports("skipped"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
        _, found, capability = reason.partition(MISSING_CAPABILITY)
        if found:
            excused[capability].append(report.nodeid)
    if excused:
        terminalreporter.section("laws skipped for a missing capability")
    for capability, laws in sorted(excused.items()):
        terminalreporter.line(f"{capability}: {len(laws)}")
        for nodeid in sorted(laws):
            terminalreporter.line(f"  {nodeid}")
