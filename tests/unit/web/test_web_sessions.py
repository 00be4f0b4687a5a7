from __future__ import annotations

from datetime import timedelta

import pytest

from resourcekit.data_layers import Memory
from resourcekit.testing import ManualClock
from resourcekit_tokens import JWT
from tests.support.setups import declare_tokens
from tests.support.web_apps import made
from tests.support.web_requests import Sent


@pytest.fixture
def kept():
    """A token resource that records sessions."""
    return declare_tokens(Memory(), jwt=JWT("a-secret-for-web-tests-that-is-long-enough-0123456789"), sessions=True)


@pytest.fixture
def browse(framework, kept):
    """A function that sends a request into an app of each framework."""
    return made(framework, kept)


def sign_in(browse):
    """Sign in and return the header of the cookies."""
    cookies = browse(Sent(method="POST", path="/login")).cookies()
    return ("cookie", "; ".join(f"{name}={value}" for name, value in cookies.items()).encode())


def sessions(browse, cookies):
    """Return the sessions that the user sees."""
    return browse(Sent(path="/auth/sessions", headers=(cookies,))).json["sessions"]


def test_a_user_sees_the_own_sessions(browse, kept):
    """Newest first, the current one is marked, and another user's is not among them."""
    with ManualClock() as clock:
        phone = sign_in(browse)
        clock.advance(minutes=1)
        laptop = sign_in(browse)
        kept.issue_pair("bob")

        seen = sessions(browse, laptop)

    assert [True, False] == [one["current"] for one in seen]
    assert [False, True] == [one["current"] for one in sessions(browse, phone)]
    assert {"family", "current", "signed_in_at", "last_used_at", "expires_at", "values"} == seen[0].keys()


def test_one_session_is_ended_from_another(browse):
    """Its tokens die at once; the session that asked goes on."""
    phone, laptop = sign_in(browse), sign_in(browse)
    (other,) = (one["family"] for one in sessions(browse, laptop) if not one["current"])

    reply = browse(Sent(method="DELETE", path=f"/auth/sessions/{other}", headers=(laptop,)))

    assert (204, {}) == (reply.status, reply.cookies())
    assert [401, 200] == [browse(Sent(headers=(cookies,))).status for cookies in (phone, laptop)]


def test_ending_the_own_session_clears_the_cookies(browse):
    """It is a log-out."""
    here = sign_in(browse)
    (own,) = (one["family"] for one in sessions(browse, here))

    reply = browse(Sent(method="DELETE", path=f"/auth/sessions/{own}", headers=(here,)))

    assert (204, 2) == (reply.status, len(reply.cookies()))
    assert 401 == browse(Sent(headers=(here,))).status


def test_a_session_of_another_user_is_not_found(browse, kept):
    """A user cannot end it, and does not learn that it exists."""
    bobs = kept.issue_pair("bob").access
    here = sign_in(browse)

    replies = [
        browse(Sent(method="DELETE", path=f"/auth/sessions/{family}", headers=(here,)))
        for family in (bobs.claims.family, "unknown")
    ]

    assert [(404, "not_found")] * 2 == [(reply.status, reply.code) for reply in replies]
    assert not kept.token_revoked(bobs.token)


def test_a_page_of_another_site_ends_no_session(browse):
    """DELETE is asked for its origin as every write."""
    here = sign_in(browse)
    (own,) = (one["family"] for one in sessions(browse, here))
    foreign = ("origin", b"https://evil.example")

    assert 403 == browse(Sent(method="DELETE", path=f"/auth/sessions/{own}", headers=(here, foreign))).status


def test_sessions_that_nobody_records_have_no_routes(framework, token):
    """Without sessions=True the routes are absent."""
    assert 404 == made(framework, token)(Sent(path="/auth/sessions")).status


def test_a_fresh_view_asks_for_the_password_again(browse):
    """A refresh does not make an old sign-in fresh."""
    with ManualClock() as clock:
        cookies = sign_in(browse)
        now = browse(Sent(path="/fresh", headers=(cookies,))).status
        clock.advance(timedelta(minutes=6))
        later = browse(Sent(path="/fresh", headers=(cookies,)))

    assert (200, 401, "insufficient_user_authentication") == (now, later.status, later.code)
    assert 'Bearer error="insufficient_user_authentication", max_age="300"' == later.header("www-authenticate")
