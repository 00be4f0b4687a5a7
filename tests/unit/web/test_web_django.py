from __future__ import annotations

import asyncio

import pytest

from resourcekit import utc_now
from resourcekit.errors import InvalidArgument
from resourcekit.testing import declaration_errors
from tests.support.web_apps import django_app, made
from tests.support.web_requests import Sent, asgi_sender, wsgi_sender


def bearer(text):
    """Return the header of a token."""
    return ("authorization", f"Bearer {text}".encode())


@pytest.fixture
def django(token):
    """A function that sends a request into a project of Django."""
    return made("django", token)


@pytest.mark.parametrize("path", ["/drf/me", "/ninja/me"])
def test_views_of_the_api_packages_know_the_user(django, token, path):
    """Django REST framework and Django Ninja get the user by the same rules."""
    text = token.issue("alice").token
    good, bad, none = (django(Sent(path=path, headers=given)) for given in ((bearer(text),), (bearer("x.y.z"),), ()))

    assert (200, {"sub": "alice"}) == (good.status, good.json)
    assert (401, "invalid_token") == (bad.status, bad.code)
    assert 401 == none.status


@pytest.mark.parametrize("path", ["/ninja/scoped", "/ninja/fresh"])
def test_a_view_of_ninja_demands_scopes_and_a_recent_sign_in(django, token, path):
    """One scope may be written as a text, as everywhere."""
    now, long_ago = utc_now().timestamp(), utc_now().timestamp() - 3_600
    claims = [{"auth_time": now}, {"scope": "a:write b", "auth_time": now}, {"scope": "a:write", "auth_time": long_ago}]

    poor, rich, old = (django(Sent(path=path, headers=(bearer(token.issue("alice", claims=each).token),))) for each in claims)

    assert (403, "insufficient_scope") == (poor.status, poor.code)
    assert (200, {"sub": "alice"}) == (rich.status, rich.json)
    assert (401 if path == "/ninja/fresh" else 200) == old.status


@pytest.mark.parametrize("demand", [{"scopes": [""]}, {"scopes": [1]}, {"scopes": 5}, {"fresh": 300}])
@pytest.mark.parametrize("by", ["required", "SessionToken"])
def test_a_demand_that_cannot_be_met_is_refused_where_it_is_written(django, by, demand):
    """At the import of the views, with the name of the option."""
    from resourcekit_web.django.decorators import required
    from resourcekit_web.django.ninja import SessionToken

    with pytest.raises(InvalidArgument, match=f"{by}: {next(iter(demand))}: takes"):
        {"required": required, "SessionToken": SessionToken}[by](**demand)


def test_a_view_that_needs_nobody_reads_the_user_by_itself(django, token):
    """request.signed_in asks the store when it is read."""
    reply = django(Sent(path="/optional", headers=(bearer(token.issue("alice").token),)))

    assert {"sub": "alice"} == reply.json


def test_the_routes_are_where_the_project_includes_them(token):
    """The path of the refresh cookie is that of include()."""
    from django.test import override_settings
    from django.urls import include, path

    from resourcekit_web.django import urls
    from resourcekit_web.django.auth import mounted

    django_app(token)
    with override_settings(ROOT_URLCONF=(path("account/session/", include(urls)),)):
        assert "/account/session" == mounted().settings.prefix


def test_the_system_check_tells_what_would_stop_the_server(token):
    """manage.py check has the code and the next step."""
    from django.core.checks import run_checks
    from django.test import override_settings

    django_app(token)
    with override_settings(RESOURCEKIT={"TOKEN": "no_such_module.Token"}):
        found = run_checks()

    assert ["resourcekit.RK302"] == [one.id for one in found if one.id.startswith("resourcekit")]


def test_a_misspelt_setting_is_told_with_the_right_one(token):
    """No setting is passed over silently."""
    from django.core.checks import run_checks
    from django.test import override_settings

    django_app(token)
    with override_settings(RESOURCEKIT={"TOKEN": token, "ORIGIN": ["https://app.example"]}):
        (found,) = (one for one in run_checks() if one.id.startswith("resourcekit"))

    assert "ORIGINS" in found.hint


@pytest.fixture
def alice(token):
    """A user of Django in a database."""
    from django.contrib.auth import get_user_model
    from django.core.management import call_command

    django_app(token, user="resourcekit_web.django.user_by_pk")
    call_command("migrate", verbosity=0, run_syncdb=True)
    model = get_user_model()
    model.objects.all().delete()
    yield model.objects.create_user("alice", password="before")
    from django.db import connections

    connections.close_all()


def test_a_changed_password_logs_out_everywhere(alice, token):
    """All tokens of the user die with the password; a save of anything else ends nothing."""
    text = token.issue(str(alice.pk)).token
    alice.first_name = "Alice"
    alice.save()
    before = token.token_revoked(text)

    alice.set_password("after")
    alice.save()

    assert (False, True) == (before, token.token_revoked(text))


def test_a_sign_in_before_the_commit_of_a_new_password_ends_with_it(alice, token):
    """Until the commit, others still read the former password; a log-out before it would not end what they begin."""
    from django.db import transaction

    before = token.issue(str(alice.pk)).token
    with transaction.atomic():
        alice.set_password("after")
        alice.save()
        at_once = token.token_revoked(before)
        meanwhile = token.issue(str(alice.pk)).token

    assert (True, True) == (at_once, token.token_revoked(meanwhile))


