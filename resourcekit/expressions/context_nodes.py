"""Expression nodes whose values are known when a call runs: the actor and the tenant of its context, and values of kept plans."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs

from resourcekit.errors import FieldFinding, InvalidArgument
from resourcekit.expressions.calls import checked_call
from resourcekit.expressions.nodes import Expression, Value

__all__ = ["Actor", "ContextValue", "Missing", "Slot", "Tenant", "actor", "tenant"]


class ContextValue(Expression):
    """Base of nodes that read the context of the call."""

    __slots__ = ()

    def value(self, given_actor: Any, given_tenant: Any) -> Any:
        """Return the value in a context; ``None`` if the context does not have it."""
        del given_actor, given_tenant


@attrs.frozen(eq=False)
class Actor(ContextValue):
    """The actor of the call, or a value of it. path: the names of attributes or keys, from outside to inside."""

    path: tuple[str, ...] = ()

    def value(self, given_actor: Any, given_tenant: Any) -> Any:
        """Return the value of the actor; ``None`` if there is no actor, or a name of the path is missing."""
        del given_tenant
        found = given_actor
        for name in self.path:
            found = found.get(name) if isinstance(found, Mapping) else getattr(found, name, None)
        return found


@attrs.frozen(eq=False)
class Tenant(ContextValue):
    """The tenant of the call."""

    def value(self, given_actor: Any, given_tenant: Any) -> Any:
        """Return the tenant."""
        del given_actor
        return given_tenant


class Missing(Value):
    """``None`` in place of a value that the context of the call does not have. A comparison with it does not hold."""

    __slots__ = ()


@checked_call("actor", "write actor('id')")
def actor(*path: str) -> Expression:
    """The actor of the call, or a value of it: ``Ticket.owner_id == actor("id")``, ``actor("team", "id")``.

    A name is an attribute of the actor, or a key if it is a mapping. Without an actor, or if the value is missing or ``None``, a
    comparison with it does not hold, and neither does its opposite: ``~(Ticket.owner_id == actor("id"))`` finds nothing.
    ``actor("id").is_none()`` asks whether the value is missing. As a value it is ``None``.

    Raises:
        InvalidArgument: A name is no text.
    """
    given: tuple[object, ...] = path
    if wrong := [name for name in given if not isinstance(name, str) or not name]:
        raise InvalidArgument(FieldFinding("", f'actor takes names, such as actor("id"), not {wrong[0]!r}'))
    return Actor(path)


@checked_call("tenant", "write tenant(), and set the tenant with context(tenant=...)")
def tenant() -> Expression:
    """The tenant of the call, which ``with context(tenant=...)`` sets: ``Ticket.org_id == tenant()``.

    Without a tenant, a comparison with it does not hold, as with ``actor(...)``.
    """
    return Tenant()


@attrs.frozen(eq=False)
class Slot(Value):
    """A value of a query whose plan is kept for other values. place: among the values of the query. cast: what it went through."""

    place: int = 0
    cast: Any = None

    def with_cast(self, cast: Callable[[Any], Any]) -> Value:
        """Return this value after a cast; a second cast is not remembered."""
        value = cast(self.value)
        return Value(value) if self.cast is not None else Slot(value, self.place, cast)
