"""The page on the log names every logger, with each level that the source uses."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "how-to" / "watch-it-run.md").read_text(encoding="utf-8")


def test_every_logger_and_level_is_on_the_page() -> None:
    """A new message gets a row; a row whose message is gone is taken out."""
    used: set[tuple[str, str]] = set()
    for folder in ("resourcekit", "extensions"):
        for file in (ROOT / folder).rglob("*.py"):
            text = file.read_text(encoding="utf-8")
            own = re.search(r'^_log = logger\("(\w+)"\)', text, re.MULTILINE)
            levels = re.findall(r"_log\.(debug|info|warning|error|exception)\(", text)
            used |= {(own[1], level) for level in levels if own is not None}
            used |= set(re.findall(r'logger\("(\w+)"\)\.(debug|info|warning|error)\(', text))
    rows = re.findall(r"^\| `resourcekit\.(\w+)` \| (debug|info|warning|error) \|", PAGE, re.MULTILINE)

    assert {(name, "error" if level == "exception" else level) for name, level in used} == set(rows)
