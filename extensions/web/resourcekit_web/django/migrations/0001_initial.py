"""Announces the model of the admin page of sessions. No table is made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from django.db import migrations, models
from django.db.migrations.operations.base import Operation

__all__ = ["Migration"]


class Migration(migrations.Migration):
    """The first migration."""

    initial = True
    dependencies: ClassVar[Sequence[tuple[str, str]]] = []
    operations: ClassVar[Sequence[Operation]] = [
        migrations.CreateModel(
            name="TokenSession",
            fields=[("family", models.CharField(max_length=255, primary_key=True, serialize=False))],
            options={
                "verbose_name": "session",
                "ordering": ["family"],
                "managed": False,
                "default_permissions": ("view", "delete"),
            },
        ),
    ]
