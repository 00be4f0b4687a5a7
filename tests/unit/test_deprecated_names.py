from __future__ import annotations

import importlib
import sys
from datetime import timedelta

import pytest

from resourcekit import clock, testing


def test_the_former_name_of_the_clock_is_the_clock():
    """`resourcekit.flow.clock` warns, and is the module `resourcekit.clock`, so that a patch of it takes effect."""
    sys.modules.pop("resourcekit.flow.clock", None)

    with pytest.warns(DeprecationWarning, match=r"resourcekit\.clock"):
        former = importlib.import_module("resourcekit.flow.clock")

    assert clock is former
    assert clock is sys.modules["resourcekit.flow"].clock


@pytest.mark.parametrize(("former", "name"), [("DataLayerLaws", "DataLayerSuite"), ("FleetLaws", "FleetSuite")])
def test_the_former_names_of_the_suites_are_the_suites(former, name):
    """The former name warns, and gives the class that has the new one."""
    with pytest.warns(DeprecationWarning, match=name):
        suite = getattr(testing, former)

    assert getattr(testing, name) is suite


def test_the_former_name_of_the_time_limit_is_accepted():
    """A test class that sets `law_timeout` warns, and has that time limit."""
    with pytest.warns(DeprecationWarning, match="time_limit"):
        suite = type("Suite", (testing.DataLayerSuite,), {"law_timeout": timedelta(seconds=7)})

    assert timedelta(seconds=7) == suite.time_limit
