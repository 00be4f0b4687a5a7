"""Tabs of browsers that refresh at one moment, over processes and hosts: no tab is signed out, and no refresh token has two successors."""

from __future__ import annotations

import asyncio
import os
import secrets

import attrs
import pytest

from tests.support import valkey
from tests.support.databases import MISSING, scratch
from tests.support.web_hosts import Host, serving
from tests.support.web_tabs import TabbedBrowser

BROWSERS, TABS = 8, 3
ROUNDS = int(os.environ.get("RESOURCEKIT_TEST_TAB_ROUNDS", "4"))
"""Rounds of each browser. The figures of the documentation are those of 1,000."""

PROCESSES = 8
AHEAD = 45
"""Seconds between the clocks of two hosts."""

REFRESH = "__Secure-rk-refresh"


@pytest.fixture(params=["sqlite", "postgresql", "redis"])
def host(request, tmp_path):
    """The facts for hosts on a store of each kind."""
    table, keys = f"tabs_{secrets.token_hex(4)}", [("first", "HS256", secrets.token_urlsafe(48))]
    if request.param == "redis":
        if valkey.binary() is None:
            (pytest.fail if os.environ.get("CI") else pytest.skip)(f"{MISSING}Valkey")
        yield Host(url=valkey.shared().url, table=table, keys=keys)
        return
    with scratch(request.param, tmp_path) as place:
        yield Host(url=place.url, table=table, keys=keys)


async def browse(addresses, number):
    """Refresh from all tabs in each round; return the statuses of the tabs, and how many successors each refresh token had."""
    browser = TabbedBrowser(*addresses)
    await browser.send("POST", "/login")
    statuses, successors = [], []
    for turn in range(ROUNDS):
        answers = await browser.together("POST", "/auth/refresh")
        statuses += [answer.status for answer in answers]
        successors.append(len({answer.cookies.get(REFRESH) for answer in answers}))
        statuses += [answer.status for answer in await browser.together("GET", "/me")]
        if (turn + number) % 10 == 0:
            browser.close()
    browser.close()
    return statuses, successors


async def browse_all(*addresses):
    """Let all browsers go at one time; return their statuses and successors."""
    done = await asyncio.gather(*(browse(addresses, number) for number in range(BROWSERS)))
    return [status for statuses, _ in done for status in statuses], [one for _, successors in done for one in successors]


@pytest.mark.slow
def test_three_tabs_refresh_at_once_over_eight_processes(host, tmp_path):
    """All three get the same pair, from whichever process, and all of them stay signed in."""
    host.resource(storage=True)
    with serving(tmp_path, attrs.evolve(host, workers=PROCESSES)) as (address,):
        statuses, successors = asyncio.run(browse_all(*[address] * TABS))

    assert {204: BROWSERS * ROUNDS * TABS, 200: BROWSERS * ROUNDS * TABS} == {one: statuses.count(one) for one in set(statuses)}
    assert {1} == set(successors)


@pytest.mark.slow
@pytest.mark.parametrize("host", ["postgresql", "redis"], indirect=True)
def test_hosts_whose_clocks_differ_sign_no_tab_out_and_let_none_survive(host, tmp_path):
    """Three tabs, each at a host 45 s ahead of the one before: none is signed out. A log-out everywhere at the slowest host ends all
    tokens of the others, and those issued after it by the slowest one live.
    """
    host.resource(storage=True)
    hosts = [attrs.evolve(host, ahead=number % 2 * AHEAD) for number in range(TABS)]  # 90 s would be more than clock_skew
    with serving(tmp_path, *hosts) as addresses:
        statuses, successors = asyncio.run(browse_all(*addresses))
        survivors, living = asyncio.run(log_out_by_turns(addresses))

    assert {204, 200} == set(statuses)
    assert {1} == set(successors)
    assert {401} == set(survivors)
    assert {200} == set(living)


async def log_out_by_turns(addresses):
    """Log out everywhere at each host in turn; return what the tokens from before and those from after get at each host."""
    survivors, living = [], []
    for where in addresses:
        olds = [await signed_in(address) for address in addresses]
        leaver = await signed_in(where)
        assert 204 == (await leaver.send("POST", "/auth/logout-everywhere")).status
        news = [await signed_in(address) for address in addresses]
        survivors += [await seen(one, there) for one in olds for there in addresses]
        survivors += [(await one.send("POST", "/auth/refresh")).status for one in olds]
        living += [await seen(one, there) for one in news for there in addresses]
        for one in (*olds, leaver, *news):
            one.close()
    return survivors, living


async def signed_in(address):
    """Return a browser that has signed in at a host."""
    browser = TabbedBrowser(address)
    assert 204 == (await browser.send("POST", "/login")).status
    return browser


async def seen(browser, address):
    """Return the status that the cookies of a browser get at another host."""
    visitor = TabbedBrowser(address)
    visitor.cookies = dict(browser.cookies)
    try:
        return (await visitor.send("GET", "/me")).status
    finally:
        visitor.close()
