"""``resourcekit doctor`` and ``resourcekit plugins``: text, JSON and exit codes."""

from __future__ import annotations

import json
import subprocess
import sys

import click
import pytest

from resourcekit import plugins as plugin_room
from resourcekit.data_layers import Memory
from resourcekit.data_layers.memory.store import MemoryStore
from resourcekit.plugins import Plugin


def test_doctor_prints_each_finding_with_its_cure(run):
    """What, why and cure on lines of their own, then how many there are; exit code 1."""
    result = run("doctor", "helpdesk_app")

    assert 1 == result.exit_code
    assert result.output.startswith("warning RK150 helpdesk_app.Ticket\n  what: ")
    assert "\n  cure: Keep them in a database" in result.output
    assert result.output.endswith("\n1 warning\n")


def test_doctor_json_is_a_list(run):
    """``--json`` has the same findings and the same exit code."""
    result = run("doctor", "helpdesk_app", "--json")
    (finding,) = json.loads(result.stdout)

    assert 1 == result.exit_code
    assert {"id", "level", "resource", "path", "what", "why", "cure", "origin"} == finding.keys()


def test_doctor_is_content_with_a_sound_resource(run, monkeypatch):
    """Nothing found is exit code 0, and an empty list."""
    monkeypatch.setattr(MemoryStore, "health", _nothing)

    assert ("Nothing found.\n", 0) == ((result := run("doctor", "helpdesk_app")).output, result.exit_code)
    assert [] == json.loads(run("doctor", "helpdesk_app", "--json").stdout)


async def _nothing(store: MemoryStore) -> list[object]:
    return []


@pytest.fixture
def installed(folder, monkeypatch):
    """Two plugins: a good one with commands, and a broken one."""

    @click.command()
    def greet() -> None:
        click.echo("hello")

    @click.command("explain")
    def other_explain() -> None:
        click.echo("not the core's")

    good = Plugin(name="good", package="pack", version="1.0", data_layers={"ram": Memory}, commands=(greet, other_explain))
    found = [good, Plugin(name="bad", package="pack", version="1.0", error="ImportError: no")]
    monkeypatch.setattr(plugin_room, "_found", [tuple(found)])
    return found


def test_plugins_lists_what_each_brings(run, installed):
    """A broken one is named with its error, and makes exit code 1."""
    result = run("plugins")
    lines = {" ".join(line.split()) for line in result.output.splitlines()}

    assert 1 == result.exit_code
    assert {"good pack 1.0 data layers: ram; commands: greet, explain", "bad pack 1.0 BROKEN: ImportError: no"} <= lines


def test_plugins_in_json(run, installed):
    """``--json`` prints the same findings."""
    good, bad = json.loads(run("plugins", "--json").stdout)

    assert (["ram"], "", "ImportError: no") == (good["data_layers"], good["error"], bad["error"])


def test_no_plugin_is_said(run):
    """Without plugins the command says so; exit code 0."""
    assert ("No plugin is installed.\n", 0) == ((result := run("plugins")).output, result.exit_code)


def test_a_plugins_command_is_one_of_ours(run, installed):
    """It is listed and run; under the name of a core command, the core's own wins."""
    assert "greet" in run("--help").output
    assert "hello\n" == run("greet").output
    assert "not the core's" not in run("explain", "helpdesk_app").output


BLOCKING = """
{framework}
from resourcekit import Attr, Domain, Resource, attribute
from resourcekit.data_layers import Memory
from resourcekit.data_layers.memory.store import MemoryStore

class Store(MemoryStore):
    place = "somewhere else"
    async def health(self):
        return ()

class Layer(Memory):
    def bind(self, info):
        return Store(info)

shop = Domain("shop")

class Order(Resource, domain=shop, data_layer=Layer()):
    id: Attr[int] = attribute(primary_key=True)
"""


@pytest.mark.parametrize(("framework", "found"), [("", "Nothing found."), ("import starlette", "warning RK082 shop_app.Order")])
def test_a_program_is_looked_at_in_its_own_call_mode(tmp_path, framework, found):
    """What answers requests in a loop uses async drivers, and a layer that has none holds it up."""
    (tmp_path / "shop_app.py").write_text(BLOCKING.format(framework=framework))
    command = [sys.executable, "-m", "resourcekit", "doctor", "shop_app"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)

    assert ("", int(bool(framework))) == (done.stderr, done.returncode)
    assert done.stdout.startswith(found)


@pytest.mark.parametrize("options", [(), ("--data",)])
def test_doctor_makes_no_file(run, folder, options):
    """A file of SQLite that does not exist is a finding with its path from this folder, and does not exist afterwards."""
    (folder / f"absent_app{len(options)}.py").write_text(ABSENT.format(folder), encoding="utf-8")

    result = run("doctor", f"absent_app{len(options)}", *options)

    assert 1 == result.exit_code
    assert "the file none.db does not exist" in result.output
    assert not (folder / "none.db").exists()


ABSENT = """
from resourcekit import Domain
from resourcekit.data_layers import SQL
from resourcekit_tokens import TokenRecord, TokenResource

class Token(TokenRecord, domain=Domain("absent"), data_layer=SQL("sqlite:///{}/none.db"), extensions=[TokenResource]): ...
"""
