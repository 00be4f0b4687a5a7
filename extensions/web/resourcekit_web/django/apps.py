"""The app of Django: ``manage.py check`` finds what would stop a start, and a changed password logs out everywhere."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import Error, register
from django.db import transaction
from django.db.models.signals import post_save

from resourcekit.errors import DeclarationError, DeclarationErrors
from resourcekit_web.django.auth import check_routes, subject_of, web

__all__ = ["ResourcekitConfig"]


class ResourcekitConfig(AppConfig):
    """The app. Nothing is read here: management commands run without secrets."""

    name = "resourcekit_web.django"
    label = "resourcekit_web"
    verbose_name = "Sessions"

    def ready(self) -> None:
        """Register the checks and the signal."""
        register(check_settings)
        post_save.connect(log_out_on_password_change, dispatch_uid="resourcekit_web")


def check_settings(app_configs: Any, **_: Any) -> list[Error]:
    """Return an error for each problem that would stop the server."""
    try:
        web().settings.check_deployment(is_async=False, at_import=True)
        check_routes()
    except DeclarationErrors as errors:
        return [_shown(error) for error in errors.exceptions if isinstance(error, DeclarationError)]
    except DeclarationError as error:
        return [_shown(error)]
    return []


def _shown(error: DeclarationError) -> Error:
    return Error(error.what, hint=error.hint, id=f"resourcekit.{error.code}")


def log_out_on_password_change(
    sender: Any, instance: Any, created: bool, using: str | None = None, **_: Any
) -> None:  # Django's signal
    """Log a user out everywhere if the password was changed by ``set_password`` and ``save``.

    ``RESOURCEKIT["SUBJECT"]`` is a function of a user that returns the subject; ``str(user.pk)`` unless given. Django sets
    ``_password`` until ``save`` has ended, and clears it when it only renews a hash.
    """
    given: Any = getattr(settings, "RESOURCEKIT", {})
    if created or getattr(instance, "_password", None) is None or not given.get("LOG_OUT_ON_PASSWORD_CHANGE", True):
        return
    from django.contrib.auth import get_user_model

    if not isinstance(instance, get_user_model()):
        return
    subject = subject_of(instance)

    def log_out() -> None:
        web().settings.resource.log_out_everywhere(subject, reason="password changed")

    if transaction.get_connection(using).in_atomic_block:
        log_out()  # if the store does not answer, the password stays as it is
    # Until the commit, the former password still signs in, with the generation of then.
    transaction.on_commit(log_out, using=using)
