"""Transformers: steps of an extension that change the state of a resource. They know no resource."""

from __future__ import annotations

from typing import Any, ClassVar

from resourcekit.dsl.state import State

__all__ = ["Transformer"]


class Transformer:
    """One step of an extension's work on a resource: it gets a state and returns a new one.

    before, after: transformers that must come later or earlier; what is not installed is passed over.
    """

    before: ClassVar[frozenset[type[Transformer]]] = frozenset()
    after: ClassVar[frozenset[type[Transformer]]] = frozenset()

    # Any: a subclass names the options class of its own extension, and the state class of its framework.
    def transform(self, state: Any, options: Any) -> State:
        """Return the state as it shall be."""
        raise NotImplementedError
