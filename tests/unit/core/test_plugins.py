"""Plugins: found by entry point, loaded late, reported when broken, and never deciding for who did not name them."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from resourcekit import Attr, Resource, attribute, create, info
from resourcekit import plugins as plugin_module
from resourcekit.data_layers import SQL, Memory
from resourcekit.doctor import doctor
from resourcekit.errors import DeclarationError
from resourcekit.plugins import PORT_VERSION, Plugin, plugin_commands, plugin_data_layer, plugin_extension, plugins
from resourcekit.testing import declaration_errors

GOOD = '''
import attrs, click
from resourcekit.data_layers import Memory
from resourcekit.extending import Extension, hookimpl

@attrs.frozen(kw_only=True)
class Loud(Extension):
    level: int = 1

@attrs.frozen(kw_only=True)
class Attic(Memory):
    """Memory under another name."""

@click.command(name="shout")
def shout(): ...

@hookimpl
def resourcekit_extensions():
    return {"loud": Loud}

@hookimpl
def resourcekit_data_layers():
    return {"attic": Attic}

@hookimpl
def resourcekit_commands():
    return [shout]
'''
Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """A function that installs packages with a plugin each, as files on the path; all are forgotten afterwards."""
    made: list[str] = []

    def write(package: str, source: str, *, entry: str | None = None, version: str = "1.2") -> None:
        module = f"plugin_of_{package}"
        (tmp_path / f"{module}.py").write_text(source, encoding="utf-8")
        facts = tmp_path / f"{package}-{version}.dist-info"
        facts.mkdir()
        (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n", encoding="utf-8")
        (facts / "entry_points.txt").write_text(f"[resourcekit]\n{entry or package} = {module}\n", encoding="utf-8")
        made.append(module)
        importlib.invalidate_caches()
        plugin_module._found.clear()  # what a new process would find

    monkeypatch.syspath_prepend(str(tmp_path))
    yield write
    for module in made:
        sys.modules.pop(module, None)
    plugin_module._found.clear()  # same


def the(name: str) -> Plugin:
    """Return the installed plugin of that name."""
    return next(plugin for plugin in plugins() if plugin.name == name)


def test_the_three_hooks(install: Install) -> None:
    """A plugin's extension, data layer and command are found by their names, with the package that brings them."""
    install("loudness", GOOD)

    plugin = the("loudness")
    assert ("loudness", "1.2", "") == (plugin.package, plugin.version, plugin.error)
    assert (["loud"], ["attic"], ["shout"]) == (
        list(plugin.extensions),
        list(plugin.data_layers),
        [command.name for command in plugin.commands],
    )
    assert "shout" in [command.name for command in plugin_commands()]

    class Note(Resource, data_layer="attic", extensions=["loud"]):
        id: Attr[int] = attribute(primary_key=True)

    assert plugin.extensions["loud"] in info(Note).extensions
    assert plugin.data_layers["attic"] is type(info(Note).options["data_layer"])


def test_a_value_type_of_a_plugin_is_found_for_its_class(install: Install) -> None:
    """A class that only a plugin gives a stored form can be the type of an attribute; a wrong answer breaks the plugin."""
    install(
        "tones",
        """
from resourcekit import value_type
from resourcekit.extending import hookimpl
import shared_tones

@hookimpl
def resourcekit_value_types():
    return [value_type("Tone", shared_tones.Tone, stored=str, dump=lambda each: each.name, load=shared_tones.Tone)]
""",
    )
    install("wrong", "from resourcekit.extending import hookimpl\n@hookimpl\ndef resourcekit_value_types():\n    return [int]\n")
    folder = Path(str(importlib.util.find_spec("plugin_of_tones").origin)).parent  # type: ignore[union-attr]
    text = "class Tone:\n    def __init__(self, name):\n        self.name = name\n"
    (folder / "shared_tones.py").write_text(text, encoding="utf-8")
    importlib.invalidate_caches()
    tone = importlib.import_module("shared_tones").Tone

    class Paint(Resource, data_layer=Memory()):
        id: Attr[int] = attribute(primary_key=True)
        hue: Attr[tone] = attribute()
        add = create(accept=["id", "hue"])

    assert Paint.add(id=1, hue="red").hue.name == "red"
    assert "is no value type" in the("wrong").error


