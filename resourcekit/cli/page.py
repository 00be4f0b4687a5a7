"""The output of the command: formatted for a terminal, plain for a pipe."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from resourcekit.errors import DeclarationError, DeclarationErrors, ResourcekitError

__all__ = ["Page", "print_error", "unmarked", "wrapped"]

_SEPARATOR = " · "
_WIDEST = 48
"""Columns to which the cells of a pipe's table are filled up; a longer cell moves those behind it."""
_MARKUP = re.compile(r"``(.+?)``|:\w+:`~?\.?([^`]+)`")
_PROMISES = re.compile(r" \(P\d+(?:, P\d+)*\)")


def unmarked(text: str) -> str:
    """Return a text of a docstring without reStructuredText markup and without citations of a promise in brackets."""
    return _PROMISES.sub("", _MARKUP.sub(lambda found: found[1] or found[2], text))


def wrapped(text: str, width: int, indent: str = "") -> list[str]:
    """Return a text as lines of at most ``width`` columns. A word longer than that is kept whole: it may be a path.

    Args:
        text: One line.
        width: Columns of the terminal.
        indent: Start of each line but the first.
    """
    start = text[: len(text) - len(text.lstrip())]
    lines, line = [], ""
    for word in _words(text.strip(), width - len(indent)):
        if line and cell_len(f"{line} {word}") > width:
            lines.append(line)
            line = ""
        line = f"{line} {word}" if line else f"{indent if lines else start}{word}"
    return [*lines, line]


def _words(text: str, width: int) -> list[str]:
    """Return the parts between which a line may break; what belongs together is one part if it fits on a line."""
    found: list[str] = []
    for word in text.split(" "):
        joined = f"{found[-1]} {word}" if found else ""
        is_open = bool(found) and found[-1].endswith((" |", ":"))
        if found and (word in {"·", "|"} or (is_open and cell_len(joined) <= width)):
            found[-1] = joined
        else:
            found.append(word)
    return found


class Page:
    """Standard output (or standard error), with tables and highlighting on a terminal.

    A pipe gets one line per entry, columns separated by two spaces or more, never cut and without highlighting. NO_COLOR is
    respected.
    """

    def __init__(self, *, stderr: bool = False) -> None:
        self._console = Console(stderr=stderr, highlight=False, markup=False, emoji=False)

    def line(self, text: str = "", style: str = "") -> None:
        """Print a line; a terminal breaks it between words."""
        self._write(Text(part, style) for part in self._lines(text))

    def detail(self, name: str, text: str) -> None:
        """Print a named text below its owner, nothing if it is empty; on a terminal its further lines are indented."""
        if not text:
            return
        start, text = f"  {name}: ", unmarked(text)
        for place, part in enumerate(self._lines(start + text, indent=" " * len(start))):
            self._write([Text.assemble((start, "dim"), part[len(start) :]) if place == 0 else Text(part)])

    def _lines(self, text: str, indent: str = "") -> list[str]:
        if not self._console.is_terminal:
            return [text]
        return [part for line in text.split("\n") for part in wrapped(line, self._console.width, indent)]

    def _write(self, lines: Iterable[Text]) -> None:
        for line in lines:
            self._console.print(line, soft_wrap=True)

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Print a table below its title; nothing if there are no rows."""
        if not rows:
            return
        self.line()
        self.line(title, "bold")
        if self._console.is_terminal:
            self._drawn(columns, rows)
        else:
            self._plain(columns, rows)

    def _drawn(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Draw a table if each row fits on a line; otherwise print each row as a line that breaks between words."""
        lines = [tuple(columns), *(tuple(" ".join(cell.split()) for cell in row) for row in rows)]
        if sum(max(map(cell_len, cells)) + 2 for cells in zip(*lines, strict=True)) - 2 > self._console.width:
            for row in lines[1:]:
                self._listed(row)
            return
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for place, column in enumerate(columns):
            table.add_column(Text(column, "dim"), style="cyan" if place == 0 else "", no_wrap=True)
        for row in lines[1:]:
            table.add_row(*map(Text, row))
        self._console.print(table)

    def _listed(self, row: Sequence[str]) -> None:
        name, *cells = row
        text = _SEPARATOR.join(cell for cell in (f"  {name}", *cells) if cell)
        for place, part in enumerate(self._lines(text, indent="      ")):
            line = Text(part)
            if place == 0:
                line.stylize("cyan", 2, 2 + len(name))
            self._write([line])

    def _plain(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        lines = [tuple(columns), *(tuple(" ".join(cell.split()) for cell in row) for row in rows)]
        widths = [min(max(map(len, cells)), _WIDEST) for cells in zip(*lines, strict=True)]
        for cells in lines:
            self.line("  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip())

    def json(self, value: object) -> None:
        """Print a value as JSON, the same for a terminal and a pipe."""
        self._write([Text(json.dumps(value, indent=2, ensure_ascii=False))])


def print_error(error: ResourcekitError) -> None:
    """Print an error as one block on standard error: problem, place, and the next step."""
    page = Page(stderr=True)
    errors = error.exceptions if isinstance(error, DeclarationErrors) else (error,)
    for one in errors:
        if isinstance(one, DeclarationError):
            page.line(f"error[{one.code}]: {one.what}", "bold red")
            place = " › ".join(filter(None, (one.resource, *one.path)))
            page.detail("where", " · ".join(part for part in (place, one.origin) if part))
            page.detail("do", one.hint)
        else:
            page.line(f"error: {type(one).__name__}: {one}", "bold red")
