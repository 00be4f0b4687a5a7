"""``manage.py token_end_session SUBJECT FAMILY``: ends one session of a user."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from resourcekit.errors import Invalid, NotFound
from resourcekit_web.django.auth import web

__all__ = ["Command"]


class Command(BaseCommand):
    """Ends one session. A family that begins with ``-`` is written behind ``--``."""

    help = "End the session FAMILY of SUBJECT. The command token_sessions lists the families."

    def add_arguments(self, parser: Any) -> None:
        """Add the arguments."""
        parser.add_argument("subject")
        parser.add_argument("family")
        parser.add_argument("--reason", help="Reason, stored with the record.")

    def handle(self, *args: Any, **options: Any) -> None:
        """End the session."""
        try:
            web().settings.resource.end_session(options["family"], subject=options["subject"], reason=options["reason"])
        except (Invalid, NotFound) as error:
            raise CommandError(str(error)) from None
        self.stdout.write("the session has ended; its access and refresh tokens are revoked")
