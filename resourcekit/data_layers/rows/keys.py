"""Which keys rows in Python can have. It knows facts only."""

from __future__ import annotations

from resourcekit.declarations.value_type import Kind
from resourcekit.errors import DeclarationError
from resourcekit.resource_info import ResourceInfo

__all__ = ["require_keys"]

_NO_KEYS = frozenset({Kind.LIST, Kind.MAP, Kind.ANY})


def require_keys(info: ResourceInfo) -> None:
    """Refuse a resource whose rows cannot be told apart.

    Raises DeclarationError RK151 where it has no primary key, or where the key or an identity holds a list, a dict or a
    value of any type, which cannot be compared as a key.
    """
    if not info.primary_key:
        hint = "Declare one with attribute(primary_key=True)."
        raise DeclarationError("RK151", "has no primary key", resource=info.name, origin=info.origin, hint=hint)
    groups = {"primary_key": info.primary_key, **{name: identity.fields for name, identity in info.identities.items()}}
    for group, fields in groups.items():
        for field in fields:
            attribute = info.attributes[field]
            if attribute.type.kind in _NO_KEYS:
                raise DeclarationError(
                    "RK151",
                    f"{attribute.type} cannot be part of {group}",
                    resource=info.name,
                    path=("attributes", field),
                    origin=attribute.origin,
                    hint="Use a type whose values are atomic (str, int, UUID, datetime, ...).",
                )
