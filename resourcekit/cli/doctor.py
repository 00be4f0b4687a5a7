"""``resourcekit doctor``: prints findings, each with its cure."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter

import click

from resourcekit import doctor as examination
from resourcekit.cli.page import Page
from resourcekit.discovery import find_resources
from resourcekit.dsl.diagnostics import Finding, Level

__all__ = ["STYLES", "doctor"]

_ASYNC = frozenset({"starlette", "litestar", "aiohttp.web", "quart", "sanic", "blacksheep", "tornado.web"})
"""Modules that are loaded after the import of a program that answers requests in an event loop; FastAPI uses starlette."""

STYLES: dict[Level, str] = {"error": "bold red", "warning": "bold yellow", "info": "bold blue"}


@click.command()
@click.argument("app", metavar="APP")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as a JSON list.")
@click.option("--data", is_flag=True, help="Also read all records, and count stored values that do not fit their types.")
@click.pass_context
def doctor(context: click.Context, app: str, *, as_json: bool, data: bool) -> None:
    """Find unsafe or missing settings of APP, each with the cure.

    The exit code is 1 if there is an error or a warning.
    """
    page, findings = Page(), _examine(app, data=data)
    if as_json:
        page.json([_as_dict(finding) for finding in findings])
    else:
        _print(page, findings)
    context.exit(int(any(finding.level != "info" for finding in findings)))


def _examine(app: str, *, data: bool) -> tuple[Finding, ...]:
    """Check a program in its own call mode, so that the drivers that it uses are checked."""
    find_resources(app)
    if not _ASYNC & sys.modules.keys():
        return examination.doctor(app, data=data)
    return asyncio.run(examination.doctor.aio(app, data=data))


def _as_dict(finding: Finding) -> dict[str, object]:
    return {
        "id": finding.id,
        "level": finding.level,
        "resource": finding.resource,
        "path": list(finding.path),
        "what": finding.what,
        "why": finding.why,
        "cure": finding.cure,
        "origin": "" if finding.origin is None else str(finding.origin),
    }


def _print(page: Page, findings: tuple[Finding, ...]) -> None:
    for finding in findings:
        who = " › ".join(part for part in (finding.resource, *finding.path) if part)
        page.line(f"{finding.level} {finding.id} {who}".rstrip(), STYLES[finding.level])
        place = "" if finding.origin is None else str(finding.origin)
        for name, text in (("what", finding.what), ("why", finding.why), ("cure", finding.cure), ("where", place)):
            page.detail(name, text)
        page.line()
    counts = Counter(finding.level for finding in findings)
    summary = ", ".join(
        f"{counts[level]} {level}{'s' if counts[level] > 1 and level != 'info' else ''}" for level in STYLES if counts[level]
    )
    page.line(summary or "Nothing found.", "" if summary else "green")
