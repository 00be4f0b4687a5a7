"""Parameters of a MariaDB URL: those that PyMySQL and asyncmy accept, and hints for those of other drivers.

A maintainer opens it to allow another parameter, or to improve the hint for one of another driver.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy.engine import URL

from resourcekit.errors import DeclarationError, did_you_mean

__all__ = ["CHARSET", "SYNC_ONLY", "check", "settled"]

CHARSET: Final = "utf8mb4"
"""The only character set of connections. Every other one would refuse some text, or replace it by question marks."""

SYNC_ONLY: Final = frozenset({"write_timeout"})
"""Parameters that PyMySQL accepts and asyncmy refuses. They are removed from the URL of an async engine."""

_WHOLE_NUMBERS: Final = frozenset({"client_flag", "connect_timeout", "max_allowed_packet", "read_timeout", "write_timeout"})
_FLAGS: Final = frozenset({"local_infile", "ssl_check_hostname"})
_TEXTS: Final = frozenset(
    {
        *("autocommit", "init_command", "program_name", "read_default_file", "read_default_group", "sql_mode", "unix_socket"),
        *("ssl_ca", "ssl_capath", "ssl_cert", "ssl_cipher", "ssl_key"),
    }
)
_KNOWN: Final = _WHOLE_NUMBERS | _FLAGS | _TEXTS
_FLAG_VALUES: Final = frozenset({"true", "false", "yes", "no", "on", "off", "1", "0", "y", "n", "t", "f"})

_TLS: Final = 'Name the authority of the server\'s certificate: "?ssl_ca=/path/of/ca.pem"'
_NO_ZONE: Final = "Leave it out: datetimes are kept in UTC, whatever the time zone of the session is."
_TIME: Final = "Write connect_timeout, in seconds; for the time of a call, Repo(url, timeout=timedelta(...))."
_TEXT: Final = "Leave it out: connections use utf8mb4, which holds every character."
_HINTS: Final = {
    **dict.fromkeys(
        ("ssl", "sslmode", "usessl", "requiressl", "tls", "tlsversion", "ssldisabled", "verifyservercertificate"), _TLS
    ),
    **dict.fromkeys(("sslverifycert", "sslverifyidentity", "sslaccept", "trustservercertificate"), _TLS),
    **dict.fromkeys(("sslrootcert", "servercert", "serversslcert", "sslrootca"), 'Write it "ssl_ca", for PyMySQL and asyncmy'),
    "sslcert": 'Write it "ssl_cert", for PyMySQL and asyncmy',
    "sslkey": 'Write it "ssl_key", for PyMySQL and asyncmy',
    **dict.fromkeys(("servertimezone", "timezone", "usetimezone", "connectiontimezone", "loc", "parsetime"), _NO_ZONE),
    **dict.fromkeys(("characterencoding", "useunicode", "collation", "connectioncollation"), _TEXT),
    **dict.fromkeys(("connecttimeout", "connectiontimeout", "sockettimeout", "timeout"), _TIME),
    "socket": 'Write it "unix_socket", for PyMySQL and asyncmy',
}
"""Hints for parameters of JDBC, libmysql, Go, Node.js, PHP and libpq, by name in lower case, without ``-`` and ``_``."""


def settled(url: URL) -> URL:
    """Return the URL without its character set, if that is utf8mb4 or a usual name for it. Connections always use utf8mb4."""
    charset = url.query.get("charset", "")
    is_known = isinstance(charset, str) and charset.lower().replace("-", "") in ("utf8mb4", "utf8", "utf8mb3")
    return url.difference_update_query(["charset"]) if is_known else url


def check(url: URL) -> None:
    """Raise DeclarationError RK102 if a settled URL has a parameter that one of the two drivers does not accept."""
    for name, value in url.query.items():
        if name == "charset":
            raise _refused("the URL's charset does not hold every character", _TEXT)
        if name not in _KNOWN:
            raise _refused(f"the URL's parameter {name!r} is none of PyMySQL's and asyncmy's", _hint(name))
        if not isinstance(value, str):
            raise _refused(f"the URL has the parameter {name!r} more than once", "Write it once.")
        if name in _WHOLE_NUMBERS and not value.isdecimal():
            raise _refused(f"the URL's parameter {name!r} is no whole number", "Write it in digits.")
        if name in _FLAGS and value.lower() not in _FLAG_VALUES:
            raise _refused(f"the URL's parameter {name!r} is neither true nor false", 'Write "true" or "false".')


def _hint(name: str) -> str:
    plain = name.lower().replace("-", "").replace("_", "")
    return _HINTS.get(plain) or did_you_mean(name, [*_KNOWN, "charset"])


def _refused(what: str, hint: str) -> DeclarationError:
    return DeclarationError("RK102", what, path=("SQL",), hint=hint)
