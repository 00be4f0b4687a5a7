"""What was stored with a session goes with it."""

from typing import Any

from call_styles import SECRET

from resourcekit import Attr, attribute
from resourcekit_tokens import JWT

BODY = {"__annotations__": {"device": Attr[str | None]}, "device": attribute(default=None)}


class TestRotation:
    def test_the_facts_of_a_session_are_taken_over(self, plain: Any) -> None:
        """Own attributes and extra data of the old refresh token are those of the new pair, rotation after rotation."""
        token = plain(dict(BODY), jwt=JWT(SECRET), store_all_tokens=True)
        pair = token.issue_pair("alice", values={"device": "phone"}, extra_data={"ip": "::1"})
        newer = token.rotate(token.rotate(pair.refresh.token).refresh.token)
        stored = [token.get_token(token=each.token) for each in (newer.access, newer.refresh)]

        assert [("phone", {"ip": "::1"})] * 2 == [(record.device, record.extra_data) for record in stored]
        assert ["user", "refresh"] == [record.purpose for record in stored]

    def test_without_stored_tokens_nothing_is_made_up(self, plain: Any) -> None:
        """A session of which nothing is stored is rotated as it is."""
        token = plain(dict(BODY), jwt=JWT(SECRET))
        newer = token.rotate(token.issue_pair("alice").refresh.token)

        assert token.get_token(token=newer.refresh.token) is None
