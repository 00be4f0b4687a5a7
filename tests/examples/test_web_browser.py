"""The page of the web examples in a real browser: what it offers works, and pages of other sites write nothing."""

from __future__ import annotations

import importlib.util
import shutil

import pytest

from tests.support.databases import MISSING
from tests.support.web_servers import SERVERS, served

pytestmark = pytest.mark.slow

PASSWORD = "wonderland"


@pytest.fixture(scope="module")
def chromium():
    """A browser without a window."""
    program = shutil.which("chromium")
    if program is None or importlib.util.find_spec("playwright") is None:
        pytest.skip(f"{MISSING}Chromium and Playwright")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(params=SERVERS)
def address(request, tmp_path):
    """The address of each example under its real server."""
    with served(request.param, tmp_path) as port:
        yield f"http://127.0.0.1:{port}"


def sign_in(chromium, address, password=PASSWORD):
    """Open the page in a new profile, sign in, and return the page."""
    page = chromium.new_context().new_page()
    page.goto(address)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()
    return page


def rows(page, count):
    """Wait until the page lists so many sessions."""
    page.wait_for_function(f"document.querySelectorAll('#sessions tr').length === {count}")


def says(page, text):
    """Wait until the page says something."""
    page.wait_for_function("text => document.getElementById('status').textContent === text", arg=text)


def test_the_page_does_what_it_offers(chromium, address):
    """Sign in, see two sessions, sign out elsewhere, here, everywhere; scripts see no cookie."""
    says(sign_in(chromium, address, "guess"), "The name or the password is wrong.")
    laptop, phone = sign_in(chromium, address), sign_in(chromium, address)
    for page in (laptop, phone):  # a page that is loaded again before its answer has come is not signed in
        says(page, "You are signed in.")
    laptop.reload()
    rows(laptop, 2)
    assert "" == laptop.evaluate("document.cookie")
    kept = {one["name"]: (one["httpOnly"], one["secure"], one["sameSite"]) for one in laptop.context.cookies()}
    assert {"__Host-rk-access": (True, True, "Lax"), "__Secure-rk-refresh": (True, True, "Strict")} == kept

    refreshed = "Promise.all([1, 2, 3].map(() => fetch('/auth/refresh', {method: 'POST'}).then(answer => answer.status)))"
    assert [204, 204, 204] == laptop.evaluate(refreshed)

    laptop.get_by_role("button", name="Sign out elsewhere").click()
    rows(laptop, 1)
    phone.reload()
    says(phone, "Sign in.")
    laptop.get_by_role("button", name="Sign out here").click()
    says(laptop, "Sign in.")
    assert [] == laptop.context.cookies()


@pytest.mark.parametrize("address", ["flask"], indirect=True)
def test_a_page_of_another_site_writes_nothing(chromium, address):
    """Neither fetch nor a form of a foreign page signs the user out, and the own page still does."""
    page = sign_in(chromium, address)
    rows(page, 1)
    foreign = page.context.new_page()
    foreign.goto(address.replace("127.0.0.1", "localhost"))
    target = f"{address}/auth/logout-everywhere"
    foreign.evaluate("url => fetch(url, {method: 'POST', credentials: 'include', mode: 'no-cors'})", target)
    script = "url => { const form = document.createElement('form'); form.method = 'POST'; form.action = url; document.body.append(form); form.submit(); }"
    with foreign.expect_response(target) as answered:
        foreign.evaluate(script, target)

    assert 403 == answered.value.status
    page.reload()
    rows(page, 1)
    page.get_by_role("button", name="Sign out everywhere").click()
    says(page, "Sign in.")
