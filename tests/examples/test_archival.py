"""The third-party extension, installed, found by its entry point, and used by an application that never imports it."""

from __future__ import annotations

import ast
import shutil
from pathlib import Path

import pytest

from resourcekit.testing import declaration_errors

pytestmark = pytest.mark.slow

FOLDER = Path(__file__).parents[2] / "examples" / "archival"

APPLICATION = """
    import sys
    from resourcekit import Attr, Domain, Resource, attribute, create, destroy, query
    from resourcekit.data_layers import SQL

    notes = Domain("notes")

    class Note(Resource, domain=notes, data_layer=SQL("sqlite:///notes.db"), extensions=["archival"]):
        id: Attr[int] = attribute(primary_key=True)
        write = create(accept=["id"])
        remove = destroy()

    notes.create_storage()
    Note.write(id=1)
    Note.remove(1)
    print(query(Note).count(), [note.id for note in Note.archived()], Note.unarchive(1).archived_at)
"""


def test_an_application_names_it_and_imports_nothing(install, run) -> None:
    """``extensions=["archival"]`` is found through the entry point only."""
    done = run(APPLICATION, installed=install("archival"))

    assert ("0 [1] None\n", "") == (done.stdout, done.stderr)


def test_without_the_package_the_name_means_nothing(run) -> None:
    """The same application without the installed package gets an error that explains how to see what is installed."""
    done = run(APPLICATION)

    assert "RK007" in done.stderr
    assert "resourcekit plugins" in done.stderr


def test_its_own_tests_pass_against_what_was_installed(install, run, tmp_path) -> None:
    """The package's tests, run away from its sources, pass on Memory and SQLite."""
    shutil.copytree(FOLDER / "tests", tmp_path / "tests")
    settings = ["-q", "-W", "error", "-p", "no:cacheprovider", "--rootdir", str(tmp_path)]
    done = run("-m", "pytest", *settings, str(tmp_path / "tests"), installed=install("archival"))

    assert "32 passed" in done.stdout, done.stdout + done.stderr


def test_the_command_lists_it(install, run) -> None:
    """``resourcekit plugins`` names the package, its version and what it brings."""
    done = run("-m", "resourcekit", "plugins", installed=install("archival"))

    assert 0 == done.returncode, done.stderr
    assert all(word in done.stdout for word in ("archival", "resourcekit-archival", "0.1.0")), done.stdout


def test_explain_tells_what_it_added(install, run, tmp_path) -> None:
    """``resourcekit explain`` shows which attribute and which actions come from the extension."""
    tmp_path.joinpath("app.py").write_text("\n".join(line[4:] for line in APPLICATION.splitlines()))
    done = run("-m", "resourcekit", "explain", "app:Note", installed=install("archival"))

    assert 0 == done.returncode, done.stderr
    assert any("archived_at" in line and "Archival" in line for line in done.stdout.splitlines()), done.stdout


def test_it_comes_in_by_the_doors() -> None:
    """Its sources import the public API and the extension API, and no other module of resourcekit."""
    imported = {
        node.module
        for file in sorted((FOLDER / "resourcekit_archival").glob("*.py"))
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "resourcekit"
    }

    assert {"resourcekit", "resourcekit.extending"} == imported


def test_this_run_does_not_know_it() -> None:
    """The name is unknown here: the tests above see the package only because they install it."""
    from resourcekit import Attr, Domain, Resource, attribute

    with declaration_errors() as errors:

        class Note(Resource, domain=Domain("not installed"), extensions=["archival"]):
            id: Attr[int] = attribute(primary_key=True)

    assert ["RK007"] == [error.code for error in errors]
