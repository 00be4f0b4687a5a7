"""What doctor finds on token resources."""

import secrets
from datetime import timedelta

import pytest

from resourcekit import Domain, Resource, info
from resourcekit.data_layers import SQL, Memory
from resourcekit.doctor import doctor
from resourcekit.testing import ManualClock
from resourcekit_tokens import JWT, SigningKey, TokenResource

LIFE = timedelta(days=30)


def found(layer, *options):
    """Return the ids that doctor finds on token resources with these options."""
    domain = Domain("checked")
    resources = [
        type(Resource)(
            f"Token{number}",
            (Resource,),
            {"__module__": __name__, "__qualname__": f"Token{number}", "__doc__": "Tokens."},
            domain=domain,
            data_layer=layer(f"tokens{number}"),
            extensions=[one],
        )
        for number, one in enumerate(options)
    ]
    domain.create_storage()
    return [finding.id for finding in doctor(*resources)]


@pytest.fixture
def drawn():
    """A strong secret that no other resource has."""
    return secrets.token_urlsafe(48)


@pytest.fixture
def sound(tmp_path):
    """A data layer with nothing to find."""
    return lambda table: SQL(f"sqlite:///{tmp_path}/checked.db", table=table)


def test_a_sound_set_up_has_no_finding(sound, drawn):
    """Strong keys of its own, a database with its tables, and margins left as they are."""
    assert [] == found(sound, TokenResource(jwt=JWT(drawn, audience="api")))


def test_memory_is_found(drawn):
    """Records that are gone at a restart are a warning."""
    assert ["RK150"] == found(lambda table: Memory(), TokenResource(jwt=JWT(drawn)))


def test_missing_keys_are_found(sound):
    """A resource that verifies nothing before it writes says so, and that lifetimes are unknown."""
    assert ["RK230", "RK234"] == found(sound, TokenResource())


def test_missing_keys_with_a_known_lifetime_are_one_finding(sound):
    """The longest lifetime may be given without keys."""
    assert ["RK230"] == found(sound, TokenResource(max_lifetime=LIFE))


@pytest.mark.parametrize("secret", ["a" * 32, "password" * 5, "0123456789" * 4, "changeme-changeme-changeme-changeme"])
def test_a_typed_secret_is_found(sound, secret):
    """A secret that is long enough and yet guessable is an error."""
    assert ["RK231"] == found(sound, TokenResource(jwt=JWT(secret)))


def test_a_secret_that_cannot_be_read_is_found(sound, monkeypatch):
    """A variable that is not set is reported with its name, before the first user meets it."""
    from resourcekit import env

    monkeypatch.delenv("NO_SUCH_SECRET", raising=False)

    assert 1 == len(found(sound, TokenResource(jwt=JWT(env("NO_SUCH_SECRET")))))


def test_shared_keys_are_found_on_both_sides(sound, drawn):
    """Two resources with one key and one audience accept each other's tokens."""
    assert ["RK232", "RK232"] == found(sound, TokenResource(jwt=JWT(drawn)), TokenResource(jwt=JWT(drawn)))


def test_an_audience_of_its_own_keeps_resources_apart(sound, drawn):
    """The same key under two audiences is no finding."""
    one, other = JWT(drawn, audience="one"), JWT(drawn, audience="other")

    assert [] == found(sound, TokenResource(jwt=one), TokenResource(jwt=other))


def test_a_key_shared_by_rotation_is_found(sound, drawn):
    """It is enough that one of the keys verifies in both."""
    shared = SigningKey(kid="old", algorithm="HS256", key=drawn)
    one = JWT([SigningKey(kid="new", algorithm="HS256", key=secrets.token_urlsafe(48)), shared])

    assert ["RK232", "RK232"] == found(sound, TokenResource(jwt=one), TokenResource(jwt=JWT([shared])))


def test_a_clock_skew_of_zero_is_found(sound, drawn):
    """No two hosts have the same time."""
    assert ["RK233"] == found(sound, TokenResource(jwt=JWT(drawn), clock_skew=timedelta(0)))


@pytest.mark.parametrize(("days", "ids"), [(2, []), (31, ["RK235"])])
def test_records_that_nobody_sweeps_are_found(sound, drawn, days, ids):
    """A record that expired longer ago than two intervals, and is still there, shows that no sweep runs."""

    class Token(
        Resource,
        domain=Domain("swept"),
        data_layer=sound("swept"),
        extensions=[TokenResource(jwt=JWT(drawn), expunge_interval=timedelta(days=10))],
    ):
        """Tokens."""

    info(Token).options["domain"].create_storage()
    with ManualClock() as clock:
        Token.revoke_jti("a", expires_at=clock.now() + timedelta(days=1))
        clock.advance(days=days)

        assert ids == [finding.id for finding in doctor(Token)]


def test_missing_tables_are_found(tmp_path, drawn):
    """Nothing was created yet: an error with the cure."""
    domain = Domain("empty")

    class Token(
        Resource, domain=domain, data_layer=SQL(f"sqlite:///{tmp_path}/empty.db"), extensions=[TokenResource(jwt=JWT(drawn))]
    ):
        """Tokens."""

    (finding,) = doctor(domain)

    assert ("RK110", "error") == (finding.id, finding.level)
    assert "create_storage" in finding.cure


def test_no_finding_holds_a_secret(sound):
    """Whatever is found, keys stay unseen."""
    domain = Domain("secretive")

    class One(Resource, domain=domain, data_layer=sound("one"), extensions=[TokenResource(jwt=JWT("swordfish" * 5))]):
        """Tokens."""

    class Other(Resource, domain=domain, data_layer=sound("other"), extensions=[TokenResource(jwt=JWT("swordfish" * 5))]):
        """Tokens."""

    findings = doctor(domain)

    assert 0 < len(findings)
    assert not [finding for finding in findings if "swordfish" in repr(finding)]
