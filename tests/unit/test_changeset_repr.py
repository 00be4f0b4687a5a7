"""What a changeset shows of itself."""

from __future__ import annotations

from resourcekit import Changeset
from resourcekit.extending import Field


def test_a_changeset_shows_names_and_no_value():
    """A change or hook that logs its changeset shows neither arguments nor values: any of them may be a token."""
    changeset = Changeset("create", arguments={"token": "eyJ-secret"}, metadata={"note": "secret note"})
    changeset = changeset.set(jti="secret jti").set_atomic(reason="secret reason").where(Field("jti") == "secret jti")

    shown = repr(changeset)

    assert "secret" not in shown
    assert {"token", "jti", "reason", "note"} <= set(shown.replace("<", " ").replace(">", " ").split())
