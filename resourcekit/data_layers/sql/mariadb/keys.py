"""How long the columns of a unique index may be in MariaDB, which has room for so many bytes and no more."""

from __future__ import annotations

from resourcekit.data_layers.sql.columns import Form
from resourcekit.data_layers.sql.dialect import Place

__all__ = ["CHARACTER", "KEY_BYTES", "fitted"]

KEY_BYTES, CHARACTER = 3072, 4
"""Bytes of one index of InnoDB, and of one character in it."""


def fitted(places: dict[str, Place]) -> dict[str, Place]:
    """Return places of one unique group with lengths that fit into its index. Raises ValueError where none do."""
    left = KEY_BYTES - sum(8 for place in places.values() if place.form not in (Form.TEXT, Form.BLOB))
    unit = {Form.TEXT: CHARACTER, Form.BLOB: 1}
    told = {name: place.length * unit[place.form] for name, place in places.items() if place.form in unit and place.length}
    open_ended = [name for name, place in places.items() if place.form in unit and not place.length]
    left -= sum(told.values())
    if left < CHARACTER * len(open_ended):
        names = ", ".join(places)
        raise ValueError(f"{names} together are longer than the {KEY_BYTES} bytes of a unique index in MariaDB")
    fitted = dict(places)
    for name in open_ended:
        most = left // len(open_ended) // unit[places[name].form]
        fitted[name] = Place(places[name].form, places[name].unique, places[name].indexed, most)
    return fitted
