"""The pytest plugin, as another project sees it."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from textwrap import dedent

import pytest

from resourcekit import Attr, Domain, Resource, attribute, create, query
from resourcekit.data_layers import SQL

pytestmark = pytest.mark.slow

NOTE = """
    from resourcekit import Attr, Domain, Resource, attribute, create, env
    from resourcekit.data_layers import SQL

    notes = Domain("notes")

    class Note(Resource, domain=notes, data_layer=SQL(env("NOTES_URL"))):
        id: Attr[int] = attribute(primary_key=True)
        write = create(accept=["id"])
"""


def run_pytest(folder: Path, *options: str, autoload: bool = True, **files: str) -> subprocess.CompletedProcess[str]:
    """Run pytest over files in a folder without this project's settings."""
    for name, text in files.items():
        folder.joinpath(f"{name}.py").write_text(dedent(text))
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-W", "error", "--rootdir", str(folder), *options]
    settings = os.environ if autoload else {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    return subprocess.run(command, cwd=folder, env=settings, check=False, capture_output=True, text=True, timeout=120)


def test_pytest_finds_the_plugin_by_itself() -> None:
    """The plugin is announced, under the name of its module, so that naming it a second time is no conflict."""
    announced = {entry.name: entry.value for entry in entry_points(group="pytest11")}

    assert "resourcekit.testing.plugin" == announced["resourcekit.testing.plugin"]


def test_the_fixture_moves_a_domain_for_one_test(tmp_path: Path) -> None:
    """Each test that asks for the fixture begins empty; a setting that is missing is not read."""
    done = run_pytest(
        tmp_path,
        "-v",
        app=NOTE,
        test_notes="""
            import pytest
            from resourcekit import query
            from app import Note, notes

            @pytest.mark.parametrize("id", [1, 2])
            def test_write(in_memory, id):
                in_memory(notes)
                Note.write(id=id)
                assert [id] == [note.id for note in query(Note).all()]

            def test_as_a_block(in_memory):
                with in_memory(notes):
                    Note.write(id=1)
                assert 0 == query(Note).count()

            def test_afterwards():
                with pytest.raises(Exception, match="RK020"):
                    query(Note).count()
        """,
    )

    assert "4 passed" in done.stdout, done.stdout + done.stderr


def test_naming_the_plugin_again_is_no_conflict(tmp_path: Path) -> None:
    """``pytest_plugins`` and ``-p`` may name what is loaded already."""
    conftest = 'pytest_plugins = ["resourcekit.testing.plugin"]'
    done = run_pytest(
        tmp_path, "-p", "resourcekit.testing.plugin", conftest=conftest, test_one="def test_one(in_memory): assert in_memory"
    )

    assert "1 passed" in done.stdout, done.stdout + done.stderr


def test_the_plugin_loads_no_other_room(tmp_path: Path) -> None:
    """A start of pytest that needs nothing of resourcekit loads two of its modules and the plugin, and nothing else."""
    done = run_pytest(
        tmp_path,
        test_rooms="""
            import sys

            def test_rooms():
                loaded = sorted(name for name in sys.modules if name.split(".")[0].startswith("resourcekit"))
                assert ["resourcekit", "resourcekit.testing", "resourcekit.testing.plugin"] == loaded
        """,
    )

    assert "1 passed" in done.stdout, done.stdout + done.stderr


def test_a_failing_law_shows_both_sides(tmp_path: Path) -> None:
    """Asserts of the conformance suite are explained as those of a test file are; skipped tests are listed by capability."""
    done = run_pytest(
        tmp_path,
        "-k",
        "test_rows_are_returned_where_asked_for_only or (test_a_lease_has_one_holder and not over)",
        *("-p", "resourcekit.testing.plugin"),
        autoload=False,  # else pytest rewrites the asserts of the whole package, because it announces a plugin
        test_suite="""
            from resourcekit.data_layers import Memory
            from resourcekit.extending import Capability, DataLayer, WriteResult
            from resourcekit.testing import DataLayerSuite

            class Flawed(DataLayer):
                def bind(self, info):
                    store = Memory().bind(info)
                    insert = store.insert

                    async def too_many(plan, rows, params):
                        result = await insert(plan, rows, params)
                        return WriteResult(result.count + 1, result.rows, result.outcomes, result.failures)

                    store.insert = too_many
                    store.capabilities = store.capabilities - {Capability.LEASE}
                    return store

            class TestFlawed(DataLayerSuite):
                def make_data_layer(self, tmp_path):
                    return Flawed()
        """,
    )

    assert "At index 0 diff: 1 != 2" in done.stdout, done.stdout + done.stderr
    assert "leases: 2\n" in done.stdout


@pytest.fixture
def note(tmp_path: Path) -> type[Resource]:
    """A resource on SQLite."""
    domain = Domain("plugin")

    class Note(Resource, domain=domain, data_layer=SQL(f"sqlite:///{tmp_path}/plugin.db")):
        id: Attr[int] = attribute(primary_key=True)
        write = create(accept=["id"])

    domain.create_storage()
    Note.write(id=1)
    return Note


def test_the_fixture_in_this_run(note, in_memory) -> None:
    """A fixture that stored records first is not seen in the block, nor changed by it."""
    with in_memory(note):
        note.write(id=2)
        inside = [record.id for record in query(note).all()]

    assert [2] == inside
