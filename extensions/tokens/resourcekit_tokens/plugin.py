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
    """Contribute ``demo``, ``token``, ``expunge`` and ``import``."""
    from resourcekit_tokens.commands.importers import import_revocations
    from resourcekit_tokens.commands.token import COMMANDS

    return (*COMMANDS, import_revocations)
