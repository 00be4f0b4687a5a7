"""Decimal numbers in plain notation, with exact arithmetic."""

from __future__ import annotations

import decimal
from decimal import Decimal

__all__ = ["MOST_DIGITS", "add", "floor_divide", "modulo", "multiply", "plain", "rounded", "subtract"]

MOST_DIGITS = 10_000
"""Most digits on either side of the point. A short text ("1E+999999") must not become a number of megabytes."""

# Wide enough for the product of two numbers with the most digits, so that nothing is rounded.
_EXACT = decimal.Context(prec=8 * MOST_DIGITS, Emin=decimal.MIN_EMIN, Emax=decimal.MAX_EMAX)


def plain(number: Decimal) -> Decimal:
    """Return the number with the same digits after the point, without an exponent and without a negative zero.

    Raise ValueError if it has more than MOST_DIGITS digits on either side of the point.
    """
    sign, digits, exponent = number.as_tuple()
    if not isinstance(exponent, int):
        return number  # NaN or infinity; refused by the types that require finite numbers
    if exponent < -MOST_DIGITS or len(digits) + exponent > MOST_DIGITS:
        msg = f"must have at most {MOST_DIGITS} digits on either side of the point"
        raise ValueError(msg)
    if not number:
        return Decimal((0, (0,), min(exponent, 0)))
    return number if exponent <= 0 else Decimal((sign, digits + (0,) * exponent, 0))


def _plain_if_short(number: Decimal) -> Decimal:
    """Return the number in plain notation; as it is if it has too many digits, which matters only if it is written."""
    try:
        return plain(number)
    except ValueError:
        return number


def add(left: object, right: object) -> Decimal:
    """Return the exact sum."""
    return _plain_if_short(_EXACT.add(left, right))  # type: ignore[arg-type]  # a TypeError for what is no decimal number, as + has it


def subtract(left: object, right: object) -> Decimal:
    """Return the exact difference."""
    return _plain_if_short(_EXACT.subtract(left, right))  # type: ignore[arg-type]  # see above


def multiply(left: object, right: object) -> Decimal:
    """Return the exact product."""
    return _plain_if_short(_EXACT.multiply(left, right))  # type: ignore[arg-type]  # see above


def floor_divide(left: object, right: object) -> Decimal:
    """Return the quotient of two numbers, rounded down as ``//`` of whole numbers is. The divisor is not zero."""
    quotient, rest = _EXACT.divmod(left, right)  # type: ignore[arg-type]  # see above
    return _plain_if_short(_EXACT.subtract(quotient, 1) if _is_below(rest, right) else quotient)


def modulo(left: object, right: object) -> Decimal:
    """Return what ``floor_divide`` leaves, with the sign of the divisor. The divisor is not zero."""
    rest = _EXACT.remainder(left, right)  # type: ignore[arg-type]  # see above
    return _plain_if_short(_EXACT.add(rest, right) if _is_below(rest, right) else rest)  # type: ignore[arg-type]  # see above


def _is_below(rest: Decimal, divisor: object) -> bool:
    """Return whether a division toward zero left something on the other side of zero than the divisor."""
    return bool(rest) and (rest < 0) is not (divisor < 0)  # type: ignore[operator]  # a number


def rounded(number: Decimal, places: int) -> Decimal:
    """Return the number with so many digits after the point; a half goes to the even neighbour."""
    return _plain_if_short(number.quantize(Decimal((0, (1,), -places)), decimal.ROUND_HALF_EVEN, _EXACT))
