"""The commands that come with tokens: ``token`` and ``demo`` here, ``expunge`` beside it. They know no store."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from resourcekit.extending import find_resources
from resourcekit_tokens.errors import InvalidToken
from resourcekit_tokens.expunging import expunge
from resourcekit_tokens.storytelling import tell
from resourcekit_tokens.tokens import tokens_of

__all__ = ["COMMANDS"]

_FOUND = 1
"""Exit code: the command worked, and found something."""


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


def _keep_off(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> None:
    if value:  # never repeated: it may be the token
        raise click.UsageError("A token is never taken from the command line: pipe it in, or name its --file.", ctx)


_target = click.argument("target", metavar="APP:TOKEN", type=_Target())
_file = click.option(
    "--file", "file", type=click.File("r"), default="-", help="File that holds the token; standard input unless given."
)
_no_more = click.argument("surplus", nargs=-1, metavar="", callback=_keep_off, expose_value=False)


def _on_a_token(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command what all commands on a token take: the resource, and where the token is read from."""
    return _target(_no_more(_file(command)))


def _read(file: Any) -> str:
    """Return the one token of a file. Tokens are never taken from the command line, where every process could see them."""
    if file is sys.stdin and sys.stdin.isatty():
        click.echo("Paste the token, then press Enter and Ctrl-D:", err=True)
    text: str = file.read(64 * 1024)
    return text.strip()


def _refuse(error: InvalidToken) -> None:
    click.echo(f"refused ({type(error).__name__}): {error}", err=True)
    sys.exit(_FOUND)


@click.group()
def token() -> None:
    """Issue, check, revoke, use up or explain a token; tokens come from standard input or --file."""


@token.command()
@_target
@click.argument("subject")
@click.option("--purpose", default="user", show_default=True, help="What the token is for.")
@click.option("--minutes", type=click.FloatRange(min=0, min_open=True), help="Life in minutes; that of the purpose unless given.")
def issue(target: Any, subject: str, purpose: str, minutes: float | None) -> None:
    """Print a new token for SUBJECT."""
    lifetime = None if minutes is None else timedelta(minutes=minutes)
    click.echo(tokens_of(target).resource.issue(subject, purpose=purpose, lifetime=lifetime).token)


@token.command()
@_on_a_token
def check(target: Any, file: Any) -> None:
    """Say whether a token is revoked; exit code 1 if it is."""
    revoked = target.token_revoked(_read(file))
    click.echo("revoked" if revoked else "not revoked")
    sys.exit(_FOUND if revoked else 0)


@token.command()
@_on_a_token
@click.option("--reason", help="Why; kept with the record.")
@click.option("--keep-family", is_flag=True, help="Let the other tokens of the same sign-in live on.")
def revoke(target: Any, file: Any, reason: str | None, keep_family: bool) -> None:  # a click flag
    """Revoke a token; again and again does no harm."""
    try:
        record = target.revoke(_read(file), reason=reason, family=False if keep_family else None)
    except InvalidToken as error:
        _refuse(error)
    else:
        click.echo(
            f"revoked at {record.revoked_at.isoformat()} ({record.revocation_reason}), kept until {record.expires_at.isoformat()}"
        )


@token.command()
@_on_a_token
@click.option("--purpose", required=True, help="What the token must be for.")
def consume(target: Any, file: Any, purpose: str) -> None:
    """Use up a token that is good for one use."""
    try:
        claims = target.consume(_read(file), purpose=purpose)
    except InvalidToken as error:
        _refuse(error)
    else:
        click.echo(f"used up; its subject is {claims.subject}")


@token.command()
@_on_a_token
def explain(target: Any, file: Any) -> None:
    """Say why a token is, or is not, revoked; exit code 1 if it is."""
    verdict = target.explain(token=_read(file))
    click.echo(f"{'revoked' if verdict.revoked else 'not revoked'} (rule: {verdict.rule})")
    if verdict.since is not None:
        click.echo(f"since {verdict.since.isoformat()}")
    if verdict.reason:
        click.echo(f"reason: {verdict.reason}")
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
    """Tell the whole life of a token on an SQLite file, as it happens."""
    tell(file, Console(highlight=False, soft_wrap=True))


COMMANDS = (token, expunge, demo)
