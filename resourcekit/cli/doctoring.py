"""``resourcekit doctor``: prints findings, each with its cure. It knows nothing of what is looked for."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter

import click

from resourcekit import doctor as examination
from resourcekit.cli.page import Page
from resourcekit.discovery import find_resources
from resourcekit.dsl.finding import Finding, Level

__all__ = ["STYLES", "doctor"]

_ASYNC = frozenset({"starlette", "litestar", "aiohttp.web", "quart", "sanic", "blacksheep", "tornado.web"})
"""Modules that a program which answers requests in an event loop has loaded once it is imported; FastAPI is on starlette."""

STYLES: dict[Level, str] = {"error": "bold red", "warning": "bold yellow", "info": "bold blue"}


@click.command()
@click.argument("app", metavar="APP")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as a JSON list.")
@click.pass_context
def doctor(context: click.Context, app: str, *, as_json: bool) -> None:
    """Find unsafe or missing settings of APP, each with the cure.

    Exit code 1 where there is an error or a warning.
    """
    page, findings = Page(), _examine(app)
    if as_json:
        page.json([_as_dict(finding) for finding in findings])
    else:
        _print(page, findings)
    context.exit(int(any(finding.level != "info" for finding in findings)))


def _examine(app: str) -> tuple[Finding, ...]:
    """Look at a program in its own colour: what an async one uses are the async drivers."""
    find_resources(app)
    if not _ASYNC & sys.modules.keys():
        return examination.doctor(app)
    return asyncio.run(examination.doctor.aio(app))


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
    told = ", ".join(
        f"{counts[level]} {level}{'s' if counts[level] > 1 and level != 'info' else ''}" for level in STYLES if counts[level]
    )
    page.line(told or "Nothing found.", "" if told else "green")
