"""``manage.py token_sessions SUBJECT``: the live sessions of a user."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from resourcekit.errors import Invalid
from resourcekit_web.django.auth import web

__all__ = ["Command"]


class Command(BaseCommand):
    """Prints one line for each session, with its family first."""

    help = "List the live sessions of SUBJECT, newest first. Needs TokenResource(sessions=True)."

    def add_arguments(self, parser: Any) -> None:
        """Add the argument."""
        parser.add_argument("subject")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print the sessions."""
        try:
            found = web().settings.resource.sessions(options["subject"])
        except Invalid as error:
            raise CommandError(str(error)) from None
        for each in found:
            own = "\t".join(f"{name}={value}" for name, value in each.values.items() if value is not None)
            moments = (each.signed_in_at, each.last_used_at, each.expires_at)
            self.stdout.write("\t".join(filter(None, [each.family, *(moment.isoformat() for moment in moments), own])))
