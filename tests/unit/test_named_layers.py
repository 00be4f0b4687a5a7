"""Data layers that are named by a text."""

import subprocess
import sys

import pytest

from resourcekit import Attr, Domain, Resource, attribute, create, get
from resourcekit.errors import DeclarationError


def declare(layer):
    """Return a resource on a layer, its storage made."""
    domain = Domain("notes")

    class Note(Resource, domain=domain, data_layer=layer):
        id: Attr[int] = attribute(primary_key=True)

        keep = create(accept=["id"])

    domain.create_storage()
    return Note


def test_a_name_is_enough_for_memory():
    """``data_layer="memory"`` is ``Memory()``."""
    note = declare("memory")
    note.keep(id=1)

    assert 1 == get(note, 1).id


def test_a_url_is_enough_for_sqlite(tmp_path):
    """The scheme says which layer it is."""
    note = declare(f"sqlite:///{tmp_path}/notes.db")
    note.keep(id=1)

    assert 1 == get(note, 1).id
    assert (tmp_path / "notes.db").exists()


def test_an_unknown_name_is_refused_with_a_suggestion():
    """A DeclarationError names what is meant."""
    with pytest.raises(DeclarationError, match="memory") as refused:
        declare("memry")

    assert "RK008" == refused.value.code


MISSING = {
    "postgresql://host/app": ("psycopg", "postgresql"),
    "mariadb://host/app": ("pymysql", "mysql"),
    "mysql://host/app": ("asyncmy", "mysql"),
    "redis://host/0": ("redis", "redis"),
}


PROGRAM = """
import sys
sys.modules[sys.argv[1]] = None  # what Python makes of a package that cannot be imported
from resourcekit import Attr, Resource, attribute
class Note(Resource, data_layer=sys.argv[2]):
    id: Attr[int] = attribute(primary_key=True)
"""


@pytest.mark.parametrize("url", MISSING)
def test_a_layer_whose_packages_are_missing_says_what_to_install(url):
    """Named by its URL, without the extra: RK104, with the command."""
    package, extra = MISSING[url]
    done = subprocess.run([sys.executable, "-c", PROGRAM, package, url], check=False, capture_output=True, text=True, timeout=60)
    shown = done.stderr.splitlines()[-1]

    assert "[RK104]" in shown
    assert f"not installed: {package} " in shown
    assert shown.endswith(f"pip install 'resourcekit[{extra}]'")
