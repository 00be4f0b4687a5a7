"""The stored forms of embedded values and of types that ``value_type`` declares: conversion to what data layers store, and back.

A maintainer opens it to change how a class with fields becomes JSON. Data layers never see these types.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from resourcekit.data_layers.json_text import from_plain_json, to_plain_json
from resourcekit.declarations.value_type import Kind, ValueType

__all__ = ["Convert", "dumper", "json_dumper", "loader", "plain_form"]

Convert = Callable[[Any], Any]

_CONTAINERS = (Kind.LIST, Kind.MAP)


def dumper(of: ValueType) -> Convert | None:
    """Return the function from a value (never ``None``) to its stored form; ``None`` if both are the same."""
    if of.kind is Kind.OWN and of.own is not None:
        return _composed(of.own.dump, dumper(of.own.stored))
    if of.kind is Kind.EMBEDDED:
        return _embedded_dumper(of, json_dumper)
    if of.kind is Kind.UNION:
        return _union_dumper(of, {tag: _embedded_dumper(variant, json_dumper) for tag, variant in of.variants.items()})
    return _each(of, dumper(of.item)) if of.kind in _CONTAINERS and of.item is not None else None


def loader(of: ValueType) -> Convert | None:
    """Return the function from a stored form (never ``None``) to the value; ``None`` if both are the same.

    It may raise any error for a form that does not fit the type.
    """
    if of.kind is Kind.OWN and of.own is not None:
        return _composed(loader(of.own.stored), of.own.load)
    if of.kind is Kind.EMBEDDED:
        return _embedded_loader(of)
    if of.kind is Kind.UNION:
        return _union_loader(of)
    return _each_read(of, loader(of.item)) if of.kind in _CONTAINERS and of.item is not None else None


def plain_form(of: ValueType) -> Convert | None:
    """Return the function that makes dicts of embedded values, with the values of their fields; ``None`` if there are none."""
    if of.kind is Kind.EMBEDDED:
        return _embedded_dumper(of, _plain_or_same)
    if of.kind is Kind.UNION:
        return _union_dumper(of, {tag: _embedded_dumper(variant, _plain_or_same) for tag, variant in of.variants.items()})
    return _each(of, plain_form(of.item)) if of.kind in _CONTAINERS and of.item is not None else None


def json_dumper(of: ValueType) -> Convert:
    """Return the function from a value to its form inside JSON. Decimals have no trailing zeros, so that equal ones are equal there."""
    if of.kind is Kind.DECIMAL:
        return _decimal_text
    if of.kind in _CONTAINERS and of.item is not None:
        return _each(of, json_dumper(of.item)) or _same
    return _composed(dumper(of), to_plain_json(of.basic)) or _same


def _json_loader(of: ValueType) -> Convert:
    return _composed(from_plain_json(of.basic), loader(of)) or _same


def _same(value: Any) -> Any:
    return value


def _plain_or_same(of: ValueType) -> Convert:
    return plain_form(of) or _same


def _decimal_text(value: Decimal) -> str:
    text = f"{value:f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text) or "0"


def _composed(first: Convert | None, second: Convert | None) -> Convert | None:
    if first is None or second is None:
        return first or second
    return lambda value: second(first(value))


def _each(of: ValueType, convert: Convert | None) -> Convert | None:
    """Return the function that converts the items of a list or a mapping."""
    if convert is None:
        return None
    if of.kind is Kind.LIST:
        return lambda value: [None if each is None else convert(each) for each in value]
    return lambda value: {key: None if each is None else convert(each) for key, each in value.items()}


def _each_read(of: ValueType, convert: Convert | None) -> Convert | None:
    """Return the same function for stored forms: another program may have written an item that is ``None``."""
    if convert is None or of.item is None or of.item.allow_none:
        return _each(of, convert)
    inner = convert

    def load(value: Any) -> Any:
        if value is None:
            raise ValueError
        return inner(value)

    if of.kind is Kind.LIST:
        return lambda value: list(map(load, value))
    return lambda value: {key: load(each) for key, each in value.items()}


def _embedded_dumper(of: ValueType, inner: Callable[[ValueType], Convert]) -> Convert:
    assert of.structure is not None
    read = of.structure.read
    fields = {name: inner(field) for name, field in of.fields.items()}

    def dump(value: Any) -> dict[str, Any]:
        given = read(value)
        return {name: None if given[name] is None else field(given[name]) for name, field in fields.items() if name in given}

    return dump


def _embedded_loader(of: ValueType) -> Convert:
    assert of.structure is not None
    structure = of.structure
    fields = [(field.name, field.key, _json_loader(of.fields[field.name]), of.fields[field.name]) for field in structure.fields]

    def load(stored: Any) -> Any:
        if not isinstance(stored, Mapping):
            raise TypeError
        values: dict[str, Any] = {}
        for name, key, field, type_ in fields:
            if name in stored:  # a field that was declared later has its default
                if stored[name] is None and not type_.allow_none:
                    raise ValueError
                values[key] = None if stored[name] is None else field(stored[name])
        return structure.make(values)

    return load


def _union_dumper(of: ValueType, dumpers: Mapping[Any, Convert]) -> Convert:
    is_field = of.tag in next(iter(of.variants.values())).fields
    tags = {variant.python: tag for tag, variant in of.variants.items()}

    def dump(value: Any) -> dict[str, Any]:
        if is_field:
            tag = value[of.tag] if isinstance(value, dict) else getattr(value, of.tag)
            made: dict[str, Any] = dumpers[tag](value)
            return made
        tag = tags[type(value)]
        return {of.tag: tag, **dumpers[tag](value)}

    return dump


def _union_loader(of: ValueType) -> Convert:
    loaders = {tag: _embedded_loader(variant) for tag, variant in of.variants.items()}
    return lambda stored: loaders[stored[of.tag]](stored)
