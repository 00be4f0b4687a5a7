"""Promises P8 and P9: two token resources never see each other, and no error and no log shows a token or a jti."""

from __future__ import annotations

import copy
import logging
import pickle
import traceback
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from call_styles import SECRET, declared

from resourcekit import Domain, argument, create, destroy, query
from resourcekit.data_layers import SQL, Memory
from resourcekit.errors import DeclarationError
from resourcekit_tokens import JWT, RevokedJti, RevokeToken, SigningKey, TokenRecord, TokenResource
from resourcekit_tokens.errors import InvalidToken

JTI = "jti-that-no-text-may-show"
OTHER = "another-secret-that-is-long-enough-for-every-hash-there-is-9876543210-abc"


class TestApart:
    @pytest.fixture
    def pair(self, layer_name: str, layers: Any, clock: Any) -> tuple[Any, Any]:
        """Two token resources without keys on each layer: two tables of a database, two tags of a server."""
        return declared(layers(layer_name), "record"), declared(layers(layer_name), "resource")

    def test_nothing_of_one_is_seen_by_the_other(self, pair, forge, clock):
        """Revocations, stored tokens, families, cut-offs, sweeps: each in its own."""
        one, two = pair
        text = forge(fam="f1")
        one.revoke(text)
        one.log_out_everywhere("alice")
        one.store_confirmation_changes(forge("two"), {"a": 1})
        clock.advance(hours=2)

        assert two.token_revoked(forge(fam="f1")) is False
        assert two.jti_revoked("jti-1", subject="alice", family="f1") is False
        assert two.get_token(jti="two") is None
        assert (0, 0) == (query(two).count(), two.expunge_expired().removed)
        assert 2 == one.expunge_expired().removed

    def test_the_same_token_is_consumed_in_each(self, layer_name, layers, clock):
        """A use in one is no use in the other, even with the same key in the same database."""
        keys = JWT(SECRET)
        one, two = (declared(layers(layer_name), "record", jwt=keys) for _ in range(2))
        text = one.issue("alice").token

        assert one.consume(text, purpose="user").jti == two.consume(text, purpose="user").jti

    def test_two_in_one_table_are_refused(self, tmp_path):
        """They could not be distinguished: a DeclarationError at first use, whatever their domains."""
        domain = Domain("crowded")

        class One(
            TokenRecord, domain=domain, data_layer=SQL(f"sqlite:///{tmp_path}/a.db", table="t"), extensions=[TokenResource]
        ):
            """Tokens."""

        class Two(
            TokenRecord, domain=domain, data_layer=SQL(f"sqlite:///{tmp_path}/a.db", table="t"), extensions=[TokenResource]
        ):
            """Tokens."""

        with pytest.raises(DeclarationError) as caught:
            domain.create_storage()
        assert "RK051" in str(caught.value)

    @pytest.mark.parametrize(
        "theirs",
        [
            JWT(OTHER),
            JWT(SECRET, issuer="them"),
            JWT(SECRET, audience="them"),
            JWT(SigningKey(kid="x", algorithm="HS512", key=SECRET)),
        ],
    )
    def test_tokens_of_other_keys_issuers_and_audiences_are_foreign(self, theirs, clock):
        """They verify nowhere else, write nothing there, and are revoked as far as the other knows."""
        ours = declared(Memory(), "record", jwt=JWT(SECRET, issuer="us", audience="us"))
        them = declared(Memory(), "record", jwt=theirs)
        text = them.issue("alice").token
        for use in (ours.verify, ours.revoke, ours.store_token, lambda text: ours.consume(text, purpose="user")):
            with pytest.raises(InvalidToken):
                use(text)

        assert ours.token_revoked(text) is True
        assert them.token_revoked(ours.issue("alice").token) is True
        assert 0 == query(ours).count()


