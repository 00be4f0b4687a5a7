"""A class body while it runs: tells words their names, and notes what is declared twice. It knows no resource."""

from __future__ import annotations

from typing import Any

from resourcekit.dsl.entity import Entity, Word

__all__ = ["Body", "other_names"]


class Body(dict[str, Any]):
    """The namespace of a class statement.

    A word learns its name at once, so that the lines below it can use it in expressions. repeated: name to the entity
    that a later line took the name from; Python itself would forget it in silence.
    """

    def __init__(self) -> None:
        super().__init__()
        self.repeated: dict[str, Entity] = {}

    def __setitem__(self, name: str, value: Any) -> None:
        """Keep a value under a name."""
        former = self.get(name)
        if former is not value and isinstance(former, (Word, Entity)):
            self.repeated[name] = former.entity if isinstance(former, Word) else former
        if isinstance(value, Word):
            value.named(name)
        super().__setitem__(name, value)


def other_names(cls: type) -> frozenset[str]:
    """Return the names that a class body uses for something that is no declaration: methods, constants."""
    return frozenset(
        name for name, value in vars(cls).items() if not isinstance(value, (Word, Entity)) and not name.startswith("__")
    )
