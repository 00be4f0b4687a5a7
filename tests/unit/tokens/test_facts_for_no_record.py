"""Facts for a record that issue does not make."""

from __future__ import annotations

import secrets

import pytest

from resourcekit import Attr, Domain, attribute
from resourcekit.data_layers import Memory
from resourcekit.errors import InvalidArgument
from resourcekit_tokens import JWT, TokenRecord, TokenResource


class Token(
    TokenRecord,
    domain=Domain("facts for no record"),
    data_layer=Memory(),
    extensions=[TokenResource(jwt=JWT(secrets.token_urlsafe(48)))],
):
    """Issues tokens, and stores none."""

    device: Attr[str | None] = attribute(default=None)


@pytest.mark.parametrize("issue", [Token.issue, Token.issue_pair])
@pytest.mark.parametrize("facts", [{"extra_data": {"ip": "::1"}}, {"values": {"device": "phone"}}])
def test_facts_for_a_record_that_is_not_made_are_refused(issue, facts):
    """Without store_all_tokens nothing is stored, so facts for the record are refused instead of lost."""
    with pytest.raises(InvalidArgument) as caught:
        issue("alice", **facts)

    assert list(facts) == [finding.path for finding in caught.value.findings]
    assert "store_all_tokens" in str(caught.value)


def test_the_facts_go_to_store_token_instead():
    """Code that stores a token itself gives the facts there."""
    issued = Token.issue("alice", extra_data=None, values={})
    record = Token.store_token(issued.token, extra_data={"ip": "::1"}, values={"device": "phone"})

    assert ("phone", {"ip": "::1"}) == (record.device, record.extra_data)
