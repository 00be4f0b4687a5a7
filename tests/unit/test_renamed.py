"""Public names that were renamed: the former ones warn, and do what they did."""

import pytest

from resourcekit import errors
from resourcekit.supervisor import Supervisor
from resourcekit_tokens import JWT

SECRET = "b6jCk0fVZ1cQ9uYxL3mWd7RtHs2NpEaG8iToK5yvX4zQ"


def test_the_former_name_of_an_error_warns():
    """An except clause that names WrongColour catches MixedCallMode, with a warning."""
    with pytest.warns(DeprecationWarning, match="WrongColour is now called MixedCallMode"):
        former = errors.WrongColour

    assert errors.MixedCallMode is former


def test_an_unknown_name_is_no_error_class():
    """Other names are unknown as in any module."""
    with pytest.raises(AttributeError, match="no attribute 'Nonsense'"):
        _ = errors.Nonsense


def test_the_former_option_of_the_supervisor_warns(declare):
    """checkup=False leaves the check at the start out, with a warning that names the line of the program."""
    with pytest.warns(DeprecationWarning, match="checkup is now called startup_check") as warned:
        supervisor = Supervisor(declare(jwt=JWT(SECRET)), checkup=False)

    assert supervisor.state == "stopped"
    assert __file__ == warned[0].filename
