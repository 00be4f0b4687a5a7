"""resourcekit: a declarative framework for resources. Declare a resource; its functions, storage and checks are derived.

This is the public API for applications. Authors of extensions and data layers import ``resourcekit.extending``, authors of
tests ``resourcekit.testing``. Names are loaded at their first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from resourcekit.actions.record import as_dict
    from resourcekit.call_context import Context, Deadline, context
    from resourcekit.changeset import Changeset
    from resourcekit.clock import utc_now, uuid7
    from resourcekit.data_layers.transactions import outside_transaction
    from resourcekit.declarations.argument import argument
    from resourcekit.declarations.attribute import Attr, attribute
    from resourcekit.declarations.builders import action, create, destroy, read, update
    from resourcekit.declarations.calculations import Calc, calculated, calculation
    from resourcekit.declarations.change import increment, optimistic_lock, set_attribute, set_new_attribute, touch
    from resourcekit.declarations.filled import SQLText
    from resourcekit.declarations.fragment import fragment
    from resourcekit.declarations.identity import identity, index
    from resourcekit.declarations.limits import Limits
    from resourcekit.declarations.managed import cascade_destroy, manage, relate_actor
    from resourcekit.declarations.own_types import value_type
    from resourcekit.declarations.preparation import filter, limit, sort  # noqa: A004  # the field's words
    from resourcekit.declarations.relationship_builders import belongs_to, has_many, has_one, many_to_many, related
    from resourcekit.declarations.relationships import Many, One
    from resourcekit.declarations.validation import absent, compare, match, one_of, present, string_length
    from resourcekit.domain import Domain
    from resourcekit.environment import env
    from resourcekit.expressions.aggregates import count, row
    from resourcekit.expressions.context_nodes import actor, tenant
    from resourcekit.expressions.functions import arg, case, coalesce, concat, existing, greatest, incoming, least, now, today
    from resourcekit.expressions.query import Query
    from resourcekit.expressions.related import parent
    from resourcekit.queries import get, load, query, reload, transaction
    from resourcekit.resource import Resource, info
    from resourcekit.results import Notification, Page

    __version__: str

__all__ = [
    "Attr",
    "Calc",
    "Changeset",
    "Context",
    "Deadline",
    "Domain",
    "Limits",
    "Many",
    "Notification",
    "One",
    "Page",
    "Query",
    "Resource",
    "SQLText",
    "absent",
    "action",
    "actor",
    "arg",
    "argument",
    "as_dict",
    "attribute",
    "belongs_to",
    "calculated",
    "calculation",
    "cascade_destroy",
    "case",
    "coalesce",
    "compare",
    "concat",
    "context",
    "count",
    "create",
    "destroy",
    "env",
    "existing",
    "filter",
    "fragment",
    "get",
    "greatest",
    "has_many",
    "has_one",
    "identity",
    "incoming",
    "increment",
    "index",
    "info",
    "least",
    "limit",
    "load",
    "manage",
    "many_to_many",
    "match",
    "now",
    "one_of",
    "optimistic_lock",
    "outside_transaction",
    "parent",
    "present",
    "query",
    "read",
    "relate_actor",
    "related",
    "reload",
    "row",
    "set_attribute",
    "set_new_attribute",
    "sort",
    "string_length",
    "tenant",
    "today",
    "touch",
    "transaction",
    "update",
    "utc_now",
    "uuid7",
    "value_type",
]

_MODULES = {
    "declarations.argument": ("argument",),
    "declarations.attribute": ("Attr", "attribute"),
    "declarations.change": ("increment", "optimistic_lock", "set_attribute", "set_new_attribute", "touch"),
    "declarations.calculations": ("Calc", "calculated", "calculation"),
    "declarations.filled": ("SQLText",),
    "declarations.fragment": ("fragment",),
    "declarations.identity": ("identity", "index"),
    "declarations.limits": ("Limits",),
    "declarations.managed": ("cascade_destroy", "manage", "relate_actor"),
    "declarations.own_types": ("value_type",),
    "declarations.preparation": ("filter", "limit", "sort"),
    "declarations.relationship_builders": ("belongs_to", "has_many", "has_one", "many_to_many", "related"),
    "declarations.relationships": ("Many", "One"),
    "declarations.validation": ("absent", "compare", "match", "one_of", "present", "string_length"),
    "declarations.builders": ("action", "create", "destroy", "read", "update"),
    "domain": ("Domain", "Resource", "info"),
    "actions.record": ("as_dict",),
    "changeset": ("Changeset",),
    "clock": ("utc_now", "uuid7"),
    "call_context": ("Context", "Deadline", "context"),
    "environment": ("env",),
    "expressions.aggregates": ("count", "row"),
    "expressions.functions": ("arg", "case", "coalesce", "concat", "existing", "greatest", "incoming", "least", "now", "today"),
    "expressions.context_nodes": ("actor", "tenant"),
    "expressions.related": ("parent",),
    "results": ("Notification", "Page"),
    "expressions.query": ("Query",),
    "data_layers.transactions": ("outside_transaction",),
    "queries": ("get", "load", "query", "reload", "transaction"),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> object:
    """Load a name on demand (PEP 562)."""
    if name == "__version__":  # read from the installed package, so that it is written in one place
        return import_module("importlib.metadata").version("resourcekit")
    if name not in _MODULE_OF:
        msg = f"module 'resourcekit' has no attribute {name!r}"
        raise AttributeError(msg)
    value: object = getattr(import_module(f"resourcekit.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names."""
    return sorted(__all__)
