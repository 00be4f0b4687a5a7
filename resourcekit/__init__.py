"""resourcekit: declare a resource, and everything else is derived.

This is the front door, for people who declare resources. Authors of extensions and data layers come in by
``resourcekit.extending``, test authors by ``resourcekit.testing``. Names are loaded when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from resourcekit.declarations.argument import argument
    from resourcekit.declarations.attribute import Attr, attribute
    from resourcekit.declarations.change import increment, optimistic_lock, set_attribute, set_new_attribute, touch
    from resourcekit.declarations.identity import identity, index
    from resourcekit.declarations.preparation import filter, limit, sort  # noqa: A004  # the field's words
    from resourcekit.declarations.validation import absent, compare, match, one_of, present, string_length
    from resourcekit.declarations.words import action, create, destroy, read, update
    from resourcekit.domain import Domain
    from resourcekit.engine.record import as_dict
    from resourcekit.flow.changeset import Changeset
    from resourcekit.flow.clock import utc_now
    from resourcekit.flow.context import Context, context
    from resourcekit.flow.environment import env
    from resourcekit.flow.expression import arg, case, coalesce, existing, greatest, incoming, now
    from resourcekit.flow.identifier import uuid7
    from resourcekit.flow.notification import Notification
    from resourcekit.flow.query import Query
    from resourcekit.queries import get, query, transaction
    from resourcekit.resource import Resource, info

__all__ = [
    "Attr",
    "Changeset",
    "Context",
    "Domain",
    "Notification",
    "Query",
    "Resource",
    "absent",
    "action",
    "arg",
    "argument",
    "as_dict",
    "attribute",
    "case",
    "coalesce",
    "compare",
    "context",
    "create",
    "destroy",
    "env",
    "existing",
    "filter",
    "get",
    "greatest",
    "identity",
    "incoming",
    "increment",
    "index",
    "info",
    "limit",
    "match",
    "now",
    "one_of",
    "optimistic_lock",
    "present",
    "query",
    "read",
    "set_attribute",
    "set_new_attribute",
    "sort",
    "string_length",
    "touch",
    "transaction",
    "update",
    "utc_now",
    "uuid7",
]

_ROOMS = {
    "declarations.argument": ("argument",),
    "declarations.attribute": ("Attr", "attribute"),
    "declarations.change": ("increment", "optimistic_lock", "set_attribute", "set_new_attribute", "touch"),
    "declarations.identity": ("identity", "index"),
    "declarations.preparation": ("filter", "limit", "sort"),
    "declarations.validation": ("absent", "compare", "match", "one_of", "present", "string_length"),
    "declarations.words": ("action", "create", "destroy", "read", "update"),
    "domain": ("Domain", "Resource", "info"),
    "engine.record": ("as_dict",),
    "flow.changeset": ("Changeset",),
    "flow.clock": ("utc_now",),
    "flow.context": ("Context", "context"),
    "flow.environment": ("env",),
    "flow.expression": ("arg", "case", "coalesce", "existing", "greatest", "incoming", "now"),
    "flow.identifier": ("uuid7",),
    "flow.notification": ("Notification",),
    "flow.query": ("Query",),
    "queries": ("get", "query", "transaction"),
}
_ROOM_OF = {name: room for room, names in _ROOMS.items() for name in names}


def __getattr__(name: str) -> object:
    """Load a name on demand (PEP 562)."""
    if name not in _ROOM_OF:
        msg = f"module 'resourcekit' has no attribute {name!r}"
        raise AttributeError(msg)
    value: object = getattr(import_module(f"resourcekit.{_ROOM_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the door's names."""
    return sorted(__all__)
