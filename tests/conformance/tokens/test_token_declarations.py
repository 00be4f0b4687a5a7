"""What a user may declare beside the extension, and what is refused, with both places named."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from typing import Any

import pytest
from call_styles import SECRET, declared

from resourcekit import (
    Attr,
    Domain,
    Query,
    action,
    argument,
    attribute,
    case,
    compare,
    create,
    destroy,
    existing,
    incoming,
    index,
    query,
    read,
    set_attribute,
    update,
    utc_now,
)
from resourcekit.data_layers import SQL, Memory
from resourcekit.doctor import doctor
from resourcekit.errors import DeclarationError, DeclarationErrors, Invalid, NotFound
from resourcekit.extending import Field
from resourcekit_tokens import (
    JWT,
    RevokeJti,
    RevokeToken,
    StoreToken,
    TokenResource,
)


class TestOwnAttributes:
    def test_own_attributes_stand_beside_ours(self, token_resource, forge):
        """They are filled by ``values``, have their defaults on revocations, and can be queried."""
        body = {
            "__annotations__": {"device": Attr[str | None], "logins": Attr[int]},
            "device": attribute(default=None),
            "logins": attribute(default=0, minimum=0),
            "by_device": index("device"),
        }
        token = token_resource(body)
        token.store_token(forge("one"), values={"device": "phone", "logins": 3})
        revoked = token.revoke(forge("two"))

        assert (None, 0) == (revoked.device, revoked.logins)
        assert ["one"] == [found.jti for found in query(token.resource).filter(token.resource.device == "phone").all()]
        assert 3 == token.store_token(forge("one"), values={"device": "tablet"}).logins
        record = token.revoke(forge("one"))
        assert ("tablet", 3) == (record.device, record.logins)

    def test_an_own_attribute_needs_a_default(self):
        """A revocation of a token that was never stored could not be written otherwise."""
        with pytest.raises(DeclarationError) as caught:
            declared(Memory(), "resource", {"__annotations__": {"device": Attr[str]}, "device": attribute()})

        assert "RK222" in str(caught.value)

    @pytest.mark.parametrize("spelling", ["resource", "record"])
    @pytest.mark.parametrize(
        ("name", "kind", "word", "code"),
        [
            ("jti", int, attribute(primary_key=True), "RK221"),
            ("jti", str, attribute(), "RK220"),
            ("id", int, attribute(primary_key=True, default=1), "RK220"),
            ("expires_at", str, attribute(default=""), "RK221"),
            ("revoked_at", datetime, attribute(default_factory=utc_now), "RK221"),
            ("subject", int | None, attribute(default=None), "RK221"),
            ("extra_data", str | None, attribute(default=None), "RK221"),
            ("revoked_at", datetime | None, attribute(default=None, update_default_factory=lambda: None), "RK221"),
        ],
    )
    def test_an_attribute_that_does_not_fit_is_refused(self, spelling, name, kind, word, code):
        """A wrong type, or a jti that is not the primary key."""
        with pytest.raises(DeclarationError) as caught:
            declared(Memory(), spelling, {"__annotations__": {name: Attr[kind]}, name: word})

        assert code in str(caught.value)

    def test_an_attribute_that_fits_wins(self, token_resource, forge):
        """A user's own ``subject``, shorter than ours, is the one that counts."""
        body = {"__annotations__": {"subject": Attr[str | None]}, "subject": attribute(default=None, max_length=5, public=True)}
        token = token_resource(body)

        assert "alice" == token.store_token(forge("one", "alice")).subject
        with pytest.raises(Invalid) as caught:
            token.store_token(forge("two", "mallory"))
        assert ["subject"] == [finding.path for finding in caught.value.findings]

    def test_several_findings_come_together(self):
        """All that is wrong with one resource in one error, which is a group too."""
        body = {"__annotations__": {"jti": Attr[str], "device": Attr[str]}, "jti": attribute(), "device": attribute()}
        with pytest.raises(DeclarationErrors) as caught:
            declared(Memory(), "resource", body, require_token_presence=True)

        assert {"RK220", "RK222", "RK226"} <= {error.code for error in caught.value.exceptions}
        assert isinstance(caught.value, ExceptionGroup)


