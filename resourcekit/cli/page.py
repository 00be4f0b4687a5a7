"""What the command prints: for a reader at a terminal, or plain for a pipe. It knows no resource."""

from __future__ import annotations

import json
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from resourcekit.errors import DeclarationError, DeclarationErrors, ResourcekitError

__all__ = ["Page", "print_error"]


class Page:
    """Standard output (or standard error), with colours and tables where a terminal reads it.

    A pipe gets one line an entry, columns parted by two spaces or more, never cut and never coloured. NO_COLOR is kept.
    """

    def __init__(self, *, stderr: bool = False) -> None:
        self._console = Console(stderr=stderr, highlight=False, markup=False, emoji=False)

    def line(self, text: str = "", style: str = "") -> None:
        """Print a line; a terminal breaks it between words."""
        self._console.print(Text(text, style), soft_wrap=not self._console.is_terminal)

    def detail(self, name: str, text: str) -> None:
        """Print a named text below what it belongs to, nothing where it is empty; a terminal keeps its lines apart from the name."""
        if not text:
            return
        if not self._console.is_terminal:
            self.line(f"  {name}: {text}")
            return
        grid = Table.grid()
        grid.add_row(Text(f"  {name}: ", "dim"), Text(text))
        self._console.print(grid)

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Print a table below its title; nothing where there are no rows."""
        if not rows:
            return
        self.line()
        self.line(title, "bold")
        if self._console.is_terminal:
            self._drawn(columns, rows)
        else:
            self._plain(columns, rows)

    def _drawn(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for place, column in enumerate(columns):
            table.add_column(Text(column, "dim"), style="cyan" if place == 0 else "", overflow="fold", no_wrap=place == 0)
        for row in rows:
            table.add_row(*map(Text, row))
        self._console.print(table)

    def _plain(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        lines = [tuple(columns), *(tuple(" ".join(cell.split()) for cell in row) for row in rows)]
        widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
        for cells in lines:
            self.line("  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip())

    def json(self, value: object) -> None:
        """Print a value as JSON, the same for a terminal and a pipe."""
        self.line(json.dumps(value, indent=2, ensure_ascii=False))


def print_error(error: ResourcekitError) -> None:
    """Print an error as one block on standard error: what, where, and the next step."""
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
