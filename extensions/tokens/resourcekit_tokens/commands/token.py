"""The commands that come with tokens: `token`, `demo` and `expunge`. Open it to change what they accept or print."""

from __future__ import annotations

import codecs
import signal
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Column, Table

from resourcekit.errors import Invalid, ResourcekitError
from resourcekit.extending import drive, find_resources
from resourcekit_tokens.commands.demo_script import say, tell
from resourcekit_tokens.errors import InvalidToken
from resourcekit_tokens.revocation import RevokedJti
from resourcekit_tokens.revocation_rules import refused_jti
from resourcekit_tokens.sweep import ExpungeResult, sweep
from resourcekit_tokens.tokens import tokens_of

__all__ = ["COMMANDS", "expunge"]

_BATCH = 1000
"""Jtis of a file that are revoked together."""

_SHOWN = 5
"""Wrong lines of a file that are named."""


class _Target(click.ParamType[Any]):
    """``module:Token``: exactly one token resource."""

    name = "APP:TOKEN"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Import it. Fails as wrong usage where it is none."""
        found = find_resources(value) if isinstance(value, str) else (value,)
        if len(found) != 1:
            self.fail(f"{value} names {len(found)} resources; name one, for example {value.partition(':')[0]}:Token", param, ctx)
        tokens_of(found[0])
        return found[0]


target_argument = click.argument("target", metavar="APP:TOKEN", type=_Target())

_subject = click.argument("subject")

_reason = click.option("--reason", help="Reason, stored with the record.")


@click.command()
@target_argument
@_subject
def sessions(target: Any, subject: str) -> None:
    """List the live sessions of SUBJECT, newest first. Needs TokenResource(sessions=True)."""
    try:
        found = target.sessions(subject)
    except Invalid as error:
        raise click.UsageError(str(error)) from None
    console = Console(highlight=False, soft_wrap=True)
    if not console.is_terminal:
        for each in found:
            own = "\t".join(f"{name}={value}" for name, value in each.values.items() if value is not None)
            moments = (each.signed_in_at, each.last_used_at, each.expires_at)
            click.echo("\t".join(filter(None, [each.family, *(moment.isoformat() for moment in moments), own])))
        return
    # A family is given to end-session, so a narrow screen must not cut it.
    others = (Column(name, overflow="fold") for name in ("signed in", "last used", "expires", "values"))
    table = Table(Column("family", no_wrap=True), *others, box=None)
    for each in found:
        own = ", ".join(f"{name}={value}" for name, value in each.values.items() if value is not None)
        table.add_row(
            each.family, *(f"{moment:%Y-%m-%d %H:%M}Z" for moment in (each.signed_in_at, each.last_used_at, each.expires_at)), own
        )
    console.print(table)
    say(f"{len(found)} session{'' if len(found) == 1 else 's'}; end one with resourcekit token end-session", err=True)


@click.command("end-session", context_settings={"ignore_unknown_options": True})  # a family may begin with "-"
@target_argument
@_subject
@click.argument("family")
@_reason
def end_session(target: Any, subject: str, family: str, reason: str | None) -> None:
    """End the session FAMILY of SUBJECT. `resourcekit token sessions` lists the families."""
    try:
        target.end_session(family, subject=subject, reason=reason)
    except Invalid as error:
        raise click.UsageError(str(error)) from None
    say("the session has ended; its access and refresh tokens are revoked")


@click.command("log-out-everywhere")
@target_argument
@_subject
@click.option("--keep", multiple=True, metavar="FAMILY", help="Family of a session that stays. May be given several times.")
@_reason
def log_out_everywhere(target: Any, subject: str, keep: tuple[str, ...], reason: str | None) -> None:
    """End all sessions and tokens of SUBJECT. Tokens that were never stored end too."""
    try:
        cutoff = target.log_out_everywhere(subject, keep=keep, reason=reason)
    except Invalid as error:
        raise click.UsageError(str(error)) from None
    say(f"logged out everywhere at {cutoff.issued_before.isoformat()}; {cutoff.kept} kept")


def revoke_listed(target: Any, file: Any, reason: str | None, *, keep_family: bool) -> None:
    """Revoke the jtis of a file, one a line; show a progress bar on a terminal."""
    if reason or keep_family:
        msg = "--jti-file takes neither --reason nor --keep-family: only jtis are known"
        raise click.UsageError(msg)
    try:
        listed = [line.strip() for line in file.read().decode("utf-8-sig").splitlines()]
    except UnicodeDecodeError:
        msg = "the file holds no text in UTF-8; give a file with one jti a line"
        raise click.UsageError(msg) from None
    wrong = [f"line {number}: {problem}" for number, jti in enumerate(listed, 1) if jti and (problem := refused_jti(jti))]
    if wrong:
        raise click.UsageError("nothing was revoked; a jti " + "; ".join(wrong[:_SHOWN]))
    rows = [RevokedJti(jti) for jti in listed if jti]
    written, console = 0, Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("jtis", total=len(rows))
        for start in range(0, len(rows), _BATCH):
            written += target.revoke_jtis(rows[start : start + _BATCH])
            bar.update(task, completed=written)
    say(f"{written} revoked")


_MOST_BYTES = 64 * 1024
"""Longest file that is read; a token of 16 KiB is refused already."""

_FOUND = 1
"""Exit code: the command worked, and found something."""


def _keep_off(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> None:
    if value:  # never repeated: it may be the token
        raise click.UsageError("A token is never taken from the command line: pipe it in, or name its --file.", ctx)


_file = click.option("--file", "file", type=click.File("rb"), default="-", help="File with the token. Default: standard input.")

_no_more = click.argument("surplus", nargs=-1, metavar="", callback=_keep_off, expose_value=False)


def _on_a_token(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command what all commands on a token take: the resource, and where the token is read from."""
    return target_argument(_no_more(_file(command)))


