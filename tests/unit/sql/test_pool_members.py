"""The places of a pool's limit, while threads open and close connections."""

from __future__ import annotations

import threading

from resourcekit.data_layers.sql.execution.pool_limits import WeakMembers


class Member:
    """Anything that can be referenced weakly."""


def test_members_may_come_and_go_while_others_are_counted():
    """No thread that looks at the members fails because another one adds, removes or forgets some."""
    members: WeakMembers[Member] = WeakMembers()
    stays = [Member() for _ in range(200)]
    for member in stays:
        members.add(member)
    errors: list[Exception] = []
    done = threading.Event()

    def come_and_go() -> None:
        while not done.is_set():
            passing, forgotten = Member(), Member()
            members.add(passing)
            members.add(forgotten)
            members.discard(passing)

    def look() -> None:
        try:
            for _ in range(2_000):
                assert set(stays) <= set(members)
        except Exception as error:  # reported by the thread of the test
            errors.append(error)

    threads = [threading.Thread(target=come_and_go) for _ in range(3)]
    looking = threading.Thread(target=look)
    for thread in (*threads, looking):
        thread.start()
    looking.join()
    done.set()
    for thread in threads:
        thread.join()

    assert [] == errors
    assert 200 == len(members) == len(list(members))


def test_a_member_that_nothing_references_is_gone():
    """It is neither counted nor yielded; one that was removed before is no error."""
    members: WeakMembers[Member] = WeakMembers()
    kept, left = Member(), Member()
    members.add(kept)
    members.add(left)
    members.discard(Member())
    del left

    assert [kept] == list(members)
    assert 1 == len(members)
