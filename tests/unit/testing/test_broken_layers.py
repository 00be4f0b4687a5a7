"""The conformance suite fails layers that lose data, and ends with a name what hangs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]

TELLING = {
    "MemoryOnly": ["what_was_written_is_there_after_a_restart", "a_second_store_sees_each_write_at_once"],
    "ProcessMemory": ["a_second_process_sees_each_write_at_once", "what_a_killed_process_acknowledged_is_there"],
    "ReadsOnce": ["a_second_store_sees_each_write_at_once", "a_write_keeps_what_a_second_process_wrote"],
    "OneBehind": ["what_was_written_is_there_after_a_restart", "what_was_changed_is_so_after_a_restart"],
    "InPlace": ["a_process_that_dies_within_a_write_leaves_it_whole_or_not_at_all"],
    "RowByRow": ["a_write_that_a_kill_cut_off_is_there_whole_or_not_at_all"],
    "LocksThreadsOnly": ["no_write_of_any_process_is_lost"],
    "WritesLater": ["what_a_killed_process_acknowledged_is_there"],
}
"""For each broken layer, the tests that say what is wrong with it."""

TESTS = sorted({test for tests in TELLING.values() for test in tests})


def run_suite(
    folder: Path, layers: dict[str, str], *options: str, tests: str = "DataLayerSuite"
) -> tuple[dict[str, set[str]], str]:
    """Run the suite over layers in another process; return the failed tests of each class, and the output."""
    classes = [
        f"class Test{name}({tests}):\n    time_limit = timedelta(seconds={seconds})\n\n"
        f"    def make_data_layer(self, tmp_path):\n        return broken_layers.{layer}(tmp_path)\n"
        for name, (layer, seconds) in ((name, layer.split(" ")) for name, layer in layers.items())
    ]
    head = (
        "from datetime import timedelta\nfrom resourcekit.testing import DataLayerSuite\nfrom resourcekit.testing.conformance.crashes import ProcessSuite\n"
        "from resourcekit.testing.conformance.settings import SettingSuite\nfrom tests.support import broken_layers\n"
    )
    folder.joinpath("test_suite.py").write_text("\n\n".join([head, *classes]))
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "-rf", "--rootdir", str(folder), *options]
    settings = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "examples" / "jsonlines")]), "COLUMNS": "400"}
    done = subprocess.run(command, cwd=folder, env=settings, check=False, capture_output=True, text=True, timeout=300)
    failed: dict[str, set[str]] = {name: set() for name in layers}
    for name, test in re.findall(r"^FAILED test_suite\.py::Test(\w+)::test_(\w+)", done.stdout, re.MULTILINE):
        failed[name].add(test)
    return failed, done.stdout + done.stderr


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, set[str]], str]:
    """The tests that each layer failed, of its telling ones; of the layer that is whole, of all of those."""
    layers = {name: f"broken_layers.BROKEN[{name!r}] 60".removeprefix("broken_layers.") for name in TELLING} | {
        "Whole": "Whole 60"
    }
    picked = " or ".join(
        [f"(Test{name} and ({' or '.join(tests)}))" for name, tests in TELLING.items()]
        + [f"(TestWhole and ({' or '.join(TESTS)}))"]
    )
    return run_suite(tmp_path_factory.mktemp("suite"), layers, "-k", f"not async and ({picked})")


@pytest.mark.parametrize("name", TELLING)
def test_a_layer_that_loses_data_fails(name: str, failed: tuple[dict[str, set[str]], str]) -> None:
    """Each broken layer fails the tests that name what it loses."""
    assert set(TELLING[name]) == failed[0][name], failed[1]


def test_the_layer_without_the_fault_passes(failed: tuple[dict[str, set[str]], str]) -> None:
    """The same tests pass on the layer from which the broken ones are made."""
    assert set() == failed[0]["Whole"], failed[1]
    assert f"{len(TESTS)} passed" in failed[1]


FORGETTING = {
    "Forgets": {
        "what_was_recorded",
        "names_of",
        "raised_at_once",
        "largest_stays",
        "outlive_rows",
        "both_stores",
        "restart",
        "processes",
    },
    "OfOneStore": {"both_stores", "restart", "processes"},
    "OfOneProcess": {"processes"},
    "LoweredAtOnce": {"raised_at_once", "both_stores"},
    "Remembers": set(),
}
"""For each layer, words of the tests that name what it does with settings."""


def test_a_layer_that_forgets_settings_fails(tmp_path: Path) -> None:
    """Each forgetful layer fails the tests of settings that name what it forgets; the layer that keeps them passes."""
    layers = {name: f"FORGETFUL[{name!r}] 60" for name in FORGETTING}
    failed, output = run_suite(tmp_path, layers, "-k", "not async and setting", tests="SettingSuite, ProcessSuite")
    missed = {
        name: {word for word in words if not any(word in test for test in failed[name])} for name, words in FORGETTING.items()
    }

    assert {name: set() for name in FORGETTING} == missed, output
    assert (set(), 1) == (failed["Remembers"], len(failed["OfOneProcess"])), output


def test_a_law_that_hangs_ends_with_its_name(tmp_path: Path) -> None:
    """In a lock, in a thread and in an await: the test fails with its name and the line that waits, and the run ends."""
    test = "test_of_two_writers_on_one_key_one_wins"
    layers = {"Lock": "WaitsForever 1", "Await": "AwaitsForever 1"}
    failed, output = run_suite(tmp_path, layers, "-k", f"{test} and (TestLock or async)")

    assert {"Lock": {test.removeprefix("test_")}, "Await": {test.removeprefix("test_")}} == failed, output
    for mode in ("sync", "async"):
        assert f"{test}[{mode}] hangs: it has not ended after 0:00:01" in output
    assert 3 == output.count("hangs: it has not ended") - output.count("FAILED test_suite.py"), output
    assert "lock.acquire()  # hangs here" in output
    assert "await asyncio.Event().wait()" in output
