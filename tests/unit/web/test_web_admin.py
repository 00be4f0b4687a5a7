"""The admin page of sessions, and the commands of manage.py."""

from __future__ import annotations

import io
import re

import pytest

from resourcekit.data_layers import Memory
from resourcekit_tokens import JWT
from tests.support.setups import declare_tokens
from tests.support.web_apps import django_app

PAGE = "/admin/resourcekit_web/tokensession/"
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "resourcekit_web.django.middleware.TokenMiddleware",
]


@pytest.fixture
def kept():
    """A token resource that records sessions."""
    return declare_tokens(Memory(), jwt=JWT("a-secret-for-web-tests-that-is-long-enough-0123456789"), sessions=True)


@pytest.fixture
def project(kept):
    """A project of Django with the admin, and a database with its tables."""
    django_app(kept)
    from django.contrib import admin
    from django.contrib.auth import get_user_model
    from django.core.management import call_command
    from django.db import connections
    from django.test import override_settings
    from django.urls import include, path

    from resourcekit_web.django import urls

    call_command("migrate", verbosity=0, run_syncdb=True)
    get_user_model().objects.all().delete()
    urlpatterns = (path("auth/", include(urls)), path("admin/", admin.site.urls))
    with override_settings(ROOT_URLCONF=urlpatterns, MIDDLEWARE=MIDDLEWARE):
        yield kept
    connections.close_all()


def staff(*permissions):
    """Return a client of the admin, whose user has these permissions."""
    from django.contrib.auth import get_user_model
    from django.contrib.auth.models import Permission
    from django.test import Client

    user = get_user_model().objects.create_user("admin", password="-", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client(enforce_csrf_checks=True)
    client.force_login(user)
    return client


def post(client, place, **form):
    """Send a form of the page, with the CSRF token that the page has."""
    csrf = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', client.get(place).content.decode())[1]
    return client.post(place, {"csrfmiddlewaretoken": csrf, **form}).status_code


def test_staff_see_the_sessions_of_a_user_and_end_one(project):
    """A user is found by name; the session that is ended dies at once, the other one and those of others stay."""
    from django.contrib.auth import get_user_model

    alice = get_user_model().objects.create_user("alice", password="-")
    phone, laptop = (project.issue_pair(str(alice.pk)).access for _ in range(2))
    bobs = project.issue_pair("bob").access
    client = staff("view_tokensession", "delete_tokensession")
    shown = client.get(PAGE, {"name": "alice"}).content.decode()

    assert {phone.claims.family, laptop.claims.family} == set(re.findall(r'name="family" value="([^"]+)"', shown))
    assert 302 == post(client, f"{PAGE}?name=alice", family=phone.claims.family)
    assert 302 == post(client, f"{PAGE}?name=alice", family=bobs.claims.family)
    assert [True, False, False] == [project.token_revoked(one.token) for one in (phone, laptop, bobs)]
    assert "ended in the admin by admin" in str(project.explain(token=phone.token))


def test_staff_end_all_sessions_of_a_subject(project):
    """Tokens that belong to no session end too."""
    pair, single = project.issue_pair("alice").access, project.issue("alice")
    client = staff("view_tokensession", "delete_tokensession")

    assert 302 == post(client, f"{PAGE}?subject=alice", all="yes")
    assert [True, True] == [project.token_revoked(one.token) for one in (pair, single)]
    assert "has no live session" in client.get(PAGE, {"subject": "alice"}).content.decode()


def test_permissions_of_django_decide(project):
    """Without the permission to view there is no page, and without that to delete nothing is ended."""
    from django.contrib.auth import get_user_model

    issued = project.issue_pair("alice").access
    viewer = staff("view_tokensession")
    shown = viewer.get(PAGE, {"subject": "alice"}).content.decode()
    csrf = viewer.cookies.get("csrftoken")
    refused = viewer.post(f"{PAGE}?subject=alice", {"all": "yes", "csrfmiddlewaretoken": csrf.value if csrf else ""})
    get_user_model().objects.all().delete()
    stranger = staff()

    assert 'value="End' not in shown
    assert (403, 403) == (refused.status_code, stranger.get(PAGE).status_code)
    assert not project.token_revoked(issued.token)


def test_the_page_needs_the_csrf_token_of_the_admin(project):
    """Staff are signed in by Django's own cookie, which has no list of origins."""
    issued = project.issue_pair("alice").access
    client = staff("view_tokensession", "delete_tokensession")

    assert 403 == client.post(f"{PAGE}?subject=alice", {"all": "yes"}).status_code
    assert not project.token_revoked(issued.token)


def test_the_page_escapes_what_users_send(project):
    """A user agent with markup is shown as text."""
    client = staff("view_tokensession", "delete_tokensession")
    shown = client.get(PAGE, {"subject": "<script>x</script>"}).content.decode()

    assert "<script>x" not in shown
    assert "&lt;script&gt;x" in shown


@pytest.mark.parametrize("place", ["add/", "family/change/", "family/delete/", "family/history/"])
def test_there_are_no_pages_of_one_session(project, place):
    """A session is no row of Django: such a page would ask for a table that does not exist."""
    client = staff("view_tokensession", "delete_tokensession")

    assert (404, 200) == (client.get(f"{PAGE}{place}").status_code, client.get("/admin/").status_code)


def test_a_name_that_no_user_has_lists_nothing(project):
    """The page says so."""
    client = staff("view_tokensession")

    assert "There is no user carol." in client.get(PAGE, {"name": "carol"}).content.decode()


def test_the_project_needs_no_further_migration(project):
    """Makemigrations finds nothing to do for the app."""
    from django.core.management import call_command

    call_command("makemigrations", "resourcekit_web", check=True, dry_run=True, verbosity=0)


def command(name, *words):
    """Return what a command of manage.py prints."""
    from django.core.management import call_command

    printed = io.StringIO()
    call_command(name, *words, stdout=printed)
    return printed.getvalue()


def test_the_commands_list_and_end_sessions(project):
    """One line a session, with its family first."""
    first, second = (project.issue_pair("alice").access for _ in range(2))
    families = [line.partition("\t")[0] for line in command("token_sessions", "alice").splitlines()]

    assert {first.claims.family, second.claims.family} == set(families)
    assert "the session has ended" in command("token_end_session", "--reason", "lost", "--", "alice", first.claims.family)
    assert [True, False] == [project.token_revoked(one.token) for one in (first, second)]
    assert "lost" in str(project.explain(token=first.token))

    third = project.issue_pair("alice").access
    assert "1 kept" in command("token_log_out_everywhere", f"--keep={third.claims.family}", "alice")
    assert [True, False] == [project.token_revoked(one.token) for one in (second, third)]


@pytest.mark.parametrize(
    "words", [("token_end_session", "alice", "unknown"), ("token_sessions", ""), ("token_log_out_everywhere", "")]
)
def test_a_command_that_cannot_be_done_ends_with_its_reason(project, words):
    """manage.py prints the message without a traceback."""
    from django.core.management import CommandError

    with pytest.raises(CommandError):
        command(*words)
