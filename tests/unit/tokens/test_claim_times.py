"""The times of tokens, to the microsecond: how they are read, rounded, clamped, and where they end."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from fractions import Fraction

import pytest
from forge import NOW, START, claims, signed
from hypothesis import given
from hypothesis import strategies as st

from resourcekit.testing import ManualClock
from resourcekit_tokens.claims import Claims
from resourcekit_tokens.errors import InvalidToken, TokenExpired
from resourcekit_tokens.keys.jwt import JWT
from resourcekit_tokens.pairs import new_claims, sign
from resourcekit_tokens.signature import read_claims
from resourcekit_tokens.verification import check_times

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
END = datetime.max.replace(tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
SECRET = "a-secret-for-times-that-is-long-enough-0123456789"
named = pytest.mark.parametrize


def times(**changes):
    """The claims of a token with these times."""
    return Claims({"jti": "j", **changes})


class TestReading:
    """NumericDates as moments in UTC."""

    @named(
        ("seconds", "expires_at", "issued_at"),
        [
            (0, EPOCH, EPOCH),
            (NOW, START, START),
            (float(NOW), START, START),
            (NOW + 0.5, START + timedelta(milliseconds=500), START + timedelta(milliseconds=500)),
            (NOW + 0.000_001, START + MICROSECOND, START + MICROSECOND),
            (0.000_000_4, EPOCH + MICROSECOND, EPOCH),
            (0.000_000_6, EPOCH + MICROSECOND, EPOCH + MICROSECOND),
            (5e-324, EPOCH + MICROSECOND, EPOCH),
            (-0.0, EPOCH, EPOCH),
            (-0.000_000_4, EPOCH, EPOCH),
            (-1.5, EPOCH - timedelta(seconds=1.5), EPOCH - timedelta(seconds=1.5)),
            (-62_135_596_800, datetime(1, 1, 1, tzinfo=UTC), datetime(1, 1, 1, tzinfo=UTC)),
            (-62_135_596_800.0, datetime(1, 1, 1, tzinfo=UTC), datetime(1, 1, 1, tzinfo=UTC)),
            (253_402_300_799, datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
            (253_402_300_799.5, END, END),
            (253_402_300_800, END, END),
            (1e300, END, END),
            (10**400, END, END),
            (1.7976931348623157e308, END, END),
        ],
        ids=str,
    )
    def test_rounding_and_clamping(self, seconds, expires_at, issued_at):
        """`exp` and `nbf` are rounded up, `iat` to the nearest; what lies after year 9999 is its end."""
        read = times(exp=seconds, nbf=seconds, iat=seconds)

        assert (expires_at, expires_at, issued_at) == (read.expires_at, read.not_before, read.issued_at)

    def test_what_is_not_said(self):
        """Is None, and not the epoch."""
        assert (None, None, None) == (times().expires_at, times().not_before, times().issued_at)

    @given(micros=st.integers(-8 * 10**15, 8 * 10**15))
    def test_whole_microseconds_come_back(self, micros):
        """Written as a fraction of seconds and read again, each moment from 1717 to 2223 is the same one."""
        moment = EPOCH + micros * MICROSECOND
        seconds = json.loads(repr(micros / 10**6))
        read = times(exp=seconds, iat=seconds)

        assert (moment, moment) == (read.expires_at, read.issued_at)

    @given(seconds=st.floats(-62_135_596_800.0, 253_402_300_799.0, allow_nan=False))
    def test_rounding_up_never_ends_a_token_early(self, seconds):
        """The moment of `exp` is not before the number, and less than two microseconds after it, or its float's own step."""
        moment = times(exp=seconds).expires_at
        exact = Fraction((moment - EPOCH) // MICROSECOND, 10**6)

        assert Fraction(seconds) - Fraction(1, 10**4) <= exact <= Fraction(seconds) + Fraction(1, 10**4)
        assert float(exact) == seconds or exact >= Fraction(seconds)

    @named("text", ["1893456000", "1893456000.0", "1.893456e9", "1893456e3", "18934560000e-1"])
    def test_every_spelling_of_a_number(self, text):
        """JSON has one kind of number."""
        assert START == read_claims(signed(f'{{"jti":"j","exp":{text}}}')).expires_at


class TestLimits:
    """Where a token begins and ends to be good."""

    @named("leeway", [timedelta(0), MICROSECOND, timedelta(seconds=30), timedelta(days=3)])
    @named("fraction", [0, 0.25, 0.000_001])
    def test_the_end(self, leeway, fraction):
        """Good until the last microsecond before exp + leeway, expired on it (RFC 7519, 4.1.4)."""
        read = times(exp=NOW + fraction)
        end = START + timedelta(seconds=fraction) + leeway

        check_times(read, end - MICROSECOND, leeway=leeway)
        for moment in (end, end + MICROSECOND, END):
            with pytest.raises(TokenExpired) as caught:
                check_times(read, moment, leeway=leeway)

            assert "exp" == caught.value.claim

    @named("leeway", [timedelta(0), MICROSECOND, timedelta(seconds=30), timedelta(days=3)])
    @named("fraction", [0, 0.25, 0.000_001])
    def test_the_beginning(self, leeway, fraction):
        """Not good a microsecond before nbf - leeway, good on it (RFC 7519, 4.1.5)."""
        read = times(nbf=NOW + fraction, exp=NOW + 10**6)
        begin = START + timedelta(seconds=fraction) - leeway

        check_times(read, begin, leeway=leeway)
        with pytest.raises(InvalidToken) as caught:
            check_times(read, begin - MICROSECOND, leeway=leeway)

        assert (InvalidToken, "nbf") == (type(caught.value), caught.value.claim)

    def test_no_end(self):
        """A token that never expires never verifies."""
        with pytest.raises(InvalidToken) as caught:
            check_times(times(), START)

        assert (InvalidToken, "exp") == (type(caught.value), caught.value.claim)

    @named("leeway", [timedelta(0), timedelta(days=400), timedelta.max])
    def test_the_end_of_time(self, leeway):
        """Neither the last moment nor any leeway overflows."""
        check_times(times(exp=10**400, nbf=-62_135_596_800), END - MICROSECOND, leeway=leeway)
        check_times(times(exp=10**400), datetime.min.replace(tzinfo=UTC), leeway=leeway)

    def test_an_iat_in_the_future(self):
        """RFC 7519, 4.1.6, gives `iat` no say in whether a token is good; clocks differ."""
        check_times(times(iat=NOW + 10**6, exp=NOW + 10**7), START)

    def test_verify_by_the_clock(self, declare):
        """The same limits through a resource, whose clock is moved by hand."""
        resource = declare(jwt=JWT(SECRET), leeway=timedelta(seconds=5), clock_skew=timedelta(seconds=10))
        with ManualClock(START) as clock:
            token = resource.issue("alice", lifetime=timedelta(seconds=60)).token
            clock.advance(timedelta(seconds=65) - MICROSECOND)

            assert "alice" == resource.verify(token).subject
            assert resource.token_revoked(token) is False
            clock.advance(MICROSECOND)
            with pytest.raises(TokenExpired):
                resource.verify(token)
            clock.advance(timedelta(seconds=10))
            assert resource.token_revoked(token) is False
            clock.advance(MICROSECOND)
            assert resource.token_revoked(token) is True

    def test_an_expired_token_can_still_be_revoked(self, declare):
        """The record stays as long as any token may live: a twin of it may live on, and a record that is due would not end that."""
        resource = declare(jwt=JWT(SECRET))
        with ManualClock(START) as clock:
            token = resource.issue("alice", lifetime=timedelta(seconds=60)).token
            clock.advance(hours=5)

            assert clock.now() + timedelta(days=30) == resource.revoke(token).expires_at

    @named("exp", [253_402_300_800, 1e300, 10**400])
    def test_tokens_for_ever(self, declare, exp):
        """Too long a life with keys; without them the record is kept until the end of year 9999."""
        token = signed({"jti": "j", "sub": "alice", "exp": exp})
        keyed, keyless = (
            declare(jwt=JWT("8rT2-vJq0Zp4_xWk6NfYb1HdLs9GmUc3-qAe7RiOt5BnVwXy2KjPzE4hQ6M0gDfS8")),
            declare(keys=False),
        )
        with ManualClock(START):
            with pytest.raises(InvalidToken) as caught:
                keyed.verify(token)

            assert "exp" == caught.value.claim
            assert keyed.token_revoked(token) is True
            assert END == keyless.revoke(token).expires_at
            assert END == keyless.get_token(jti="j").expires_at


class TestWriting:
    """The times of tokens that we issue."""

    def test_whole_seconds_are_written_whole(self):
        """As every reader expects them."""
        made = new_claims(JWT(SECRET), subject="alice", lifetime=timedelta(minutes=5), moment=START)

        assert (NOW, NOW + 300) == (made["iat"], made["exp"])
        assert (int, int) == (type(made["iat"]), type(made["exp"]))

    @given(micros=st.integers(0, 10**6 - 1), life=st.integers(10**6, 10**13), is_longest=st.booleans())
    def test_exp_is_a_whole_number_of_seconds(self, micros, life, is_longest):
        """Verifiers in typed languages refuse fractions: `exp` is rounded up, or down if the life were over the bound; `iat` is rounded down."""
        moment, lifetime = START + micros * MICROSECOND, life * MICROSECOND
        longest = lifetime if is_longest else None
        made = new_claims(JWT(SECRET), subject="a", lifetime=lifetime, moment=moment, longest=longest)
        token, said = sign(JWT(SECRET), made)
        read = read_claims(token)
        longer = read.expires_at - moment - lifetime

        assert (moment.replace(microsecond=0), int, int) == (read.issued_at, type(made["iat"]), type(made["exp"]))
        assert -timedelta(seconds=2) < longer <= timedelta(0) if is_longest else timedelta(0) <= longer < timedelta(seconds=1)
        assert dict(read) == dict(said)

    def test_a_token_of_the_longest_life_verifies_at_every_fraction_of_a_second(self, declare):
        """Rounding makes no token longer than ``max_lifetime``."""
        resource = declare(jwt=JWT(SECRET), max_lifetime=timedelta(hours=1))
        for micros in (0, 1, 499_999, 999_999):
            with ManualClock(START + micros * MICROSECOND):
                issued = resource.issue("alice", lifetime=timedelta(hours=1))

                assert "alice" == resource.verify(issued.token).subject
                assert int is type(issued.claims["exp"])

    def test_a_session_begun_right_after_a_logout_lives(self, declare):
        """The generation orders events within a second, although `iat` counts whole seconds."""
        resource = declare(jwt=JWT(SECRET))
        with ManualClock(START + MICROSECOND) as clock:
            before = resource.issue("alice").token
            clock.advance(MICROSECOND)
            resource.log_out_everywhere("alice")
            after = resource.issue("alice").token

            assert (True, False) == (resource.token_revoked(before), resource.token_revoked(after))
            assert "alice" == resource.verify(after).subject

    @named("moment", [END - timedelta(days=1), datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)])
    def test_issued_at_the_end_of_time(self, moment):
        """The lifetime reaches beyond year 9999; the token is read back as lasting until its end."""
        token, _ = sign(JWT(SECRET), new_claims(JWT(SECRET), subject="a", lifetime=timedelta(days=9), moment=moment))

        assert END == read_claims(token).expires_at

    @named("lifetime", [timedelta(seconds=1) - MICROSECOND, timedelta(0), -MICROSECOND, timedelta.min])
    def test_no_lifetime_to_speak_of(self, declare, lifetime):
        """A token that is expired when it is made is a mistake."""
        with pytest.raises(ValueError, match="lifetime: must be at least one second"):
            declare().issue("alice", lifetime=lifetime)

    @named("lifetime", [60, 60.0, "60", True])
    def test_a_lifetime_is_a_timedelta(self, declare, lifetime):
        """A bare number would leave its unit to be guessed."""
        with pytest.raises(ValueError, match="lifetime: must be a timedelta"):
            declare().issue("alice", lifetime=lifetime)

    def test_claims_at_their_start(self):
        """The corpus of tests begins with good times."""
        check_times(read_claims(signed(claims())), START)