def _read(file: Any) -> str:
    """Return the one token of a file. Tokens are never taken from the command line, where every process could see them."""
    if sys.stdin.isatty() and file is sys.stdin.buffer:
        click.echo("Paste the token, then press Enter and Ctrl-D:", err=True)
    text = _decoded(file.read(_MOST_BYTES + 1)).strip()
    scheme, _, rest = text.partition(" ")
    # A header copied from a request: Bearer, then the token (RFC 6750, 2.1).
    found = rest.strip() if scheme.lower() == "bearer" else text
    if not found:
        msg = "the file, or standard input, is empty; give a file that holds one token"
        raise click.UsageError(msg)
    return found


def _decoded(raw: bytes) -> str:
    """Return the text of a file in UTF-8, or in UTF-16 with a byte order mark, as Windows PowerShell writes it."""
    if len(raw) > _MOST_BYTES:
        msg = "the file is longer than 64 KiB, so it holds no token; give a file that holds one token"
        raise click.UsageError(msg)
    encoding = "utf-16" if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError:
        msg = "the file holds no text in UTF-8 or UTF-16; give a file that holds one token"
        raise click.UsageError(msg) from None


def _refuse(error: InvalidToken) -> None:
    say(f"refused ({type(error).__name__}): {error}", err=True)
    sys.exit(_FOUND)


@click.group()
def token() -> None:
    """Issue, check, revoke, use up or explain a token; list and end sessions. Tokens come from standard input or --file."""


@token.command()
@target_argument
@click.argument("subject")
@click.option("--purpose", default="user", show_default=True, help="Purpose of the token.")
@click.option("--minutes", type=click.FloatRange(min=0, min_open=True), help="Lifetime in minutes. Default: that of the purpose.")
def issue(target: Any, subject: str, purpose: str, minutes: float | None) -> None:
    """Print a new token for SUBJECT."""
    lifetime = None if minutes is None else timedelta(minutes=minutes)
    click.echo(tokens_of(target).resource.issue(subject, purpose=purpose, lifetime=lifetime).token)


@token.command()
@_on_a_token
def check(target: Any, file: Any) -> None:
    """Report whether a token is revoked. The exit code is 1 if it is."""
    revoked = target.token_revoked(_read(file))
    click.echo("revoked" if revoked else "not revoked")
    sys.exit(_FOUND if revoked else 0)


@token.command()
@_on_a_token
@click.option("--reason", help="Reason, stored with the record.")
@click.option("--keep-family", is_flag=True, help="Keep the other tokens of the same sign-in valid.")
@click.option("--jti-file", type=click.File("rb"), help="Revoke the jtis of a file instead, one per line; - is standard input.")
def revoke(target: Any, file: Any, reason: str | None, keep_family: bool, jti_file: Any) -> None:  # a click flag
    """Revoke a token. It may be revoked already."""
    if jti_file is not None:
        revoke_listed(target, jti_file, reason, keep_family=keep_family)
        return
    try:
        record = target.revoke(_read(file), reason=reason, family=False if keep_family else None)
    except InvalidToken as error:
        _refuse(error)
    else:
        say(
            f"revoked at {record.revoked_at.isoformat()} ({record.revocation_reason}), kept until {record.expires_at.isoformat()}"
        )


