"""Tells the life of a token on a real SQLite file, step by step; it decides nothing and changes no rule."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from resourcekit_tokens.errors import InvalidToken

__all__ = ["tell"]


class _Story:
    """Prints what is done, and what came of it."""

    def __init__(self, console: Console) -> None:
        self._console, self._step = console, 0

    def chapter(self, title: str) -> None:
        """Begin a step."""
        self._step += 1
        self._console.print(f"\n[bold]{self._step}. {escape(title)}[/bold]")

    def did(self, code: str, came: object, *, good: bool = True) -> None:
        """Show a line of code and its result."""
        self._console.print(f"   [cyan]{escape(code)}[/cyan]")
        self._console.print(f"   [{'green' if good else 'yellow'}]-> {escape(str(came))}[/]")

    def say(self, text: str) -> None:
        """Say a sentence."""
        self._console.print(f"   {escape(text)}")

    def line(self, text: str = "", style: str = "") -> None:
        """Print a line as it is, without breaking it."""
        self._console.print(escape(text), style=style)


def tell(file: Path, console: Console) -> None:
    """Issue, check, revoke, use up, rotate, log out and sweep on ``file``; leaves the file, and says what to try next."""
    os.environ["RESOURCEKIT_DEMO_DB"] = str(file.absolute())
    from resourcekit_tokens import demo

    story = _Story(console)
    story.line("The life of a token, on a real SQLite file", style="bold")
    story.line(f"file: {file}")
    demo.demo.create_storage()
    _revoke(story, demo.Token)
    _use_up(story, demo.Token)
    _rotate(story, demo.Token)
    _log_out(story, demo.Token)
    _sweep(story, demo.Token)
    _next(story, file)


def _revoke(story: _Story, resource: Any) -> None:
    story.chapter("Issue, check, revoke")
    issued = resource.issue("alice")
    story.did('issued = Token.issue("alice")', f"a signed token of {len(issued.token)} characters, good for 14 days")
    story.did("Token.token_revoked(issued.token)", resource.token_revoked(issued.token))
    record = resource.revoke(issued.token, reason="logout")
    story.did(
        'Token.revoke(issued.token, reason="logout")',
        f"revoked at {record.revoked_at:%H:%M:%S} UTC, kept until {record.expires_at:%Y-%m-%d}",
    )
    story.did("Token.token_revoked(issued.token)", resource.token_revoked(issued.token))
    story.say("The file holds what must be known about the token; the token itself is nowhere.")


def _use_up(story: _Story, resource: Any) -> None:
    story.chapter("A confirmation link works once")
    link = resource.issue("alice", purpose="confirm")
    resource.store_confirmation_changes(link.token, {"email": "alice@example.org"})
    story.did('Token.store_confirmation_changes(link.token, {"email": ...})', "waits in the file, not in the token")
    story.did("Token.confirm(link.token)", dict(resource.confirm(link.token).changes))
    story.did("Token.confirm(link.token)    # a second click", _refused(lambda: resource.confirm(link.token)), good=False)


def _rotate(story: _Story, resource: Any) -> None:
    story.chapter("A stolen refresh token ends the whole sign-in")
    pair = resource.issue_pair("bob")
    story.did('pair = Token.issue_pair("bob")', "an access token and a refresh token of one family")
    newer = resource.rotate(pair.refresh.token)
    story.did("newer = Token.rotate(pair.refresh.token)", "a new pair; the old refresh token is used up")
    story.did(
        "Token.rotate(pair.refresh.token)    # the thief", _refused(lambda: resource.rotate(pair.refresh.token)), good=False
    )
    story.did("Token.token_revoked(newer.access.token)", resource.token_revoked(newer.access.token))


def _log_out(story: _Story, resource: Any) -> None:
    story.chapter("Log out everywhere, in one write")
    sessions = [resource.issue("carol") for _ in range(3)]
    resource.log_out_everywhere("carol", keep=[sessions[0].claims.jti], reason="password changed")
    story.did('Token.log_out_everywhere("carol", keep=[this_session])', "one record, however many tokens")
    story.did("[Token.token_revoked(s) for s in sessions]", [resource.token_revoked(session.token) for session in sessions])


def _sweep(story: _Story, resource: Any) -> None:
    from resourcekit.testing import ManualClock

    story.chapter("The sweep, 40 days later")
    story.did("Token.expunge_expired()    # today", f"{resource.expunge_expired().removed} records removed: none may go yet")
    with ManualClock() as clock:
        clock.advance(days=40)
        result = resource.expunge_expired()
        story.did(
            "Token.expunge_expired()    # the demo's clock is moved",
            f"{result.removed} records removed in {result.batches} batch{'' if result.batches == 1 else 'es'}",
        )
    story.say("A Supervisor does that by itself: with Supervisor(accounts): serve()")


def _next(story: _Story, file: Path) -> None:
    from resourcekit_tokens import demo

    issued = demo.Token.issue("you")
    path = file.with_name(f"{file.name}.token")
    path.touch(mode=0o600)
    path.write_text(issued.token + "\n")
    place = "" if str(file) == "demo.db" else f"RESOURCEKIT_DEMO_DB={shlex.quote(str(file))} "
    start, quoted = f"{place}{_command()} token", shlex.quote(str(path))
    story.line("\nYour turn", style="bold")
    story.line(f"A fresh token lies in {path}. Try:")
    for verb in ("check", "revoke", "check", "explain"):
        story.line(f"  {start} {verb} resourcekit_tokens.demo:Token --file {quoted}", style="cyan")
    story.line("or feed it a token of your own (no keys are known there, so you vouch for it):")
    story.line(f"  {start} revoke resourcekit_tokens.demo:AnyToken    # paste it", style="cyan")


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
