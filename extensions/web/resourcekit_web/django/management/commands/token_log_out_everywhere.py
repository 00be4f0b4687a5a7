"""``manage.py token_log_out_everywhere SUBJECT``: ends all sessions and tokens of a user."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from resourcekit.errors import Invalid
from resourcekit_web.django.auth import web

__all__ = ["Command"]


class Command(BaseCommand):
    """Ends all sessions and tokens."""

    help = "End all sessions and tokens of SUBJECT. Tokens that were never stored end too."

    def add_arguments(self, parser: Any) -> None:
        """Add the arguments."""
        parser.add_argument("subject")
        parser.add_argument(
            "--keep", action="append", default=[], metavar="FAMILY", help="Family of a session that stays; several times."
        )
        parser.add_argument("--reason", help="Reason, stored with the record.")

    def handle(self, *args: Any, **options: Any) -> None:
        """End them."""
        resource, reason = web().settings.resource, options["reason"]
        try:
            cutoff = resource.log_out_everywhere(options["subject"], keep=options["keep"], reason=reason)
        except Invalid as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"logged out everywhere at {cutoff.issued_before.isoformat()}; {cutoff.kept} kept")