def test_an_installed_plugin_changes_nobody_else(install: Install) -> None:
    """A resource that does not name it has nothing of it, and does not even load it."""
    install("loudness", GOOD)

    class Note(Resource, data_layer=Memory()):
        id: Attr[int] = attribute(primary_key=True)

    assert {"Core", "Memory"} == {kind.__name__ for kind in info(Note).extensions}
    assert "plugin_of_loudness" not in sys.modules


def test_nothing_is_loaded_at_import(tmp_path: Path) -> None:
    """``import resourcekit`` and a declaration by classes load no plugin; the first name that is a text does."""
    program = """
import sys
from resourcekit import Attr, Resource, attribute
from resourcekit.data_layers import Memory
from resourcekit import plugins
class Note(Resource, data_layer=Memory()):
    id: Attr[int] = attribute(primary_key=True)
assert not plugins._found and "resourcekit_tokens" not in sys.modules
class Token(Resource, data_layer="memory", extensions=["tokens"]):
    pass
assert plugins._found and "resourcekit_tokens" in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert (0, "") == (done.returncode, done.stderr)


def test_the_own_plugins() -> None:
    """Tokens and the data layers of this package are announced as a third party's are."""
    assert "tokens" in the("tokens").extensions
    assert {"memory": Memory, "sqlite": SQL}.items() <= the("layers").data_layers.items()


def test_a_url_names_a_data_layer(tmp_path: Path) -> None:
    """Its scheme is looked up, and the layer gets the whole of it."""
    url = f"sqlite:///{tmp_path}/named.db"

    class Note(Resource, data_layer=url):
        id: Attr[int] = attribute(primary_key=True)

    assert isinstance(layer := info(Note).options["data_layer"], SQL)
    assert url == layer.database
    with declaration_errors() as errors:

        class Wrong(Resource, data_layer="sqlit:///x.db"):
            id: Attr[int] = attribute(primary_key=True)

    assert [("RK008", "Did you mean 'sqlite'?")] == [(error.code, error.hint) for error in errors]


