"""The model behind the admin page of sessions. It has no table: sessions are in the store of the token resource.

Django's admin needs it for the place of the page, and for the two permissions: view and delete.
"""

from __future__ import annotations

from typing import ClassVar

from django.db import models

__all__ = ["TokenSession"]


class TokenSession(models.Model):
    """A session of a user."""

    family: models.CharField[str, str] = models.CharField(primary_key=True, max_length=255)

    class Meta:
        """Options for Django."""

        app_label = "resourcekit_web"
        managed = False
        default_permissions = ("view", "delete")
        verbose_name = "session"
        ordering: ClassVar[list[str]] = ["family"]

    def __str__(self) -> str:
        """Return the family."""
        return str(self.family)
