"""The core of the web layer, without any framework: it authenticates requests and answers bad ones.

``Incoming`` is a request, ``Gate`` authenticates it, ``routes`` are the routes as data, ``Web`` is the base of the adapters.
"""

from __future__ import annotations

from resourcekit_web.core.answers import Answer, Refusal, Refused, missing_token
from resourcekit_web.core.gate import Gate, refusal_of
from resourcekit_web.core.incoming import LONGEST_BODY, Incoming, read_body
from resourcekit_web.core.installed import Installed
from resourcekit_web.core.routes import Asked, Route
from resourcekit_web.core.settings import Client, Settings
from resourcekit_web.core.signed_in import Demand, SignedIn
from resourcekit_web.core.web import Web, watched_stream

__all__ = [
    "LONGEST_BODY",
    "Answer",
    "Asked",
    "Client",
    "Demand",
    "Gate",
    "Incoming",
    "Installed",
    "Refusal",
    "Refused",
    "Route",
    "Settings",
    "SignedIn",
    "Web",
    "missing_token",
    "read_body",
    "refusal_of",
    "watched_stream",
]
