from __future__ import annotations

import pytest

from resourcekit.data_layers import Memory
from resourcekit_tokens import JWT
from tests.support.request_table import SECRET, TABLE, Tokens
from tests.support.setups import declare_tokens
from tests.support.web_apps import APPS, made


@pytest.fixture(scope="module")
def apps():
    """An app of each framework over one token resource, and the tokens of the table."""
    token = declare_tokens(Memory(), jwt=JWT(SECRET))
    return Tokens(token), {framework: made(framework, token) for framework in APPS}


@pytest.mark.parametrize("framework", APPS)
@pytest.mark.parametrize("row", TABLE)
def test_each_adapter_answers_a_request_as_the_table_says(row, framework, apps):
    """Status, challenge and code are those of the table, and no body contains a part of a token."""
    make, status, challenge, code = TABLE[row]
    tokens, senders = apps
    sent = make(tokens)

    reply = senders[framework](sent)

    assert (status, challenge) == (reply.status, reply.header("www-authenticate"))
    assert code == (reply.code if sent.method != "HEAD" else None)
    assert b"eyJ" not in reply.body
