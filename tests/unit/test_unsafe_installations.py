"""What is installed may be unsafe, too: plugins that are broken, and a PyJWT that is too old."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from resourcekit import plugins as plugin_room
from resourcekit.data_layers import SQL
from resourcekit.doctor import doctor
from resourcekit.plugins import Plugin
from resourcekit_tokens import doctor_checks as check_room
from tests.support.setups import declare_tokens


@pytest.fixture(autouse=True)
def plugins(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let no installed plugin have a say but those that a test gives."""
    give = lambda *found: monkeypatch.setattr(plugin_room, "_found", [found])  # noqa: E731  # one line, named for what it does
    give()
    return give


def sound(folder: Path) -> Any:
    """Return a token resource of which nothing is to be said."""
    return declare_tokens(SQL(f"sqlite:///{folder}/setups.db", table="tokens"))


def ids(resource: Any) -> list[str]:
    """Return the ids that doctor finds."""
    return sorted({finding.id for finding in doctor(resource)})


class TestSurroundings:
    """What is installed."""

    def test_a_broken_plugin(self, tmp_path, plugins):
        """It is left out, with all that it would bring."""
        plugins(Plugin(name="p", package="pack", version="1", error="ImportError: x"))

        assert ["RK060"] == ids(sound(tmp_path))

    @pytest.mark.parametrize(
        ("version", "found"),
        [("2.15.0", ["RK237"]), ("2.15.1", []), ("2.15.1rc1", ["RK237"]), ("2.15.1.post1", []), ("2.16", []), ("3.0", [])],
    )
    def test_an_old_library(self, tmp_path, monkeypatch, version, found):
        """PyJWT before 2.15.1 has known advisories; the version is read from what is installed first on the path."""
        install(tmp_path, monkeypatch, version)

        assert found == ids(sound(tmp_path))

    @pytest.mark.parametrize(
        ("version", "known", "unknown"),
        [
            ("2.3.0", "CVE-2022-29217", "CVE-2024-53861"),
            ("2.10.0", "CVE-2024-53861", "CVE-2022-29217"),
            ("2.11.0", "CVE-2026-32597", "CVE-2024-53861"),
            ("2.12.1", "GHSA-jq35-7prp-9v3f", "CVE-2026-32597"),
        ],
    )
    def test_published_advisories_are_named(self, tmp_path, monkeypatch, version, known, unknown):
        """Those whose range the installed version lies in, and no other."""
        install(tmp_path, monkeypatch, version)
        (finding,) = doctor(sound(tmp_path))

        assert (True, False) == (known in finding.what, unknown in finding.what)

    def test_an_advisory_on_a_version_that_is_new_enough(self, tmp_path, monkeypatch):
        """One that is published tomorrow counts as soon as its range is written down."""
        monkeypatch.setattr(check_room, "_ADVISORIES", (("CVE-2027-1", "2.15.1", "2.16.2"),))
        token = sound(tmp_path)
        install(tmp_path, monkeypatch, "2.16.0")
        inside = ids(token)
        install(tmp_path, monkeypatch, "2.16.2")

        assert (["RK237"], []) == (inside, ids(token))


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    """Let PyJWT seem to be installed in this version: the first package on the path counts."""
    place = folder / f"site-{version}"
    (place / f"pyjwt-{version}.dist-info").mkdir(parents=True)
    (place / f"pyjwt-{version}.dist-info" / "METADATA").write_text(f"Metadata-Version: 2.1\nName: PyJWT\nVersion: {version}\n")
    monkeypatch.setattr(sys, "path", [str(place), *sys.path])
