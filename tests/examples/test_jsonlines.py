"""The third-party data layer, installed and named by its scheme; it passes the conformance suite."""

from __future__ import annotations

import ast
import re
import shutil
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

FOLDER = Path(__file__).parents[2] / "examples" / "jsonlines"

APPLICATION = """
    from resourcekit import Attr, Domain, Resource, attribute, create, query

    notes = Domain("notes")

    class Note(Resource, domain=notes, data_layer="jsonlines:records"):
        id: Attr[int] = attribute(primary_key=True)
        write = create(accept=["id"])

    notes.create_storage()
    Note.write(id=1)
    print(query(Note).count())
"""


def test_an_application_names_its_scheme_and_imports_nothing(install, run, tmp_path) -> None:
    """``data_layer="jsonlines:records"`` is found through the entry point only."""
    done = run(APPLICATION, installed=install("jsonlines"))

    assert ("1\n", "") == (done.stdout, done.stderr)
    assert '{"id": 1}\n' == tmp_path.joinpath("records", "Note.jsonl").read_text()


def test_without_the_package_the_scheme_means_nothing(run) -> None:
    """The same application without the package gets the error that no plugin serves the scheme."""
    done = run(APPLICATION)

    assert "RK008" in done.stderr
    assert "'jsonlines'" in done.stderr


def prove(install, run, tmp_path, *options: str) -> list[str]:
    """Run the package's tests, the conformance suite among them, away from its sources; return what pytest prints."""
    shutil.copytree(FOLDER / "tests", tmp_path / "tests")
    settings = ["-q", "-W", "error", "-p", "no:cacheprovider", "--rootdir", str(tmp_path)]
    done = run("-m", "pytest", *settings, *options, str(tmp_path / "tests"), installed=install("jsonlines"))

    assert 0 == done.returncode, done.stdout + done.stderr
    return done.stdout.splitlines()


def excused(printed: list[str]) -> list[str]:
    """Return the capabilities for whose lack tests were skipped."""
    _, *listed = printed[next(number for number, line in enumerate(printed) if "missing capability" in line) :]
    return [line.partition(": ")[0] for line in listed if re.fullmatch(r"[a-z ]+: \d+", line)]


@pytest.mark.slow
def test_the_laws_hold_for_what_was_installed(install, run, tmp_path) -> None:
    """All tests pass in sync calls, and the layer's own tests in sync and async calls; the tests it is excused from are listed."""
    printed = prove(install, run, tmp_path, "-k", "not async")

    assert int(printed[-1].split()[0]) > 190
    assert ["connections that can be cut", "leases", "savepoints", "transactions"] == excused(printed)


@pytest.mark.slow
def test_the_laws_hold_in_async_calls_too(install, run, tmp_path) -> None:
    """All tests pass in a loop, where each statement runs in a worker thread."""
    printed = prove(install, run, tmp_path, "-k", "async")

    assert int(printed[-1].split()[0]) > 170
    assert ["connections that can be cut", "leases", "savepoints", "transactions"] == excused(printed)


def test_it_is_small_and_comes_in_by_the_doors() -> None:
    """At most 300 lines, which import the public API, the extension API and the errors."""
    files = sorted((FOLDER / "resourcekit_jsonlines").glob("*.py"))
    imported = {
        node.module
        for file in files
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "resourcekit"
    }

    assert sum(len(file.read_text().splitlines()) for file in files) <= 300
    assert {"resourcekit.extending", "resourcekit.errors"} == imported
