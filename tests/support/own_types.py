"""Types that an application has: classes with fields of each kind, an Email, a Money."""

from __future__ import annotations

import dataclasses
import datetime as dt
from decimal import Decimal
from typing import Annotated, Any, Literal, NewType, NotRequired, TypedDict

import attrs
import msgspec
import pydantic

from resourcekit import Limits, value_type

__all__ = ["Address", "Card", "Circle", "Email", "Handle", "Model", "Money", "Point", "Settings", "Square", "Struct", "Transfer"]


@attrs.frozen
class Point:
    """An attrs class."""

    x: int
    y: Annotated[int, Limits(minimum=0)] = 0


@attrs.frozen
class Address:
    """An attrs class with fields of many types."""

    zip: str
    city: str = "Bonn"
    since: dt.datetime | None = None
    fee: Decimal = Decimal(0)
    at: Point | None = None
    phones: list[str] = attrs.field(factory=list)


@dataclasses.dataclass(frozen=True)
class Circle:
    """A dataclass, without a tag of its own."""

    radius: float


@dataclasses.dataclass(frozen=True)
class Square:
    """Another one."""

    side: int


class Settings(TypedDict):
    """A TypedDict."""

    theme: str
    size: NotRequired[int]


class Card(pydantic.BaseModel):
    """A pydantic model with a tag, and a check of its own."""

    model_config = pydantic.ConfigDict(frozen=True)
    kind: Literal["card"] = "card"
    number: str

    @pydantic.field_validator("number")
    @classmethod
    def digits(cls, number: str) -> str:
        """Refuse what is not made of digits."""
        if not number.isdigit():
            msg = "must be made of digits"
            raise ValueError(msg)
        return number


class Transfer(pydantic.BaseModel):
    """Another one."""

    model_config = pydantic.ConfigDict(frozen=True)
    kind: Literal["transfer"] = "transfer"
    iban: str


class Model(pydantic.BaseModel):
    """A pydantic model with an alias and a limit."""

    model_config = pydantic.ConfigDict(frozen=True)
    count: int = pydantic.Field(ge=0, alias="n")
    day: dt.date


class Struct(msgspec.Struct, frozen=True):
    """A msgspec Struct."""

    name: str
    tags: list[str] = []


class Money:
    """An amount, which is no Decimal: it has no operators but equality."""

    def __init__(self, amount: Any) -> None:
        """Take what Decimal takes."""
        self.amount = Decimal(amount)

    def __eq__(self, other: object) -> bool:
        """Compare the amounts."""
        return isinstance(other, Money) and self.amount == other.amount

    def __hash__(self) -> int:
        """Return the hash of the amount."""
        return hash(self.amount)

    def __repr__(self) -> str:
        """Return ``Money(1.50)``."""
        return f"Money({self.amount})"


value_type("Money", Money, stored=Decimal, dump=lambda money: money.amount, load=Money)


def _normalise(text: str) -> str:
    if " " in text.strip():
        msg = "must not contain a blank"
        raise ValueError(msg)
    return text.strip().lower()


Email = Annotated[str, value_type("Email", str, cast=_normalise, match=r".+@.+", max_length=100)]
Handle = NewType("Handle", str)
value_type("Handle", Handle, cast=lambda text: text.removeprefix("@"))
