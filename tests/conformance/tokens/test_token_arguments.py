"""For any argument, a function returns an answer or raises a ResourcekitError; after an error nothing is written."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import date, datetime, timedelta, timezone
from typing import Any

import pytest
from call_styles import SECRET

from resourcekit import query
from resourcekit.errors import ResourcekitError
from resourcekit_tokens import JWT, RevokedJti
from resourcekit_tokens.errors import ReuseDetected

ODD: dict[str, Any] = {
    "none": None,
    "int": 5,
    "negative": -1,
    "huge": 10**30,
    "float": 1.5,
    "nan": math.nan,
    "bool": True,
    "bytes": b"x",
    "list": [],
    "texts": ["a"],
    "nones": [None],
    "unhashable": [[]],
    "dict": {},
    "no json": {"a": object()},
    "no text keys": {1: 2},
    "object": object(),
    "class": type,
    "function": lambda *_: 1,
    "empty": "",
    "nul": "\x00",
    "surrogate": "\ud800",
    "long": "x" * 2000,
    "reserved": "rk:cutoff:1",
    "naive": datetime(2030, 1, 1),  # noqa: DTZ001  # that is the point
    "first moment": datetime.min.replace(tzinfo=timezone(timedelta(hours=5))),
    "last moment": datetime.max.replace(tzinfo=timezone(timedelta(hours=-5))),
    "day": date(2030, 1, 1),
    "span": timedelta(-1),
    "longest span": timedelta.max,
}

FUNCTIONS: dict[str, tuple[list[str], list[str]]] = {
    "revoke": (["token"], ["family", "reason"]),
    "revoke_jti": (["jti"], ["subject", "expires_at", "reason"]),
    "revoke_jtis": (["rows"], []),
    "token_revoked": (["token"], []),
    "jti_revoked": (["jti"], ["subject", "issued_at", "family"]),
    "expunge_expired": ([], ["dry_run", "batch_size", "limit", "on_progress"]),
    "store_token": (["token"], ["purpose", "extra_data", "values"]),
    "get_token": ([], ["token", "jti", "purpose"]),
    "store_confirmation_changes": (["token", "changes"], ["purpose"]),
    "get_confirmation_changes": ([], ["jti", "purpose"]),
    "confirm": (["token"], ["purpose"]),
    "revoke_all_stored_for_subject": (["subject"], ["purposes"]),
    "log_out_everywhere": (["subject"], ["issued_before", "keep", "reason"]),
    "tokens_for_subject": (["subject"], []),
    "issue": (["subject"], ["purpose", "lifetime", "claims", "extra_data", "values"]),
    "issue_pair": (["subject"], ["access_lifetime", "claims", "extra_data", "values"]),
    "verify": (["token"], ["purpose"]),
    "consume": (["token"], ["purpose"]),
    "rotate": (["refresh"], ["claims"]),
    "explain": ([], ["token", "jti"]),
}


@pytest.mark.parametrize("keyed", [True, False], ids=["keys", "no keys"])
@pytest.mark.parametrize("function", list(FUNCTIONS))
def test_odd_arguments_are_answered_or_refused(plain, forge, function, keyed):
    """Each argument of each function, given something of every kind: no driver's error, no TypeError, no endless loop."""
    token = plain(**({"jwt": JWT(SECRET), "store_all_tokens": True} if keyed else {}))
    good: dict[str, Callable[[], Any]] = {
        "token": lambda: forge("good", purpose="user"),
        "refresh": lambda: forge("good", purpose="refresh"),
        "jti": lambda: "good",
        "rows": lambda: [RevokedJti("good")],
        "changes": lambda: {"a": 1},
        "subject": lambda: "alice",
    }
    positional, named = FUNCTIONS[function]
    needed = {"consume": {"purpose": "user"}, "get_confirmation_changes": {"jti": "good"}}.get(function, {})
    wrong: list[str] = []
    for name in [*positional, *named]:
        for kind, odd in ODD.items():
            arguments = [odd if each == name else good[each]() for each in positional]
            given = {**needed, **({name: odd} if name in named else {})}
            try:
                getattr(token, function)(*arguments, **given)
            except ResourcekitError:
                pass
            except Exception as error:  # the list shows all of them at once
                wrong.append(f"{name}={kind}: {type(error).__name__}")

    assert [] == wrong


@pytest.mark.parametrize(
    "make",
    [
        lambda token, forge: token.revoke(forge("one", fam="f1"), reason="x" * 300),
        lambda token, forge: token.store_token(forge("one"), extra_data={"a": object()}),
        lambda token, forge: token.store_confirmation_changes(forge("one"), 7),
        lambda token, forge: token.issue_pair("alice", values={"nonsense": 1}),
        lambda token, forge: token.issue_pair("alice", extra_data={"a": math.nan}),
    ],
)
def test_after_an_error_nothing_is_half_written(plain, forge, make):
    """Neither a record, nor an ended family, nor one half of a pair."""
    token = plain(jwt=JWT(SECRET), store_all_tokens=True)
    with pytest.raises(ResourcekitError):
        make(token, forge)

    assert 0 == query(token.resource).count()
    assert token.jti_revoked("other", family="f1") is False


@pytest.mark.parametrize("claims", [lambda old: 1 / 0, lambda old: 7, 7, {"exp": 1}, {"x": object()}])
def test_a_rotation_that_fails_uses_nothing_up(plain, claims):
    """The refresh token can be used again, with claims that are right."""
    token = plain(jwt=JWT(SECRET))
    pair = token.issue_pair("alice")
    with pytest.raises((ResourcekitError, ZeroDivisionError)):
        token.rotate(pair.refresh.token, claims=claims)

    assert "alice" == token.rotate(pair.refresh.token).access.claims.subject


def test_a_refresh_token_without_family_begins_one_that_a_reuse_ends(token_resource, forge):
    """A peer's refresh token may name no family; its rotations have one, and reuse ends it."""
    token = token_resource(jwt=JWT(SECRET))
    foreign = forge("foreign", purpose="refresh")
    pair = token.rotate(foreign)
    second = token.rotate(pair.refresh.token)
    assert pair.access.claims.family == second.access.claims.family is not None

    with pytest.raises(ReuseDetected):
        token.rotate(foreign)
    assert all(token.token_revoked(each.token) for each in (pair.access, second.access, second.refresh))
