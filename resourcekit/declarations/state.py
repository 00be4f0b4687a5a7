"""The state of a resource as extensions see it: the kit's state, read by the names of the finished facts."""

from __future__ import annotations

import attrs

from resourcekit.declarations.facts import Facts
from resourcekit.dsl.state import State as KitState

__all__ = ["State"]


@attrs.frozen(kw_only=True, eq=False, slots=False)
class State(KitState, Facts):
    """A resource while transformers work on it; ``state.attributes`` and the like read as they do on ResourceInfo."""
