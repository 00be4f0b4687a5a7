"""Decimals as text that sorts as the numbers do. It knows no column and no statement.

A number is ``0.d1d2d3... x 10^e`` with no zero at either end. Its key is a class (below zero, zero, above zero), the
exponent in seven digits, and the digits. Below zero all digits are turned to their complement to nine, and a closing
``~`` makes the shorter one the larger one: -1.2 < -1.19. Trailing zeros are not kept: 1.50 comes back as 1.5, which equals it.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from resourcekit.data_layers.unstorable import NoneGiven, Unstorable

__all__ = ["decode_decimal", "encode_decimal"]

_OFFSET = 5_000_000
_COMPLEMENT = str.maketrans("0123456789", "9876543210")
_BELOW, _ZERO, _ABOVE = "0", "1", "2"


def encode_decimal(value: Any) -> str:
    """Return the key of a number; ints and floats are taken exactly."""
    if value is None:
        raise NoneGiven
    if isinstance(value, (int, float)):
        value = Decimal(value)
    if not isinstance(value, Decimal) or not value.is_finite():
        raise Unstorable("must be a finite number")
    if not value:
        return _ZERO
    sign, digits, exponent = value.as_tuple()
    text = "".join(map(str, digits)).lstrip("0")
    place = int(exponent) + len(text) + _OFFSET
    if not 0 <= place < 2 * _OFFSET:
        raise Unstorable("has too large an exponent")
    key = f"{place:07d}{text.rstrip('0')}"
    return f"{_BELOW}{key.translate(_COMPLEMENT)}~" if sign else f"{_ABOVE}{key}"


def decode_decimal(stored: str) -> Decimal:
    """Return the number of a key."""
    head, key = stored[0], stored[1:]
    if head == _ZERO:
        return Decimal(0)
    if head == _BELOW:
        key = key[:-1].translate(_COMPLEMENT)
    digits = key[7:]
    return Decimal((int(head == _BELOW), tuple(map(int, digits)), int(key[:7]) - _OFFSET - len(digits)))
