from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("sqlalchemy", "aiosqlite", "jwt", "cryptography", "redis", "click", "rich", "pluggy", "pytest", "hypothesis")


def loaded_by(code: str) -> set[str]:
    """Return which of the heavy packages a fresh Python has loaded after some code."""
    report = f"{code}\nimport sys\nprint(*(name for name in {HEAVY!r} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-W", "error", "-c", report], check=True, capture_output=True, text=True)
    return set(done.stdout.split())


def test_importing_resourcekit_loads_no_other_package():
    """``import resourcekit`` costs nothing that the program may not need."""
    assert set() == loaded_by("import resourcekit")


@pytest.mark.parametrize("name", ["Memory", "__all__"])
def test_the_api_of_data_layers_loads_no_driver_unasked(name):
    """SQLAlchemy is loaded by use of SQL, and by nothing else."""
    assert not {"sqlalchemy", "aiosqlite", "redis"} & loaded_by(f"from resourcekit.data_layers import {name}")


def test_naming_sql_loads_sqlalchemy():
    """The probe sees a package that is loaded, so the other tests here can fail."""
    assert "sqlalchemy" in loaded_by("from resourcekit.data_layers import SQL")


def test_a_token_resource_without_keys_on_memory_loads_neither_sqlalchemy_nor_pyjwt():
    """Who keeps revocations in memory, and lets others sign, pays for neither a database nor cryptography."""
    code = """
from resourcekit import Resource
from resourcekit.data_layers import Memory
from resourcekit_tokens import TokenResource

class Token(Resource, data_layer=Memory(), extensions=[TokenResource]):
    "Revoked tokens."

Token.revoke_jti("abc")
assert Token.jti_revoked("abc")
"""

    assert not {"sqlalchemy", "jwt", "cryptography", "click", "rich", "redis"} & loaded_by(code)


def test_a_clock_moved_by_hand_needs_neither_pytest_nor_hypothesis():
    """A program that was installed without the extra ``testing`` can still move the clock in its own tests."""
    code = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("pytest", "hypothesis"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
from datetime import UTC, datetime
from resourcekit import utc_now
from resourcekit.testing import ManualClock

with ManualClock(datetime(2030, 1, 1, tzinfo=UTC)) as clock:
    clock.advance(hours=13)
    assert datetime(2030, 1, 1, 13, tzinfo=UTC) == utc_now()

try:
    from resourcekit.testing import DataLayerSuite
except ImportError as error:
    assert "pip install 'resourcekit[testing]'" in str(error), error
else:
    raise AssertionError("the conformance suite was loaded without pytest")
"""

    assert set() == loaded_by(code) & {"pytest", "hypothesis"}
