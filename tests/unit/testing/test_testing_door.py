"""The testing API can be imported without the packages that only the conformance suite needs."""

from __future__ import annotations

import subprocess
import sys

import pytest

import resourcekit.testing


def run(code: str) -> subprocess.CompletedProcess[str]:
    """Run Python code in a process of its own."""
    return subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=60)


def test_the_door_has_exactly_five_names() -> None:
    """``dir`` and ``__all__`` list the same five names, sorted."""
    assert ["DataLayerSuite", "FleetSuite", "ManualClock", "declaration_errors", "in_memory"] == resourcekit.testing.__all__
    assert resourcekit.testing.__all__ == dir(resourcekit.testing)


def test_all_but_the_laws_work_without_pytest_and_hypothesis() -> None:
    """The clock, the errors and the memory block need no package of the extra ``testing``."""
    done = run(
        "import sys; sys.modules['pytest'] = sys.modules['hypothesis'] = None\n"
        "from resourcekit.testing import ManualClock, declaration_errors, in_memory\n"
        "with ManualClock() as clock: clock.advance(hours=13)\n"
        "print('opened')"
    )

    assert ("opened\n", "") == (done.stdout, done.stderr)


def test_the_laws_say_what_to_install() -> None:
    """Without pytest the conformance suite names the package that is missing, and the command."""
    done = run("import sys; sys.modules['pytest'] = None\nfrom resourcekit.testing import DataLayerSuite")

    assert "DataLayerSuite needs pytest; install it with: pip install 'resourcekit[testing]'" in done.stderr


def test_an_unknown_name_is_an_attribute_error() -> None:
    """A name that the testing API does not have is refused as a module refuses it."""
    with pytest.raises(AttributeError, match="has no attribute 'in_memori'"):
        _ = resourcekit.testing.in_memori


def test_importing_the_door_loads_nothing() -> None:
    """``import resourcekit.testing`` loads no other module of the distribution."""
    done = run("import sys, resourcekit.testing\nprint(sorted(name for name in sys.modules if name.startswith('resourcekit')))")

    assert "['resourcekit', 'resourcekit.testing']\n" == done.stdout
