"""The facts of a resource as its data layer sees them: attributes of basic types, with a second one for text that ignores case."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import attrs

from resourcekit.data_layers.stored_forms import dumper
from resourcekit.declarations.attribute import Attribute
from resourcekit.declarations.identity import Identity, Index
from resourcekit.declarations.limits import Limits
from resourcekit.dsl.entity import Entity
from resourcekit.dsl.option import MISSING
from resourcekit.expressions.nodes import Expression, Field
from resourcekit.expressions.rewriting import with_fields
from resourcekit.resource_info import ResourceInfo

__all__ = ["folded_name", "folded_value", "folds", "must_convert", "stored_info"]

_WIDEST_FOLD = 3
"""The most characters that one character becomes when it is folded."""


def folded_name(name: str) -> str:
    """Return the name of the attribute with the folded text of another one."""
    return f"{name}_folded"


def folded_value(value: Any) -> Any:
    """Return the folded text; ``None`` stays ``None``."""
    return None if value is None else value.casefold()


def folds(attribute: Attribute) -> bool:
    """Return whether an attribute is compared without regard to case."""
    return attribute.constraints.case == "fold"


def must_convert(info: ResourceInfo) -> bool:
    """Return whether a data layer needs other facts than the engine: an attribute has a type of its own, or ignores case."""
    return any(each.type.basic is not each.type or folds(each) for each in info.attributes.values())


def stored_info(info: ResourceInfo) -> ResourceInfo:
    """Return the facts for the data layer."""
    folded = {name: folded_name(name) for name, each in info.attributes.items() if folds(each)}
    entities: list[Entity] = []
    for entity in info.entities:
        if isinstance(entity, Attribute):
            entities.append(_stored(entity, info))
            entities += [_folded(entity)] if entity.name in folded else []
        elif isinstance(entity, (Identity, Index)):
            fields = tuple(folded.get(name, name) for name in entity.fields)
            more: Any = {"where": _folding(entity.where, folded)} if isinstance(entity, Index) else {}
            entities.append(attrs.evolve(entity, fields=fields, **more))
        else:
            entities.append(entity)
    defaults = {name: _default(info, name) for name in info.static_defaults}
    defaults.update({folded[name]: folded_value(value) for name, value in defaults.items() if name in folded})
    return attrs.evolve(info, entities=tuple(entities), static_defaults=MappingProxyType(defaults))


def _folding(where: Expression | None, folded: dict[str, str]) -> Expression | None:
    return None if where is None else with_fields(where, {name: Field(other) for name, other in folded.items()})


def _default(info: ResourceInfo, name: str) -> Any:
    value, dump = info.static_defaults[name], dumper(info.attributes[name].type)
    return value if value is None or dump is None else dump(value)


def _stored(attribute: Attribute, info: ResourceInfo) -> Attribute:
    type_ = attribute.type
    if type_.basic is type_:
        return attribute
    limits = attribute.constraints
    if type_.own is not None and limits.max_length is None:
        limits = attrs.evolve(limits, max_length=type_.own.limits.max_length)
    default = _default(info, attribute.name) if attribute.name in info.static_defaults else attribute.default
    return attrs.evolve(attribute, type=type_.basic, constraints=limits, default=default)


def _folded(attribute: Attribute) -> Attribute:
    most = attribute.constraints.max_length
    column = getattr(attribute, "column", None)
    more: dict[str, Any] = {} if column is None else {"column": folded_name(column)}
    return attrs.evolve(
        attribute,
        name=folded_name(attribute.name),
        type=attribute.type.basic,
        public=False,
        default=MISSING,
        default_factory=None,
        constraints=Limits(max_length=None if most is None else most * _WIDEST_FOLD),
        **more,
    )
