"""The script of `resourcekit demo`: the life of a token on a real SQLite file, step by step, and lines that fit a terminal."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.markup import escape

from resourcekit_tokens.errors import InvalidToken

__all__ = ["say", "tell", "typed", "wrapped"]


_CONTINUED = " \\"
"""End of a line after which a shell reads on."""


def say(text: str, *, err: bool = False) -> None:
    """Print a sentence. A terminal gets lines that break between words; a pipe gets one line."""
    stream = sys.stderr if err else sys.stdout
    click.echo(wrapped(text, indent="  ") if stream.isatty() else text, err=err)


def wrapped(text: str, *, indent: str = "") -> str:
    """Return a text as lines that fit the terminal; each line after the first starts with ``indent``."""
    width = shutil.get_terminal_size().columns
    return textwrap.fill(text, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False) or text


def typed(words: Iterable[str], *, indent: str) -> str:
    """Return a command for a shell. It breaks between its words, each line that is continued ends with a backslash."""
    width = shutil.get_terminal_size().columns - len(_CONTINUED)
    lines: list[str] = []
    for word in words:
        if lines and len(f"{lines[-1]} {word}") <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(f"{indent}{'  ' if lines else ''}{word}")
    return f"{_CONTINUED}\n".join(lines)


class _Scenario:
    """Prints what is done, and what came of it."""

    def __init__(self, console: Console) -> None:
        self._console, self._step = console, 0

    def step(self, title: str) -> None:
        """Begin a step."""
        self._step += 1
        self._console.print(f"\n[bold]{self._step}. {escape(title)}[/bold]")

    def did(self, code: str, came: object, *, good: bool = True) -> None:
        """Show a line of code and its result."""
        self._console.print(f"[cyan]{escape(self._broken(f'   {code}'))}[/cyan]")
        self._console.print(f"[{'green' if good else 'yellow'}]{escape(self._broken(f'   -> {came}'))}[/]")

    def say(self, text: str) -> None:
        """Say a sentence."""
        self._console.print(escape(self._broken(f"   {text}")))

    def line(self, text: str = "", style: str = "") -> None:
        """Print a line; a terminal breaks it between words."""
        self._console.print(escape(self._broken(text)), style=style)

    def command(self, *words: str, comment: str = "") -> None:
        """Print a command to type: for a terminal in lines that a shell joins, for a pipe as one line."""
        text = typed(words, indent="  ") if self._console.is_terminal else f"  {' '.join(words)}"
        self._console.print(escape(text + comment), style="cyan")

    def _broken(self, text: str) -> str:
        if not self._console.is_terminal:
            return text
        start = " " * (len(text) - len(text.lstrip()))
        return wrapped(text, indent=start)


def tell(file: Path, console: Console) -> None:
    """Issue, check, revoke, use up, rotate, log out and sweep on ``file``; leave the file, and print what to try next."""
    os.environ["RESOURCEKIT_DEMO_DB"] = str(file.absolute())
    from resourcekit_tokens import demo

    scenario = _Scenario(console)
    scenario.line("The life of a token, on a real SQLite file", style="bold")
    scenario.line(f"file: {file}")
    demo.demo.create_storage()
    _revoke(scenario, demo.Token)
    _use_up(scenario, demo.Token)
    _rotate(scenario, demo.Token)
    _log_out(scenario, demo.Token)
    _sweep(scenario, demo.Token)
    _next(scenario, file)


def _revoke(scenario: _Scenario, resource: Any) -> None:
    scenario.step("Issue, check, revoke")
    issued = resource.issue("alice")
    scenario.did('issued = Token.issue("alice")', f"a signed token of {len(issued.token)} characters, valid for 14 days")
    scenario.did("Token.token_revoked(issued.token)", resource.token_revoked(issued.token))
    record = resource.revoke(issued.token, reason="logout")
    scenario.did(
        'Token.revoke(issued.token, reason="logout")',
        f"revoked at {record.revoked_at:%H:%M:%S} UTC, kept until {record.expires_at:%Y-%m-%d}",
    )
    scenario.did("Token.token_revoked(issued.token)", resource.token_revoked(issued.token))
    scenario.say("The file stores facts about the token. The token itself is not stored.")


def _use_up(scenario: _Scenario, resource: Any) -> None:
    scenario.step("A confirmation link works once")
    link = resource.issue("alice", purpose="confirm")
    resource.store_confirmation_changes(link.token, {"email": "alice@example.org"})
    scenario.did('Token.store_confirmation_changes(link.token, {"email": ...})', "stored in the file, not in the token")
    scenario.did("Token.confirm(link.token)", dict(resource.confirm(link.token).changes))
    scenario.did("Token.confirm(link.token)    # a second click", _refused(lambda: resource.confirm(link.token)), good=False)


def _rotate(scenario: _Scenario, resource: Any) -> None:
    scenario.step("A stolen refresh token ends the whole sign-in")
    pair = resource.issue_pair("bob")
    scenario.did('pair = Token.issue_pair("bob")', "an access token and a refresh token of one family")
    newer = resource.rotate(pair.refresh.token)
    scenario.did("newer = Token.rotate(pair.refresh.token)", "a new pair; the old refresh token is used up")
    scenario.did(
        "Token.rotate(pair.refresh.token)    # a thief, with the old token",
        _refused(lambda: resource.rotate(pair.refresh.token)),
        good=False,
    )
    scenario.did("Token.token_revoked(newer.access.token)", resource.token_revoked(newer.access.token))


def _log_out(scenario: _Scenario, resource: Any) -> None:
    scenario.step("Log out everywhere, in one write")
    sessions = [resource.issue("carol") for _ in range(3)]
    resource.log_out_everywhere("carol", keep=[sessions[0].claims.jti], reason="password changed")
    scenario.did('Token.log_out_everywhere("carol", keep=[this_session])', "one record, however many tokens")
    scenario.did("[Token.token_revoked(s) for s in sessions]", [resource.token_revoked(session.token) for session in sessions])


def _sweep(scenario: _Scenario, resource: Any) -> None:
    from resourcekit.testing import ManualClock

    scenario.step("The sweep, 40 days later")
    scenario.did(
        "Token.expunge_expired()    # today", f"{resource.expunge_expired().removed} records removed: none can be removed yet"
    )
    with ManualClock() as clock:
        clock.advance(days=40)
        result = resource.expunge_expired()
        scenario.did(
            "Token.expunge_expired()    # the demo's clock is moved",
            f"{result.removed} records removed in {result.batches} batch{'' if result.batches == 1 else 'es'}",
        )
    scenario.say("In a program, Supervisor(accounts) runs the sweep in the background.")


def _next(scenario: _Scenario, file: Path) -> None:
    from resourcekit_tokens import demo

    issued = demo.Token.issue("you")
    path = file.with_name(f"{file.name}.token")
    path.touch(mode=0o600)
    path.write_text(issued.token + "\n")
    place = [] if str(file) == "demo.db" else [f"RESOURCEKIT_DEMO_DB={shlex.quote(str(file))}"]
    start, quoted = [*place, _command()], shlex.quote(str(path))
    secret = file.with_name(f"{file.name}.secret")
    scenario.line()
    scenario.line("Your turn", style="bold")
    scenario.line(
        f"The demo leaves three files: the records in {file}, the signing secret in {secret}, a fresh token in {path}. Try:"
    )
    for verb in ("check", "revoke", "check", "explain"):
        scenario.command(*start, "token", verb, "resourcekit_tokens.demo:Token", "--file", quoted)
    scenario.line("Or revoke a token of your own (AnyToken has no keys, so it does not verify signatures):")
    scenario.command(*start, "token", "revoke", "resourcekit_tokens.demo:AnyToken")
    scenario.line("Paste the token there, then press Enter and Ctrl-D.")


def _command() -> str:
    """Return how this command can be typed again: by its name where the shell finds it, else as it was typed now."""
    typed = Path(sys.argv[0])
    found = shutil.which("resourcekit")
    if typed.stem != "resourcekit" or (found is not None and typed.exists() and typed.samefile(found)):
        return "resourcekit"
    return shlex.quote(str(typed))


def _refused(work: Any) -> str:
    try:
        work()
    except InvalidToken as error:
        return f"{type(error).__name__}: {error}"
    return "accepted"
