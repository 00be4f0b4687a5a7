"""Typical mistakes: with declarations, actions, queries, options, tokens, extensions and apps. None is silent, and none a raw error."""

from __future__ import annotations

import gc
import re
import sys
import tomllib
import types
import warnings
from pathlib import Path

import pytest

from resourcekit.errors import DeclarationError, ResourcekitError

TABLE = tomllib.loads((Path(__file__).parents[2] / "support" / "typical_mistakes.toml").read_text(encoding="utf-8"))
INTERNAL = re.compile(r" object at 0x|<function |<bound method|__runtime__|NoneType' object")
"""Parts of a text that a reader can do nothing with."""


def error_of(source: str) -> ResourcekitError:
    """Run a source after the declarations that all mistakes share, and return the error that it raises."""
    module = types.ModuleType("typical_mistake")
    sys.modules[module.__name__] = module
    try:
        exec(compile(TABLE["before"], "before.py", "exec", dont_inherit=True), vars(module))
        with pytest.raises(ResourcekitError) as caught:
            exec(compile(source, "app.py", "exec", dont_inherit=True), vars(module))
        return caught.value
    finally:
        del sys.modules[module.__name__]


@pytest.mark.parametrize("mistake", TABLE["mistake"], ids=[each["name"] for each in TABLE["mistake"]])
def test_a_typical_mistake_is_an_error_with_a_next_step(mistake, tmp_path, monkeypatch):
    """The error is of the class, or has the code, that the table names; its text tells nothing of the inside."""
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a coroutine that the mistake leaves behind
        error = error_of(mistake["source"])
        kind, text = type(error).__name__, str(error)
        if "async" in mistake["source"]:
            gc.collect()

    assert mistake["is"] in {kind, getattr(error, "code", "")}
    assert not INTERNAL.search(text), text
    assert not isinstance(error, DeclarationError) or error.hint or len(getattr(error, "exceptions", ())) > 1
