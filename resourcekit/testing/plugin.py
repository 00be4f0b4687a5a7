"""A pytest plugin that lists, at the end of a run, the laws that a layer was excused from. It knows pytest only.

``pytest_plugins = ["resourcekit.testing.plugin"]`` in ``conftest.py`` turns it on.
"""

from __future__ import annotations

from collections import defaultdict

import pytest

from resourcekit.testing.laws.ledger import MISSING_CAPABILITY

__all__ = ["pytest_terminal_summary"]


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