class TestOwnActions:
    def test_an_own_read_sees_tokens_only(self, plain, forge):
        """Cut-offs and families stay hidden, also from the user's own reads and primary read."""

        @read
        @staticmethod
        def of_purpose(query: Query[Any], purpose: str) -> Query[Any]:
            return query.filter(Field("purpose") == purpose)

        token = plain({"of_purpose": of_purpose, "everything": read()})
        token.revoke(forge("one", fam="f1"))
        token.log_out_everywhere("alice")

        assert ["one"] == [found.jti for found in token.resource.of_purpose(purpose="revocation")]
        assert [] == token.resource.of_purpose(purpose="cutoff")
        assert ["one"] == [found.jti for found in token.resource.everything()]

    def test_an_update_of_own_attributes_and_extra_data_is_allowed(self, plain, forge):
        """It cannot touch what only the extension writes."""
        body = {
            "__annotations__": {"device": Attr[str | None]},
            "device": attribute(default=None),
            "rename": update(accept=["device", "extra_data"]),
        }
        token = plain(body)
        record = token.resource.rename(token.store_token(forge("one")), device="phone", extra_data={"a": 1})

        assert ("phone", {"a": 1}) == (record.device, record.extra_data)

    def test_an_open_update_runs_on_many_at_once(self, plain, forge):
        """Its declaration names what it writes, so one statement for all records is no risk."""
        body = {
            "__annotations__": {"seen": Attr[int]},
            "seen": attribute(default=0),
            "see": update(accept=["extra_data"], changes=[set_attribute("seen", 1)]),
        }
        token = plain(body)
        for number in range(3):
            token.store_token(forge(f"jti-{number}"))
        token.log_out_everywhere("alice")
        result = token.resource.see.bulk(query(token.resource), strategy="atomic", extra_data={"a": 1})

        assert 3 == result.count
        assert [(1, {"a": 1})] * 3 == [(found.seen, found.extra_data) for found in query(token.resource).all()]

    @pytest.mark.parametrize(
        "name", ["subject", "purpose", "family", "expires_at", "revoked_at", "revocation_reason", "updated_at"]
    )
    @pytest.mark.parametrize("way", ["accept", "change"])
    def test_an_update_of_ours_is_refused_unless_named(self, name, way, forge):
        """``allow_unsafe_actions`` takes the responsibility, by the action's name."""
        made = (
            update(accept=[name])
            if way == "accept"
            else update(changes=[set_attribute(name, utc_now if name.endswith("_at") else "x")])
        )
        with pytest.raises(DeclarationError) as caught:
            declared(Memory(), "resource", {"revive": made})

        assert "RK224" in str(caught.value)
        assert "revive" in str(caught.value)
        assert declared(Memory(), "resource", {"revive": made}, allow_unsafe_actions={"revive"})

    def test_a_decorated_update_cannot_revive_either(self, plain, forge):
        """What a function sets is looked at when it runs: nothing is written."""

        @update
        @staticmethod
        def revive(changeset: Any) -> Any:
            return changeset.set(revoked_at=None)

        token = plain({"revive": revive})
        record = token.revoke(forge("one"))
        with pytest.raises(Invalid) as caught:
            token.resource.revive(record)

        assert ["revoked_at"] == [finding.path for finding in caught.value.findings]
        assert token.jti_revoked("one") is True

    @pytest.mark.parametrize("made", [create(accept=["jti", "expires_at"]), destroy(), destroy(soft=True)])
    def test_creates_and_destroys_are_refused_unless_named(self, made):
        """They could write past the guards, or lose a revocation."""
        with pytest.raises(DeclarationError) as caught:
            declared(Memory(), "resource", {"own": made})

        assert "RK224" in str(caught.value)
        assert declared(Memory(), "resource", {"own": made}, allow_unsafe_actions=frozenset({"own"}))

    def test_an_allowed_destroy_destroys(self, plain, forge):
        """It is included if it is named."""
        token = plain({"wipe": destroy()}, allow_unsafe_actions={"wipe"})
        token.resource.wipe(token.revoke(forge("one")))

        assert token.jti_revoked("one") is False
        with pytest.raises(NotFound):
            token.resource.wipe("one")

    def test_an_unknown_unsafe_action_is_told(self):
        """A name that is no action is a mistake."""
        with pytest.raises(DeclarationError) as caught:
            declared(Memory(), "resource", allow_unsafe_actions={"wipe"})

        assert "RK225" in str(caught.value)

    def test_an_own_generic_action_works_on_the_class(self, plain, forge):
        """Functions are there for the user's own actions, in the call mode of the caller."""

        @action
        @classmethod
        async def revoke_two(cls, one: str, two: str) -> int:
            await cls.revoke.aio(one)
            await cls.revoke.aio(two)
            return await query(cls).count.aio()

        assert 2 == plain({"revoke_two": revoke_two}).resource.revoke_two(one=forge("one"), two=forge("two"))


