"""Every write notifies: notifiers of a token resource get every write, after its commit."""

from __future__ import annotations

import contextlib
import logging
from datetime import timedelta
from typing import Any

import attrs
import pytest
from call_styles import SECRET

from resourcekit import Notification, context, transaction
from resourcekit.errors import ResourcekitError
from resourcekit_tokens import JWT, RevokedJti
from resourcekit_tokens.errors import ReuseDetected


class _Undone(Exception):
    """What takes a block back."""


@attrs.define
class Trail:
    """An audit trail, as a program would keep one."""

    heard: list[Notification] = attrs.field(factory=list)

    def __call__(self, notification: Notification) -> None:
        """Note the notifications."""
        self.heard.append(notification)

    def drain(self) -> list[tuple[str, str, str | None]]:
        """Return action, kind and subject of the notifications so far, and begin anew."""
        found = [(each.action, each.kind, each.record.subject) for each in self.heard]
        self.heard.clear()
        return found


@pytest.fixture
def trail() -> Trail:
    """An empty audit trail."""
    return Trail()


@pytest.fixture
def token(token_resource: Any, trail: Trail) -> Any:
    """A token resource with that trail, in each call style."""
    return token_resource(jwt=JWT(SECRET), notifiers=[trail])


@pytest.mark.parametrize("function", ["consume", "confirm"])
@pytest.mark.parametrize("stored", [True, False])
def test_a_use_is_told(token, trail, clock, function, stored):
    """With the record of the token: a new one for a token that was never stored."""
    issued = token.issue("alice", purpose="confirm")
    if stored:
        token.store_confirmation_changes(issued.token, {"a": 1})
    trail.drain()
    with context(actor="me"):
        getattr(token, function)(issued.token, purpose="confirm")
    (heard,) = trail.heard

    assert (issued.claims.jti, "consumed", "me") == (heard.record.jti, heard.record.revocation_reason, heard.actor)
    assert [(function, "update" if stored else "create", "alice")] == trail.drain()


def test_a_lost_use_is_not_told(token, trail, clock):
    """It writes nothing."""
    issued = token.issue("alice", purpose="confirm")
    token.consume(issued.token, purpose="confirm")
    trail.drain()
    with contextlib.suppress(ResourcekitError):
        token.consume(issued.token, purpose="confirm")

    assert [] == trail.drain()


def test_a_rotation_and_a_reuse_are_told(token, trail, clock):
    """The used token; and then the end of the family, with the subject and the family."""
    pair = token.issue_pair("alice")
    token.rotate(pair.refresh.token)
    rotated = trail.drain()
    with pytest.raises(ReuseDetected):
        token.rotate(pair.refresh.token)
    (ended,) = trail.heard

    assert [("rotate", "create", "alice")] == rotated
    assert ("end_family", pair.refresh.claims.family, "reuse") == (
        ended.action,
        ended.record.family,
        ended.record.revocation_reason,
    )
    assert "alice" == ended.record.subject


def test_a_log_out_is_told(token, trail, clock):
    """Each cut-off, with the subject, that its key hides."""
    token.log_out_everywhere("alice", reason="stolen")
    clock.advance(seconds=1)
    token.log_out_everywhere("alice")

    assert [("log_out_everywhere", "create", "alice"), ("log_out_everywhere", "update", "alice")] == trail.drain()


def test_a_set_based_revoke_is_told_record_by_record(token, trail, forge, clock):
    """By the rule of bulk updates: one notification for each record that was written."""
    for number in range(3):
        token.store_token(forge(f"jti-{number}", sub="alice", purpose="user"))
    trail.drain()

    assert 3 == token.revoke_all_stored_for_subject("alice")
    assert ["jti-0", "jti-1", "jti-2"] == sorted(each.record.jti for each in trail.heard)
    assert [("revoke_all_stored_for_subject", "update", "alice")] * 3 == trail.drain()


def test_an_import_is_told(token, trail, clock):
    """Row by row, under the name of the action that revokes a jti."""
    token.revoke_jtis([RevokedJti("a", subject="alice"), RevokedJti("b", clock.now() + timedelta(hours=1), subject="bob")])

    assert {("revoke_jti", "create", "alice"), ("revoke_jti", "create", "bob")} == set(trail.drain())


def test_what_is_rolled_back_is_not_told(plain, trail, clock):
    """Nothing before the commit, and after a rollback only the writes that were kept."""
    token = plain(jwt=JWT(SECRET), notifiers=[trail])
    issued, pair = token.issue("alice", purpose="confirm"), token.issue_pair("bob")
    token.rotate(pair.refresh.token)
    trail.drain()
    with contextlib.suppress(_Undone), transaction(token.resource):
        token.consume(issued.token, purpose="confirm")
        token.log_out_everywhere("alice")
        with contextlib.suppress(ReuseDetected):
            token.rotate(pair.refresh.token)
        inside = trail.drain()
        raise _Undone

    assert ([], [("end_family", "create", "bob")]) == (inside, trail.drain())


def test_a_notifier_that_fails_tells_no_value(plain, clock, caplog):
    """The write is kept, and the log names the notifier and the kind of the error."""

    def fails(notification: Notification) -> None:
        raise ValueError(notification.record.jti)

    token = plain(jwt=JWT(SECRET), notifiers=[fails])
    issued = token.issue("alice", purpose="confirm")
    with caplog.at_level(logging.DEBUG):
        token.consume(issued.token, purpose="confirm")

    assert token.token_revoked(issued.token)
    assert "ValueError" in caplog.text
    assert issued.claims.jti not in caplog.text