class Listener:
    """Collects everything that is said: log lines, texts of errors with all that hangs on them, reprs."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self.said: list[str] = []
        self.caplog = caplog

    def hear(self, use: Callable[[], Any]) -> Any:
        """Do something; keep what its result, or its error, says of itself."""
        try:
            result = use()
        except Exception as error:  # every error is listened to
            self._error(error)
            return None
        self.said += [repr(result), str(result)]
        if isinstance(result, list):
            self.said += [repr(each) for each in result]
        return result

    def _error(self, error: BaseException, depth: int = 0) -> None:
        self.said += ["".join(traceback.format_exception(error)), repr(error), str(error), repr(error.args)]
        self.said += [repr(vars(error))] if hasattr(error, "__dict__") else []
        for other in (error.__cause__, error.__context__, *getattr(error, "exceptions", ())):
            if other is not None and depth < 10:
                self._error(other, depth + 1)

    def all(self) -> str:
        """Return everything that was said."""
        lines = [record.getMessage() + repr(record.__dict__) for record in self.caplog.records]
        return "\n".join([*self.said, *lines, self.caplog.text])


@pytest.fixture
def listener(caplog: pytest.LogCaptureFixture) -> Iterator[Listener]:
    """Listen to every logger there is, at its lowest level."""
    with caplog.at_level(1):
        names = [name for name in logging.root.manager.loggerDict if not name.startswith(("_pytest", "hypothesis"))]
        before = {name: logging.getLogger(name).level for name in names}
        yield Listener(caplog)
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)


def assert_quiet(listener: Listener, *texts: str) -> None:
    """Hold that neither a jti nor a token, nor a part of one that is its own, was said."""
    said = listener.all()
    secrets = {JTI, SECRET, *texts, *(part for text in texts for part in text.split(".")[1:] if len(part) > 8)}

    assert [] == [secret for secret in secrets if secret in said]
    assert len(said) > 0


class TestQuiet:
    def test_no_function_tells_a_token_or_a_jti(self, token_resource, forge, clock, listener):
        """Whatever succeeds or fails, in every call style."""
        token = token_resource(
            jwt=JWT(SECRET), max_lifetime=timedelta(days=2), store_all_tokens=True, require_token_presence=True
        )
        good, wrong = forge(JTI, purpose="user", fam="f1"), forge(JTI, key=OTHER)
        odd = [
            forge(JTI, hours=999),
            forge(JTI, aud="x"),
            forge(JTI, hours=None),
            good[:-2],
            good + ".x",
            good + "\n",
            f" {good}",
        ]
        reset = forge(JTI + "-reset", purpose="reset")
        token.store_token(reset)
        for text in (good, wrong, *odd):
            for name in ("store_token", "token_revoked", "verify", "revoke", "rotate", "confirm"):
                listener.hear(lambda name=name, text=text: getattr(token, name)(text))
            listener.hear(lambda text=text: token.get_token(token=text))
            listener.hear(lambda text=text: token.explain(token=text))
            listener.hear(lambda text=text: token.consume(text, purpose="reset"))
            listener.hear(lambda text=text: token.store_confirmation_changes(text, {JTI: JTI}))
        for _ in range(2):
            listener.hear(lambda: token.consume(reset, purpose="reset"))
        for jti in (JTI, JTI + "\x00", JTI * 20, "rk:" + JTI):
            listener.hear(lambda jti=jti: token.revoke_jti(jti, subject="alice", expires_at="x"))
            listener.hear(lambda jti=jti: token.revoke_jti(jti))
            listener.hear(lambda jti=jti: token.revoke_jtis([RevokedJti(jti, "x"), RevokedJti(jti)]))
            listener.hear(lambda jti=jti: token.jti_revoked(jti, subject="alice", family="f1"))
            listener.hear(lambda jti=jti: token.get_token(jti=jti))
            listener.hear(lambda jti=jti: token.get_confirmation_changes(jti=jti))
            listener.hear(lambda jti=jti: token.explain(jti=jti))
            listener.hear(lambda jti=jti: token.log_out_everywhere("alice", keep=[jti]))
        issued = listener.hear(lambda: token.issue("alice", claims={"note": JTI}, extra_data={"note": JTI}))
        pair = listener.hear(lambda: token.issue_pair("alice"))
        fresh = listener.hear(lambda: token.rotate(pair.refresh.token))
        listener.hear(lambda: token.rotate(pair.refresh.token))
        listener.hear(lambda: token.tokens_for_subject("alice"))
        clock.advance(days=40)
        listener.hear(token.read_expired)
        listener.hear(token.expunge_expired)
        every = [issued, pair.access, pair.refresh, fresh.access, fresh.refresh]

        assert_quiet(listener, good, wrong, *odd[:3], reset, *(each.token for each in every))
        assert not any(each.claims.jti in listener.all() for each in every)

    def test_no_error_of_a_store_tells_one(self, layer_name, layers, forge, listener, speak, call_style, clock):
        """Missing tables, refused values, clashing keys: the driver's own words stay behind."""
        text = forge(JTI)
        missing = speak(declared(layers(layer_name), "record", storage=False), call_style)
        for use in (missing.revoke, missing.store_token, missing.token_revoked, lambda text: missing.get_token(token=text)):
            listener.hear(lambda use=use: use(text))
        listener.hear(lambda: missing.revoke_jti(JTI))
        body = {"make": create(accept=["jti", "expires_at", "extra_data"])}
        resource = declared(layers(layer_name), "record", body, allow_unsafe_actions={"make"})
        for _ in range(2):
            listener.hear(lambda: resource.make(jti=JTI, expires_at=clock.now()))
        listener.hear(lambda: resource.make(jti=JTI, expires_at=JTI))
        listener.hear(lambda: resource.make(jti=JTI + "2", expires_at=clock.now(), extra_data={"x": JTI + "\ud800"}))
        listener.hear(lambda: resource.make.bulk([{"jti": JTI, "expires_at": clock.now()}, {"jti": JTI}]))

        assert_quiet(listener, text)

    def test_no_repr_tells_one(self, plain, forge, listener):
        """Records, claims, results, rows of an import, queries, keys, options, actions, functions."""
        jwt = JWT([SigningKey(kid="k", algorithm="HS256", key=SECRET)])
        token = plain(jwt=jwt)
        text = forge(JTI, purpose="user", kid="k", note=JTI)
        record = token.store_token(text, extra_data={"note": JTI})
        claims = token.verify(text)
        listener.said += [
            repr(value)
            for value in (
                record,
                [record],
                {"record": record},
                claims,
                token.issue("alice"),
                token.issue_pair("alice"),
                RevokedJti(JTI, None, "alice"),
                query(token.resource).filter(token.resource.jti == JTI),
                token.resource.jti == JTI,
                jwt,
                jwt.keys,
                TokenResource.of(token.resource),
                token.resource.revoke,
                token.resource.revoke_token,
                token.explain(token=text),
                token.resource(jti=JTI, expires_at=record.expires_at),
            )
        ]
        listener.said += [f"{record}", "%s" % claims, f"{claims!s}"]  # noqa: UP031  # one more way to say it

        assert_quiet(listener, text)

    def test_what_hooks_and_notifiers_are_handed_is_quiet(self, layer_name, layers, forge, clock, listener):
        """A user's own code may log whatever it gets: changesets, contexts, notifications, records."""
        handed: list[Any] = []

        def hook(changeset: Any, *rest: Any) -> Any:
            handed.extend([changeset, *rest])
            return changeset

        def change(changeset: Any, context: Any) -> Any:
            handed.extend([changeset, context])
            return changeset.before_action(hook).before_transaction(hook)

        body = {
            "revoke_token": create(
                arguments=[argument("token", str, sensitive=True)],
                changes=[RevokeToken(), change],
                upsert=RevokeToken.upsert(),
                notifiers=[handed.append],
            ),
            "expunge_expired": destroy(notifiers=[handed.append]),
        }
        resource = declared(layers(layer_name), "resource", body)
        text = forge(JTI)
        resource.revoke(text)
        clock.advance(hours=2)
        resource.expunge_expired()
        listener.said += [repr(value) for value in handed]

        assert len(handed) >= 6
        assert_quiet(listener, text)

    def test_claims_can_be_copied_and_stay_quiet(self, plain, forge):
        """Copies and pickles of claims are as good as the claims, and show no more."""
        token = plain(jwt=JWT(SECRET, purposes={"access": "user"}))
        claims = token.verify(forge(JTI, purpose="access"))
        copies = [copy.copy(claims), copy.deepcopy(claims), pickle.loads(pickle.dumps(claims))]

        assert [(JTI, "user", "alice")] * 3 == [(each.jti, each.purpose, each.subject) for each in copies]
        assert JTI not in repr(copies)