BROKEN = {
    "raises": "raise RuntimeError('at import')",
    "exits": "import sys; sys.exit(3)",
    "syntax": "def (",
    "unknown": "from resourcekit.extending import hookimpl\n@hookimpl\ndef resourcekit_extension(): return {}",
    "hook": "from resourcekit.extending import hookimpl\n@hookimpl\ndef resourcekit_extensions(): raise KeyError('x')",
    "list": "from resourcekit.extending import hookimpl\n@hookimpl\ndef resourcekit_extensions(): return [int]",
    "no_extension": "from resourcekit.extending import hookimpl\n@hookimpl\ndef resourcekit_extensions(): return {'x': int}",
    "no_class": "from resourcekit.extending import hookimpl\n@hookimpl\ndef resourcekit_data_layers(): return {'x': 5}",
    "no_command": "from resourcekit.extending import hookimpl\n@hookimpl\ndef resourcekit_commands(): return [print]",
    "one_command": "from resourcekit.extending import hookimpl\n@hookimpl\ndef resourcekit_commands(): return 5",
    "none": "from resourcekit.extending import hookimpl\n@hookimpl\ndef resourcekit_extensions(): pass",
    "unmarked": "def resourcekit_extensions(): return {}",
    "nothing": "",
    "newer": "from resourcekit.extending import hookimpl\n@hookimpl\ndef resourcekit_port(): return '99.0'",
    "port": "from resourcekit.extending import hookimpl\n@hookimpl\ndef resourcekit_port(): return 1",
    "asks": "from resourcekit import *\nclass Note(Resource, extensions=['tokens']): pass",
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_plugin_is_reported_and_left_out(install: Install, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever it does, the others work; the log, the list of plugins and doctor name it."""
    install("brittle", BROKEN[kind])
    install("loudness", GOOD)
    with caplog.at_level(logging.WARNING):
        broken, good = the("brittle"), the("loudness")

    assert broken.error
    assert ({}, {}, ()) == (broken.extensions, broken.data_layers, broken.commands)
    assert good.error == ""
    assert plugin_extension("loud") is good.extensions["loud"]
    assert any("the plugin brittle of brittle is broken and left out" in record.getMessage() for record in caplog.records)

    class Note(Resource):
        id: Attr[int] = attribute(primary_key=True)

    assert ["RK060"] == [finding.id for finding in doctor(Note) if "brittle" in finding.what]


@pytest.mark.parametrize(
    ("port", "cure"),
    [("2.0", "a newer resourcekit"), ("1.9", "a newer resourcekit"), ("0.3", "a newer version of the plugin")],
)
def test_a_plugin_for_another_port_is_left_out_with_the_cure(install: Install, port: str, cure: str) -> None:
    """A plugin that names a version of the port that is not served says which one is needed, and a resource that names it does too."""
    head = "from resourcekit.extending import hookimpl\n@hookimpl\n"
    install("elsewhere", f"{head}def resourcekit_port(): return {port!r}\n@hookimpl\ndef resourcekit_of_tomorrow(): ...")
    text = f"it was written for version {port} of the port, and this resourcekit has version {PORT_VERSION}; install {cure}"

    assert text in the("elsewhere").error
    with declaration_errors() as errors:

        class Note(Resource, extensions=["elsewhere"]):
            id: Attr[int] = attribute(primary_key=True)

    assert "RK007" == errors[0].code
    assert text in errors[0].hint


def test_a_plugin_for_this_port_is_loaded(install: Install) -> None:
    """A plugin that names the version of today is loaded, and shown with it."""
    install("loudness", GOOD + "@hookimpl\ndef resourcekit_port(): return '1.0'")

    assert ("1.0", "") == (the("loudness").port, the("loudness").error)


@pytest.mark.parametrize("kind", BROKEN)
def test_strictness_raises(install: Install, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """With RESOURCEKIT_PLUGINS_STRICT=1 a broken plugin is a DeclarationError, each time until it is mended."""
    install("brittle", BROKEN[kind])
    monkeypatch.setenv("RESOURCEKIT_PLUGINS_STRICT", "1")

    for _ in range(2):
        with pytest.raises(DeclarationError, match="the plugin brittle of brittle is broken") as caught:
            plugins()
        assert "RK060" == caught.value.code
    monkeypatch.delenv("RESOURCEKIT_PLUGINS_STRICT")
    assert the("brittle").error


def test_two_plugins_that_claim_one_name(install: Install, caplog: pytest.LogCaptureFixture) -> None:
    """Neither is served: use of the name is an error that names both; other names work, and doctor and the log report it."""
    install("loudness", GOOD)
    install("aloudness", GOOD.replace('"attic"', '"cellar"').replace('"shout"', '"whisper"'))
    with caplog.at_level(logging.WARNING), declaration_errors() as errors:

        class Wrong(Resource, extensions=["loud"]):
            id: Attr[int] = attribute(primary_key=True)

    assert [("RK061", "Wrong", ("extensions",))] == [(error.code, error.resource, error.path) for error in errors]
    assert "the extension 'loud' is claimed by aloudness of aloudness and loudness of loudness" in errors[0].what
    assert plugin_data_layer("attic") is the("loudness").data_layers["attic"]
    assert {"shout", "whisper"} <= {command.name for command in plugin_commands()}
    assert any("it is not used" in record.getMessage() for record in caplog.records)

    class Note(Resource, extensions=[the("loudness").extensions["loud"]]):
        id: Attr[int] = attribute(primary_key=True)

    assert ["RK061"] == [finding.id for finding in doctor(Note) if "loud" in finding.what]


def test_two_commands_of_one_name_are_not_run(install: Install) -> None:
    """Neither is served; a name must not run code of another package."""
    install("loudness", GOOD)
    install("aloudness", GOOD.replace('"loud"', '"low"').replace('"attic"', '"cellar"'))

    assert "shout" not in {command.name for command in plugin_commands()}


def test_two_plugins_that_mean_the_same(install: Install) -> None:
    """One class under one name from two entry points is no clash."""
    install("loudness", GOOD)
    install("louder", "from plugin_of_loudness import *")

    assert () == the("loudness").clashes
    assert plugin_extension("loud") is the("louder").extensions["loud"]


def test_a_clash_is_an_error_where_plugins_are_strict(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is raised when plugins are loaded."""
    install("loudness", GOOD)
    install("aloudness", GOOD)
    monkeypatch.setenv("RESOURCEKIT_PLUGINS_STRICT", "1")

    with pytest.raises(DeclarationError, match="is claimed by aloudness of aloudness and loudness of loudness") as caught:
        plugins()
    assert "RK061" == caught.value.code


def test_an_extension_by_its_name_twice_in_other_words() -> None:
    """A name and the class that it means are one extension."""
    with declaration_errors() as errors:

        class Wrong(Resource, data_layer=Memory(), extensions=["tokens", plugin_extension("tokens")]):
            pass

    assert ["RK004"] == [error.code for error in errors]
