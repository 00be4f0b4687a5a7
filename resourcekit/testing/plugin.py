"""The pytest plugin: the fixtures ``in_memory`` and ``signed_in``, and a summary of the conformance tests that a data layer skipped.

pytest loads it if resourcekit is installed (entry point group ``pytest11``), under the name of this module. Naming it again,
by ``-p`` or ``pytest_plugins``, therefore changes nothing, and ``-p no:resourcekit.testing.plugin`` disables it. Because it
is loaded at every start, it imports only pytest; everything else is imported when a test needs it. If a project disables
plugin autoloading, ``pytest_plugins = ["resourcekit.testing.plugin"]`` in ``conftest.py`` enables it.
"""

from __future__ import annotations

import contextlib
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import pytest

if TYPE_CHECKING:
    from resourcekit.domain import Domain
    from resourcekit.testing.swap import in_memory

__all__ = ["MISSING_CAPABILITY", "ActingAs", "memory_block", "pytest_terminal_summary", "signed_in_client"]

MISSING_CAPABILITY = "the layer lacks the capability: "
"""Start of the reason of a skipped conformance test."""

C = TypeVar("C")
_SUITE = "resourcekit.testing.conformance"

if _SUITE not in sys.modules:
    pytest.register_assert_rewrite(_SUITE)  # a failing conformance test shows both sides of its comparison


@pytest.fixture(name="in_memory")
def memory_block() -> Iterator[Callable[..., in_memory]]:
    """Put resources on a new Memory until the end of the test: ``in_memory(accounts)``.

    It takes the arguments of ``resourcekit.testing.in_memory``, and takes effect at the call. Its result may also be used as
    a block, which starts empty again.
    """
    from resourcekit.testing.swap import in_memory

    with contextlib.ExitStack() as stack:

        def begin(*targets: Domain | type | ModuleType | str) -> in_memory:
            return stack.enter_context(in_memory(*targets))

        yield begin


class ActingAs(Protocol):
    """The part of a ``TokenAuth`` that the fixture ``signed_in`` calls. The module ``resourcekit_web.django`` has it too."""

    def acting_as(
        self, client: Any, subject: str, *, scopes: Iterable[str] = (), fresh: bool = False
    ) -> AbstractContextManager[None]:
        """Let a test client send a real token of a subject with each request in the block."""
        ...


@pytest.fixture(name="signed_in")
def signed_in_client() -> Iterator[Callable[..., Any]]:
    """Sign a test client in until the end of the test, and return it: ``signed_in(auth, client, "alice", scopes=["a:write"])``.

    It takes the arguments of ``auth.acting_as``. For Django, auth is the module ``resourcekit_web.django``.
    """
    with contextlib.ExitStack() as stack:

        def begin(auth: ActingAs, client: C, subject: str, *, scopes: Iterable[str] = (), fresh: bool = False) -> C:
            stack.enter_context(auth.acting_as(client, subject, scopes=scopes, fresh=fresh))
            return client

        yield begin


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print, for each missing capability, the conformance tests that were skipped for it."""
    excused: defaultdict[str, list[str]] = defaultdict(list)
    for report in terminalreporter.getreports("skipped"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
        _, found, capability = reason.partition(MISSING_CAPABILITY)
        if found:
            excused[capability].append(report.nodeid)
    if excused:
        terminalreporter.section("conformance tests skipped for a missing capability")
    for capability, tests in sorted(excused.items()):
        terminalreporter.line(f"{capability}: {len(tests)}")
        for nodeid in sorted(tests):
            terminalreporter.line(f"  {nodeid}")
