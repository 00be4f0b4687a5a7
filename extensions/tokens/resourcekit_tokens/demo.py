"""The resources of ``resourcekit demo``: an SQLite file for experiments.

The file is ``RESOURCEKIT_DEMO_DB``, ``demo.db`` in this folder unless set; a random secret is stored in a file of its own in the same folder.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from resourcekit import Domain
from resourcekit.data_layers import SQL
from resourcekit_tokens.extension import TokenResource
from resourcekit_tokens.keys.jwt import JWT
from resourcekit_tokens.record import TokenRecord

__all__ = ["AnyToken", "Token", "database", "demo"]


def database() -> Path:
    """Return the file of the demo."""
    return Path(os.environ.get("RESOURCEKIT_DEMO_DB", "demo.db")).absolute()


def _secret() -> str:
    """Return the secret of the file. It is generated at the first use and readable by its owner only."""
    path = database().with_name(database().name + ".secret")
    if not path.exists():
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(48))
    return path.read_text()


demo = Domain("demo")


class Token(
    TokenRecord,
    domain=demo,
    data_layer=SQL(f"sqlite:///{database()}", table="tokens"),
    extensions=[TokenResource(jwt=JWT(_secret), store_all_tokens=True)],
):
    """Tokens that the demo issues itself."""


class AnyToken(
    TokenRecord, domain=demo, data_layer=SQL(f"sqlite:///{database()}", table="any_tokens"), extensions=[TokenResource()]
):
    """Tokens of any issuer: without keys, the caller must have verified a token."""