def test_the_user_of_the_token_is_that_of_django(alice, token):
    """A user who was made inactive is refused."""
    from django.core.handlers.wsgi import WSGIHandler

    send, asked = wsgi_sender(WSGIHandler()), Sent(headers=(bearer(token.issue(str(alice.pk)).token),))
    before = send(asked).status
    alice.is_active = False
    alice.save()

    assert (200, 401) == (before, send(asked).status)


def test_async_views_are_guarded_too(token):
    """Under ASGI, an async view reads the user, and a bad token is refused before it runs."""
    from django.core.handlers.asgi import ASGIHandler
    from django.http import JsonResponse
    from django.test import override_settings
    from django.urls import path

    from resourcekit_web.django.decorators import required

    @required
    async def me(request):
        await asyncio.sleep(0)
        return JsonResponse({"sub": request.signed_in.subject})

    async def open_to_all(request):
        return JsonResponse({"sub": request.signed_in and request.signed_in.subject})

    @required(scopes=["a:write"])
    async def quiet(request):  # it does not ask who is signed in
        return JsonResponse({})

    django_app(token)
    with override_settings(ROOT_URLCONF=(path("me", me), path("open", open_to_all), path("quiet", quiet))):
        send = asgi_sender(ASGIHandler())
        good = send(Sent(headers=(bearer(token.issue("alice").token),)))
        bad = send(Sent(headers=(bearer("x.y.z"),)))
        anonymous = send(Sent(path="/open"))
        issued = (token.issue("alice", claims={"scope": scope}).token for scope in ("a:write", "a:read"))
        silent = [send(Sent(path="/quiet", headers=headers)).status for headers in ((), *((bearer(one),) for one in issued))]

    assert (200, {"sub": "alice"}) == (good.status, good.json)
    assert (401, "invalid_token") == (bad.status, bad.code)
    assert {"sub": None} == anonymous.json
    assert [401, 200, 403] == silent


def test_the_test_client_acts_as_a_user(token):
    """acting_as gives the client of Django a real token for one block."""
    from django.test import Client

    from resourcekit_web.django import acting_as

    django_app(token)
    client = Client()
    with acting_as(client, "alice", scopes=["a:write"]):
        inside = client.get("/scoped").status_code

    assert (200, 401) == (inside, client.get("/scoped").status_code)


TAKEN = {"health": "healthz", "pattern": "^readyz$", "below": "auth/logout", "catch-all before": "auth/<path:rest>"}


@pytest.mark.parametrize("place", TAKEN)
def test_a_project_with_a_route_of_its_own_there_does_not_start(token, place):
    """The middleware would answer in its place, or it would hide the log-out; check says so too."""
    from django.core.checks import run_checks
    from django.core.handlers.wsgi import WSGIHandler
    from django.http import HttpResponse
    from django.test import override_settings
    from django.urls import include, path, re_path

    from resourcekit_web.django import urls

    django_app(token)
    own = (re_path if place == "pattern" else path)(TAKEN[place], lambda request, **rest: HttpResponse("own"))
    with override_settings(ROOT_URLCONF=(own, path("auth/", include(urls)))):
        with declaration_errors() as found:
            WSGIHandler()
        checked = [one.id for one in run_checks() if one.id.startswith("resourcekit")]

    assert (["RK303"], ["resourcekit.RK303"]) == ([error.code for error in found], checked)


def test_a_catch_all_of_a_project_is_no_conflict(token):
    """Projects with a page that routes in the browser have one at the end."""
    from django.core.handlers.wsgi import WSGIHandler
    from django.http import HttpResponse
    from django.test import override_settings
    from django.urls import include, path, re_path

    from resourcekit_web.django import urls

    django_app(token)
    with override_settings(ROOT_URLCONF=(path("auth/", include(urls)), re_path(".*", lambda request: HttpResponse("page")))):
        assert 200 == wsgi_sender(WSGIHandler())(Sent(path="/healthz")).status


def test_a_view_for_users_and_visitors_needs_no_csrf_token(token):
    """@required.optional: 200 for both, sync and async; a bad token and a write from another site are refused."""
    from django.core.handlers.asgi import ASGIHandler
    from django.core.handlers.wsgi import WSGIHandler
    from django.http import JsonResponse
    from django.test import override_settings
    from django.urls import path

    from resourcekit_web.django.decorators import required

    @required.optional
    def start(request):
        return JsonResponse({"sub": request.signed_in and request.signed_in.subject})

    @required.optional
    async def start_async(request):
        await asyncio.sleep(0)
        return JsonResponse({"sub": request.signed_in and request.signed_in.subject})

    django_app(token)
    text = token.issue("alice").token
    cookie = ("cookie", f"__Host-rk-access={text}".encode())
    for view, sender, handler in ((start, wsgi_sender, WSGIHandler), (start_async, asgi_sender, ASGIHandler)):
        with override_settings(ROOT_URLCONF=(path("start", view),)):
            send = sender(handler())
            users, visitors = (send(Sent(method="POST", path="/start", headers=given)) for given in ((bearer(text),), ()))
            foreign = send(Sent(method="POST", path="/start", headers=(cookie, ("origin", b"https://evil.example"))))
            bad = send(Sent(path="/start", headers=(bearer("x.y.z"),)))

        assert ({"sub": "alice"}, {"sub": None}) == (users.json, visitors.json)
        assert (403, 401) == (foreign.status, bad.status)