class TestOverrides:
    def test_an_own_revoke_token_runs_its_changes_and_hooks(self, plain, forge):
        """``revoke`` runs the configured action, so the user's own one with its notifier and its own argument."""
        heard = []
        body = {
            "__annotations__": {"note": Attr[str | None]},
            "note": attribute(default=None),
            "revoke_token": create(
                arguments=[argument("token", str, sensitive=True), argument("reason", str | None, default=None)],
                changes=[RevokeToken(), set_attribute("note", "by the user's own action")],
                upsert=RevokeToken.upsert(),
                notifiers=[heard.append],
            ),
        }
        token = plain(body)
        record = token.revoke(forge("one"), reason="mine")

        assert ("by the user's own action", "mine") == (record.note, record.revocation_reason)
        assert 1 == len(heard)
        assert token.token_revoked(forge("one")) is True

    def test_an_own_revoke_jti_and_store_token(self, plain, forge):
        """With the extension's change and upsert they are as good as the extension's own."""
        body = {
            "revoke_jti": create(arguments=[argument("jti", str)], changes=[RevokeJti()], upsert=RevokeJti.upsert()),
            "store_token": create(arguments=[argument("token", str)], changes=[StoreToken()], upsert=StoreToken.upsert()),
        }
        token = plain(body)
        token.revoke_jti("one")

        assert token.jti_revoked("one") is True
        assert token.store_token(forge("one")).revoked_at is not None

    def test_an_own_check_answers(self, plain, forge):
        """A user's own ``revoked`` is asked by both checks; whatever is not False is ``True``, and an error too."""

        def answer(value: Any) -> Any:
            @action
            @staticmethod
            async def revoked(token: str | None = None, jti: str | None = None) -> Any:
                if isinstance(value, Exception):
                    raise value
                return value

            token = plain({"revoked": revoked})
            return token.token_revoked(forge()), token.jti_revoked("one")

        assert (False, False) == answer(False)
        assert [(True, True)] * 5 == [answer(value) for value in (True, None, 0, "no", OSError("down"))]

    @pytest.mark.parametrize(
        ("name", "made"),
        [
            ("revoke_token", create(arguments=[argument("token", int)], changes=[RevokeToken()], upsert=RevokeToken.upsert())),
            ("revoke_token", create(changes=[RevokeToken()], upsert=RevokeToken.upsert())),
            ("revoke_token", create(arguments=[argument("token", str)], upsert=RevokeToken.upsert())),
            ("revoke_token", create(arguments=[argument("token", str)], changes=[RevokeToken()])),
            ("revoke_token", create(arguments=[argument("token", str)], changes=[RevokeToken()], upsert=StoreToken.upsert())),
            ("store_token", create(arguments=[argument("token", str)], changes=[RevokeToken()], upsert=StoreToken.upsert())),
            (
                "store_token",
                create(
                    arguments=[argument("token", str)],
                    changes=[StoreToken()],
                    upsert=StoreToken.upsert(purpose=case(existing("purpose") == "x", incoming("purpose"), existing("purpose"))),
                ),
            ),
            ("revoke_jti", create(arguments=[argument("token", str)], changes=[RevokeJti()], upsert=RevokeJti.upsert())),
            ("revoke_token", update(accept=["extra_data"])),
            ("read_expired", destroy()),
            ("expunge_expired", read()),
            ("get_token", create()),
        ],
    )
    def test_an_override_that_does_not_fit_names_both_places(self, name, made):
        """Wrong type of an argument, missing argument, missing change, missing guards, another kind of action."""
        with pytest.raises(DeclarationError) as caught:
            declared(Memory(), "resource", {name: made})

        assert "RK223" in str(caught.value)
        assert "TokenResource" in str(caught.value)
        assert name in str(caught.value)

    def test_an_own_read_expired_narrows_what_is_read(self, plain, forge, clock):
        """``read_expired`` runs the configured action."""

        @read
        @staticmethod
        def read_expired(query: Query[Any]) -> Query[Any]:
            return query.limit(1)

        token = plain({"read_expired": read_expired})
        for number in range(3):
            token.store_token(forge(f"jti-{number}"))

        assert 1 == len(token.read_expired())

    def test_notifiers_of_the_sweep_see_each_record(self, plain, forge, clock):
        """A notifier on ``expunge_expired`` switches the sweep to records, and gets each of them."""
        gone = []
        token = plain({"expunge_expired": destroy(notifiers=[lambda notification: gone.append(notification.record.jti)])})
        for number in range(5):
            token.store_token(forge(f"jti-{number}", hours=1 if number < 3 else 9))
        token.log_out_everywhere("alice")
        clock.advance(hours=2)
        result = token.expunge_expired(batch_size=2)

        assert 3 == result.removed
        assert {"jti-0", "jti-1", "jti-2"} == set(gone)

    def test_doctor_tells_of_a_sweep_that_sees_each_record(self, tmp_path, clock):
        """Notifiers, changes and rules of the user's own on the sweep are RK238; without them there is no finding."""
        found = []
        for number, own in enumerate(({}, {"notifiers": [found.append]}, {"validations": [compare("jti", "!=", "precious")]})):
            layer = SQL(f"sqlite:///{tmp_path}/doctor{number}.db")
            body = {"expunge_expired": destroy(**own)} if own else {}
            resource = declared(layer, "resource", body, jwt=JWT(secrets.token_urlsafe(48)))
            found.append([finding.id for finding in doctor(resource)])

        assert [[], ["RK238"], ["RK238"]] == found

    def test_inherited_tokens_are_token_resources(self, plain, clock, forge):
        """A child of a token resource has all of it, and its own instance of the options."""
        parent = plain(jwt=JWT(SECRET)).resource
        domain = Domain("child")

        class Child(parent, domain=domain, data_layer=Memory(), extensions=[TokenResource(leeway=timedelta(seconds=7))]):
            """Tokens of a child."""

        assert timedelta(seconds=7) == TokenResource.of(Child).leeway
        assert Child.revoke(forge("one")).jti == "one"
        assert parent.jti_revoked("one") is False
