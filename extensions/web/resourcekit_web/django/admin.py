"""The admin page of sessions: the live sessions of one user, each with a button that ends it, and one that ends all.

Django loads it if ``django.contrib.admin`` is installed. Staff need the permission to view sessions, and to delete them to end one.
"""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse

from resourcekit.errors import Invalid, NotFound
from resourcekit_web.django.auth import subject_of, web
from resourcekit_web.django.models import TokenSession

__all__ = ["TokenSessionAdmin"]


@admin.register(TokenSession)
class TokenSessionAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # it is generic for type checkers only
    """The page. It lists nothing until a subject or the name of a user of Django is entered."""

    def get_urls(self) -> list[Any]:
        """Return the place of the list alone: no session is a row of Django, so the pages of one object would find no table."""
        return [each for each in super().get_urls() if str(each.name).endswith("_changelist")]

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Return False: a session begins with a sign-in."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return False: a session is ended, and never changed."""
        return False

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """Show the sessions of a user, or end those that the form names."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        subject = self._subject(request)
        if request.method == "POST":
            self._end(request, subject)
            return HttpResponseRedirect(request.get_full_path())
        context = {
            **self.admin_site.each_context(request),
            "title": "Sessions",
            "opts": self.opts,
            "subject": subject,
            "name": request.GET.get("name", ""),
            "sessions": self._sessions(request, subject),
            "may_end": self.has_delete_permission(request),
            **(extra_context or {}),
        }
        return TemplateResponse(request, "admin/resourcekit_web/tokensession/change_list.html", context)

    def _subject(self, request: HttpRequest) -> str:
        """Return the subject of the form: as it is entered, or that of the user with the name that is entered."""
        name = request.GET.get("name", "").strip()
        if not name:
            return request.GET.get("subject", "").strip()
        model: Any = get_user_model()
        user = model._default_manager.filter(**{model.USERNAME_FIELD: name}).first()  # noqa: SLF001  # Django's name for it
        if user is None and request.method != "POST":
            messages.warning(request, f"There is no user {name}.")
        return "" if user is None else subject_of(user)

    def _sessions(self, request: HttpRequest, subject: str) -> list[Any]:
        if not subject:
            return []
        try:
            found: list[Any] = web().settings.resource.sessions(subject)
        except Invalid as error:  # no sessions are recorded, or no token can have this subject
            messages.error(request, str(error))
            return []
        return found

    def _end(self, request: HttpRequest, subject: str) -> None:
        if not self.has_delete_permission(request):
            raise PermissionDenied
        resource, family = web().settings.resource, request.POST.get("family", "")
        reason = f"ended in the admin by {request.user.get_username()}"[:255]
        try:
            if family:
                resource.end_session(family, subject=subject, reason=reason)
                messages.success(request, "The session has ended.")
            elif subject and request.POST.get("all") == "yes":
                resource.log_out_everywhere(subject, reason=reason)
                messages.success(request, "All sessions of the user have ended.")
        except (Invalid, NotFound) as error:
            messages.error(request, str(error))