@token.command()
@_on_a_token
@click.option("--purpose", required=True, help="Purpose that the token must have.")
def consume(target: Any, file: Any, purpose: str) -> None:
    """Use up a token that is valid for one use."""
    try:
        claims = target.consume(_read(file), purpose=purpose)
    except InvalidToken as error:
        _refuse(error)
    else:
        say(f"used up; its subject is {claims.subject}")


@token.command()
@_on_a_token
def explain(target: Any, file: Any) -> None:
    """Report why a token is revoked or not. The exit code is 1 if it is revoked."""
    verdict = target.explain(token=_read(file))
    click.echo(f"{'revoked' if verdict.revoked else 'not revoked'} (rule: {verdict.rule})")
    if verdict.since is not None:
        click.echo(f"since {verdict.since.isoformat()}")
    if verdict.reason:
        say(f"reason: {verdict.reason}")
    sys.exit(_FOUND if verdict.revoked else 0)


@click.command()
@click.option(
    "--db",
    "file",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("demo.db"),
    show_default=True,
    help="SQLite file to use.",
)
def demo(file: Path) -> None:
    """Show the life of a token, step by step, on an SQLite file."""
    tell(file, Console(highlight=False, soft_wrap=True))


for command in (sessions, end_session, log_out_everywhere):
    token.add_command(command)


_UNDONE = 1
"""Exit code: something is left to do."""


@click.command()
@click.argument("app", metavar="APP")
@click.option("--dry-run", is_flag=True, help="Count the records that would be removed, and remove none.")
@click.option(
    "--accept-clock", is_flag=True, help="Trust this system's clock although it was moved since the last sweep (RK236)."
)
def expunge(app: str, dry_run: bool, accept_clock: bool) -> None:  # click flags
    """Remove the expired records of APP's token resources, once.

    For cron and Kubernetes. SIGINT or SIGTERM ends it after the current batch, a second signal immediately. The exit code is
    1 if the sweep of a resource failed or did not finish.
    """
    resources = [resource for resource in find_resources(app) if _is_token_resource(resource)]
    if not resources:
        raise click.UsageError(f"{app} has no token resource.")
    whole = True
    with _told_to_stop() as stopped_by:
        for resource in resources:
            if stopped_by():
                break
            whole = _expunge(resource, stopped_by, dry_run=dry_run, accept_clock=accept_clock) and whole
        if name := stopped_by():
            say(f"{name}: stopped; what is left goes with the next sweep.", err=True)
    sys.exit(0 if whole and not name else _UNDONE)


def _expunge(resource: Any, stopped_by: Callable[[], str], *, dry_run: bool, accept_clock: bool) -> bool:
    """Sweep one resource and print the result; return whether it went well. The others are swept in any case."""
    name = resource.__info__.qualified_name
    try:
        if dry_run:
            result = resource.expunge_expired(dry_run=True, accept_clock=accept_clock)
        else:
            result = _sweep(resource, stopped_by, accept_clock=accept_clock)
    except ResourcekitError as error:
        say(f"{name}: failed: {type(error).__name__}: {error}", err=True)
        return False
    say(f"{name}: {f'{result.removed} would be removed, {result.seconds:.2f} s' if dry_run else result}")
    return True


def _is_token_resource(resource: Any) -> bool:
    try:
        tokens_of(resource)
    except TypeError:
        return False
    return True


def _sweep(resource: Any, stopped_by: Callable[[], str], *, accept_clock: bool) -> ExpungeResult:
    """Sweep; show a progress bar on a terminal. Only for the bar the records are counted before."""

    async def proceed() -> bool:
        return not stopped_by()

    console = Console(stderr=True)
    if not console.is_terminal:
        return drive(sweep(tokens_of(resource), proceed=proceed, accept_clock=accept_clock))
    total = resource.expunge_expired(dry_run=True, accept_clock=accept_clock).removed
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(resource.__name__, total=total)

        def show(so_far: ExpungeResult) -> None:
            bar.update(task, completed=so_far.removed)

        return drive(sweep(tokens_of(resource), on_progress=show, proceed=proceed, accept_clock=accept_clock))


@contextmanager
def _told_to_stop() -> Generator[Callable[[], str]]:
    """Let the first signal be heard between two batches; yields a function that returns its name, ``""`` before it comes."""
    heard: list[str] = []

    def restore() -> None:
        for number, handler in former.items():
            signal.signal(number, handler)

    def hear(number: int, _frame: object) -> None:
        restore()  # the next one ends it at once
        heard.append(signal.Signals(number).name)

    former = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in former:
        signal.signal(number, hear)
    try:
        yield lambda: heard[0] if heard else ""
    finally:
        restore()


COMMANDS = (token, expunge, demo)
