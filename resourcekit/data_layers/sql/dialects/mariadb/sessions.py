"""Session settings of MariaDB that affect text: how a connection is set up, and which sessions of the user are refused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from resourcekit.data_layers.sql.dialects.base import ConnectionLike
from resourcekit.data_layers.sql.dialects.mariadb import upserts
from resourcekit.data_layers.sql.dialects.mariadb.parameters import CHARSET
from resourcekit.errors import DeclarationError, InvalidArgument

__all__ = ["COLLATION", "EXTERNAL_SETTINGS", "NAMES", "check", "other_charset"]

COLLATION: Final = "utf8mb4_nopad_bin"
"""Compares code points, and counts trailing spaces."""

NAMES = f"character_set_client = {CHARSET}, character_set_results = {CHARSET}, collation_connection = {COLLATION}"
"""Settings that transfer text unchanged in both directions, whatever an ``init_command`` or an option file has set."""

EXTERNAL_SETTINGS = (
    "SELECT @@innodb_rollback_on_timeout, @@max_allowed_packet, @@sql_mode, "
    f"@@character_set_client, @@character_set_connection, @@character_set_results, {upserts.MARK} := 0"
)

_CHANGE_PARSING: Final = ("EMPTY_STRING_IS_NULL", "HIGH_NOT_PRECEDENCE", "ORACLE")


def check(connection: ConnectionLike, modes: str, charsets: Sequence[str | None]) -> None:
    """Raise InvalidArgument for a session of the user's own that changes text in transit, or the meaning of statements."""
    other = next((str(charset) for charset in charsets if charset != CHARSET), "")
    if other:
        raise other_charset(connection, other)
    mode = _changes_parsing(modes)
    if mode:
        msg = f"the connection's sql_mode has {mode}, which changes what statements mean; take it off before you join"
        raise InvalidArgument(msg)


def other_charset(connection: ConnectionLike, charset: str) -> Exception:
    """Return the error for a connection whose character set cannot represent every text."""
    msg = f"the connection's character set is {charset}, which does not keep every text; make its engine with charset=utf8mb4"
    return InvalidArgument(msg) if connection.is_external else DeclarationError("RK102", msg, path=("Repo",))


def _changes_parsing(modes: str) -> str:
    """Return the SQL mode of a session that changes how the text of a statement is parsed; ``""`` if there is none.

    ``SET STATEMENT sql_mode=...`` takes effect too late for such a mode. With EMPTY_STRING_IS_NULL, an empty text would be stored
    as NULL.
    """
    return next((mode for mode in _CHANGE_PARSING if mode in modes.upper().split(",")), "")
