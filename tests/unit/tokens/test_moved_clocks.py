"""Sweeps on a host whose wall clock was moved between two processes."""

from __future__ import annotations

import sys
from datetime import timedelta
from types import ModuleType

import pytest
from click.testing import CliRunner

from resourcekit import Domain
from resourcekit.data_layers import SQL
from resourcekit.doctor import doctor
from resourcekit.errors import UnsafeStore
from resourcekit.extending import drive
from resourcekit_tokens import JWT, TokenRecord, TokenResource
from resourcekit_tokens.clocks import name_of_boot, time_of_boot
from resourcekit_tokens.commands.token import expunge
from resourcekit_tokens.tokens import tokens_of

SECRET = "tQ3-zXv8WmLk2RyH6nPbJ4dFsG9cUeA7iOx5TqYw1KfVgB0hZjN"

pytestmark = pytest.mark.skipif(name_of_boot() is None, reason="this system does not name its boots")

_ANY = timedelta(days=-36_500)


@pytest.fixture
def token(tmp_path):
    """A token resource on SQLite, which has no clock of its own."""
    domain = Domain("moved")

    class Token(
        TokenRecord,
        domain=domain,
        data_layer=SQL(f"sqlite:///{tmp_path}/moved.db", table="t"),
        extensions=[TokenResource(jwt=JWT(SECRET))],
    ):
        """Tokens."""

    domain.create_storage()
    return Token


def recorded(token):
    """Return what is recorded for this boot."""
    return drive(tokens_of(token).store.recorded_setting(name_of_boot()))


def move(token, seconds):
    """Leave what a process before the move has recorded: its wall clock was this much behind."""
    store = tokens_of(token).store
    return drive(store.record_setting(name_of_boot(), time_of_boot() - round(seconds * 1000), lowered_after=_ANY))


def found(token):
    """Return the ids of what doctor finds."""
    return [finding.id for finding in doctor(token)]


class TestMovedClocks:
    def test_the_first_sweep_after_a_boot_records_its_clock(self, token):
        """A dry run records nothing, and no later sweep moves what was recorded."""
        token.expunge_expired(dry_run=True)
        before = recorded(token)
        token.expunge_expired()
        first = recorded(token)
        move(token, 30)
        kept = recorded(token)
        token.expunge_expired()

        assert before is None
        assert abs(first - time_of_boot()) < 1000
        assert kept == recorded(token)

    @pytest.mark.parametrize("seconds", [90, -90])
    def test_a_sweep_refuses_a_moved_clock(self, token, seconds):
        """A one-shot sweep began after the move, so its own process cannot tell; the store can."""
        token.expunge_expired()
        move(token, seconds)

        for dry_run in (False, True):
            with pytest.raises(UnsafeStore, match=r"RK236: this system's clock was moved by (89|90|91) s .*--accept-clock"):
                token.expunge_expired(dry_run=dry_run)
        assert ["RK236"] == found(token)

    @pytest.mark.parametrize("seconds", [90, -90])
    def test_an_accepted_clock_is_recorded(self, token, seconds):
        """It is accepted once, in either direction, and then compared with; a dry run accepts it for itself alone."""
        token.expunge_expired()
        move(token, seconds)
        token.expunge_expired(dry_run=True, accept_clock=True)
        with pytest.raises(UnsafeStore):
            token.expunge_expired()
        token.expunge_expired(accept_clock=True)
        token.expunge_expired()

        assert abs(recorded(token) - time_of_boot()) < 1000
        assert [] == found(token)

    def test_a_clock_moved_within_the_skew_is_trusted(self, token):
        """The margin of the records allows for it."""
        move(token, 30)
        token.expunge_expired()

        assert [] == found(token)

    def test_accepting_does_not_hide_other_distances(self, token):
        """Only what happened before the process began can be accepted."""

        class Apart(type(tokens_of(token).store)):
            async def now(self):
                return await super().now() + timedelta(hours=1)

        tokens_of(token).store.__class__ = Apart
        with pytest.raises(UnsafeStore, match="the store's clock and this system's disagree"):
            token.expunge_expired(accept_clock=True)

    def test_the_command_accepts(self, token, monkeypatch):
        """It fails with the option's name, and goes on once the option is given."""
        module = ModuleType("moved_app")
        module.Token = token
        monkeypatch.setitem(sys.modules, "moved_app", module)
        move(token, 3600)
        runs = [CliRunner().invoke(expunge, ["moved_app:Token", *more]) for more in ([], ["--accept-clock"], [])]

        assert [1, 0, 0] == [run.exit_code for run in runs]
        assert "--accept-clock" in " ".join(runs[0].stderr.split())
