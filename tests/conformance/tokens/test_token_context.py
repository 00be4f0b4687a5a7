"""Facts of a call, given to the functions of a token resource."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from resourcekit import argument, create
from resourcekit.errors import InvalidArgument
from resourcekit_tokens import RevokeToken


def test_a_function_hands_its_facts_to_the_action_that_it_runs(plain: Any, forge: Any) -> None:
    """``using(actor=...)`` reaches the changes of the configured action, sync and async, and ends with the call."""
    seen = []

    def note(changeset: Any, context: Any) -> Any:
        seen.append(context.actor)
        return changeset

    revoking = create(
        arguments=[argument("token", str, sensitive=True)], changes=[RevokeToken(), note], upsert=RevokeToken.upsert()
    )
    token = plain({"revoke_token": revoking})
    as_root = token.resource.revoke.using(actor="root")
    as_root(forge("one"))
    asyncio.run(as_root.aio(forge("two")))
    token.revoke(forge("three"))

    assert ["root", "root", None] == seen


def test_a_deadline_begins_with_the_call(plain: Any, clock: Any) -> None:
    """What was prepared long ago is not late."""
    check = plain().resource.jti_revoked.using(deadline=timedelta(seconds=1))
    clock.advance(hours=1)

    assert check("one") is False


@pytest.mark.parametrize("facts", [{"user": "root"}, {"deadline": 5}])
def test_wrong_facts_are_refused_where_they_are_written(plain: Any, facts: dict[str, Any]) -> None:
    """Not only when the function is called."""
    with pytest.raises((TypeError, InvalidArgument)):
        plain().resource.revoke.using(**facts)
