"""The node of a fragment: a value whose SQL the application writes, for one database."""

from __future__ import annotations

from typing import Any

import attrs

from resourcekit.expressions.nodes import Expression

__all__ = ["Fragment"]


@attrs.frozen(eq=False)
class Fragment(Expression):
    """A value that a text of SQL computes.

    texts: the text around the values, which is one more than these. parts: the values. type: the ValueType of the whole.
    """

    texts: tuple[str, ...]
    parts: tuple[Expression, ...]
    type: Any

    @property
    def facts(self) -> object:
        """The parts of a statement that do not depend on values."""
        return self.texts, str(self.type)
