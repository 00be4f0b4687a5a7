"""Announces the extension and its commands to resourcekit; loads either only when asked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from resourcekit.extending import hookimpl

__all__ = ["resourcekit_commands", "resourcekit_extensions"]


@hookimpl
def resourcekit_extensions() -> Mapping[str, type[Any]]:
    """Register ``extensions=["tokens"]``."""
    from resourcekit_tokens.extension import TokenResource

    return {"tokens": TokenResource}


@hookimpl
def resourcekit_commands() -> Iterable[Any]:
    """Contribute ``demo``, ``token`` and ``expunge``."""
    from resourcekit_tokens.commands import COMMANDS

    return COMMANDS
