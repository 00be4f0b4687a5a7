"""Values of attributes that a stored record lacks, because they were declared after it was stored."""

from __future__ import annotations

from typing import Any

from resourcekit.data_layers.rows.values import converter, copied, must_copy
from resourcekit.errors import DataLayerError
from resourcekit.resource_info import ResourceInfo

__all__ = ["MissingValues"]


class MissingValues:
    """The values of attributes that a record lacks: the static default, or ``None`` if that is allowed.

    Computed defaults are not used, because their value would differ with each read.

    stored_none: attributes whose ``None`` must be stored explicitly, because a missing value means another one.
    """

    def __init__(self, info: ResourceInfo) -> None:
        self._name = info.name
        types = {name: attribute.type for name, attribute in info.attributes.items()}
        self.defaults: dict[str, Any] = {
            name: None if value is None else converter(types[name])(value) for name, value in info.static_defaults.items()
        }
        # A row without its key is not an older record, so readers refuse it.
        empty = {name: None for name, type_ in types.items() if type_.allow_none or name in info.primary_key}
        self._values = {**empty, **self.defaults, **dict.fromkeys(info.primary_key)}
        self.stored_none = frozenset(
            name for name, value in self.defaults.items() if value is not None and types[name].allow_none
        )
        self._changeable = frozenset(
            name for name, value in self.defaults.items() if value is not None and must_copy(types[name])
        )

    def value(self, field: str) -> Any:
        """Return the value of an attribute that a record lacks. Raise DataLayerError if the declaration has no value for it."""
        if field not in self._values:
            msg = (
                f"{self._name}: a record that was kept before the attribute {field} was declared has no value for it; "
                f"declare a static default, attribute(default=...), or allow None"
            )
            raise DataLayerError(msg)
        value = self._values[field]
        return copied(value) if field in self._changeable else value
