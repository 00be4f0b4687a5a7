"""Private names of drivers: each is listed with its reason, checked against the installed driver, and capped in pyproject.toml."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import attrs
import pytest

from resourcekit.data_layers import driver_names
from resourcekit.data_layers.driver_names import DRIVERS, require_names
from resourcekit.errors import DeclarationError

ROOT = Path(__file__).parents[2]
OWN = {"_chains", "_foreign_keys", "_layout", "_reader", "_is_owned", "_note", "_table"}
"""Private names of resourcekit itself, and of the standard library, that another object of the same class or module uses."""
WRITTEN = {"_current_timeout"}
"""Names of newer versions that are only written: without them, the assignment has no effect."""


@pytest.mark.parametrize("driver", DRIVERS)
def test_the_installed_driver_has_the_names(driver):
    """The installed version of each driver passes the check that runs at the first use of the driver."""
    require_names(driver)


def test_a_missing_name_is_an_error_that_names_the_versions(monkeypatch):
    """A version without a name is refused with RK104, the name, and the command that installs another version."""
    changed = attrs.evolve(DRIVERS["aiosqlite"], names={"_conn": "there", "_gone": "not there"})
    monkeypatch.setitem(driver_names.DRIVERS, "changed", changed)

    with pytest.raises(DeclarationError, match=r"lacks what resourcekit needs: Connection\._gone") as caught:
        require_names("changed")

    assert "RK104" == caught.value.code
    assert "pip install 'changed>=0.22,<0.23'" in str(caught.value)


def test_each_private_name_in_the_source_is_listed():
    """A data layer uses no private name of another object that the list does not have."""
    used = set()
    for path in (ROOT / "resourcekit" / "data_layers").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        whole = "# ruff: noqa: SLF001" in text
        for line in text.splitlines():
            if whole or "SLF001" in line:
                used |= set(re.findall(r"(?<!self)(?<!cls)\.(_[a-z]\w*)", line.partition("#")[0]))

    assert set() == used - OWN - WRITTEN - {name for driver in DRIVERS.values() for name in driver.names}


def test_the_versions_are_those_of_the_project():
    """pyproject.toml allows exactly the versions whose private names are known."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    required = {*project["dependencies"], *extras["mysql"], *extras["postgresql"], *extras["redis"]}
    found = {re.split(r"[\[<>=]", each)[0]: re.sub(r"^[a-z-]+(\[.*\])?", "", each) for each in required}

    assert {name: driver.versions for name, driver in DRIVERS.items()} == {
        name: found[name.partition(".")[0]] for name in DRIVERS
    }
